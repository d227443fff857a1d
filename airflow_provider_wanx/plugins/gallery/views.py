"""What each page shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import anyio.to_thread
from airflow.utils.session import create_session

from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.plugins.gallery import batch_files, pages, permissions, previews, runs
from airflow_provider_wanx.plugins.gallery.entries import Mark, Result, results_of
from airflow_provider_wanx.plugins.gallery.problems import (
    NO_FIGURES,
    NO_RESULT,
    NOT_SHOWN,
    UNREADABLE_BATCH,
    UNREADABLE_MANIFEST,
    Problem,
)
from airflow_provider_wanx.storage.marks import MARK

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from sqlalchemy.orm import Session
    from starlette.requests import Request

    from airflow_provider_wanx.plugins.gallery.owned_objects import Reader
    from airflow_provider_wanx.plugins.gallery.previews import Picture
    from airflow_provider_wanx.plugins.gallery.runs import Instance, Place, Run

T = TypeVar("T")

LARGEST = 2**31 - 1
"""What a database takes as a number."""

RUNS = 20
"""Runs on a page."""

RESULTS = 24
"""Results on a page."""

REFRESH = 5
"""Seconds after which the page of a run or batch that is at work loads itself again."""

AT_WORK = {"running", "deferred", "scheduled", "queued", "restarting", "up_for_retry", "up_for_reschedule"}
"""States of runs and task instances that will do something yet, without anybody's doing."""

_workers: list[anyio.CapacityLimiter] = []


@dataclass(frozen=True)
class Pager:
    """Where a page stands among others.

    :param number: its number, from 1.
    :param last: number of the last one.
    :param total: how many things they show in all.
    :param parts: the parts of their path.
    :param query: what else their addresses need.
    """

    number: int
    last: int
    total: int
    parts: tuple[object, ...]
    query: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, total: int, size: int, number: int, *parts: object, **query: object) -> Pager:
        """Count the pages."""
        return cls(number, max(1, -(-total // size)), total, parts, query)


@dataclass(frozen=True)
class Tile:
    """A result on a page.

    :param place: the task instance.
    :param number: its number in the manifest.
    :param result: None if it cannot be read.
    :param instance: None if it is not known.
    """

    place: Place
    number: int
    result: Result | None
    instance: Instance | None = None


def address_of(
    request: Request, dag_id: str | None, run_id: str | None, task_id: str | None, map_index: str | None
) -> str:
    """Return the address of the page of a task instance, a run, a task or a DAG, whatever is known."""
    to = pages.Addresses(request)
    if dag_id is None:
        return to.page()
    run = () if run_id is None else ("runs", run_id)
    task = () if task_id is None else ("tasks", task_id)
    # Of a task that is not mapped, Airflow knows no index.
    index = (map_index or -1) if run and task else None
    return to.page("dags", dag_id, *run, *task, map_index=index)


def runs_page(
    request: Request,
    session: Session,
    user: BaseUser,
    *,
    dag_id: str | None = None,
    task_id: str | None = None,
    before: int | None = None,
) -> str:
    """Make the list of runs: of all DAGs that the user may see, of one, or of one task of it."""
    parts = (
        () if dag_id is None else ("dags", dag_id) if task_id is None else ("dags", dag_id, "tasks", task_id)
    )
    found, older = runs.list_runs(
        session,
        lambda dags: permissions.readable(dags, user),
        dag_id=dag_id,
        task_id=task_id,
        before=before or LARGEST,
        count=RUNS,
    )
    return pages.render(
        "runs",
        request,
        runs=found,
        before=before,
        older=older,
        parts=parts,
        dag_id=dag_id,
        task_id=task_id,
    )


def run_page(request: Request, session: Session, dag_id: str, run_id: str, *, page: int) -> str:
    """Make the page of a run: its batches, and the results of its copies."""
    run = runs.get_run(session, dag_id, run_id)
    pager = Pager.of(run.copied, RESULTS, page, "dags", dag_id, "runs", run_id)
    return _results(request, session, run, pager)


def task_page(
    request: Request,
    session: Session,
    dag_id: str,
    run_id: str,
    task_id: str,
    place: Place | None,
    *,
    page: int,
) -> str:
    """Make the page of a task instance: of its batch, of its results or, if it has none, of those of the run.

    :param place: the task instance, None for all of the task.
    """
    run = runs.get_run(session, dag_id, run_id, task_id)
    if place is None and len(run.marks) == 1:
        (place,) = run.marks
    own = None if place is None else next(filter(place.may_be, run.marks), None)
    if own is not None:
        place, mark = own, run.marks[own]
        run.marks = {own: mark}
        if mark.kind == "batch":
            return _batch_page(request, session, run, own, mark, page=page)
    note = None
    if place is not None and own is None:
        # A submission or a wait has none of its own; what became of it is what a user looks for.
        run = runs.get_run(session, dag_id, run_id)
        if place.map_index >= 0:
            run.marks = {each: mark for each, mark in run.marks.items() if each.map_index == place.map_index}
        note = (
            "This task has put no pictures into S3 itself. These are those of other tasks of the run."
            if run.marks
            else None
        )
    parts = ("dags", dag_id, "runs", run_id, "tasks", task_id)
    shown = {} if place is None else {"map_index": place.map_index, "region_id": place.region_id}
    pager = Pager.of(run.copied, RESULTS, page, *parts, **shown)
    return _results(request, session, run, pager, task=place or (task_id, None), note=note)


def _results(
    request: Request,
    session: Session,
    run: Run,
    pager: Pager,
    *,
    task: Place | tuple[str, None] | None = None,
    note: str | None = None,
) -> str:
    shown = list(run.results(start=(pager.number - 1) * RESULTS, count=RESULTS))
    places = {place for place, _ in shown}
    stored = {place: results_of(value) for place, value in runs.manifests(session, run, places).items()}
    known = runs.instances(session, run, places | {place for place, _ in run.batches})
    tiles = [
        Tile(place, number, _entry(stored.get(place), number), known.get(place)) for place, number in shown
    ]
    return pages.render(
        "run",
        request,
        run=run,
        tiles=tiles,
        instances=known,
        pager=pager,
        task=task,
        note=note,
        refresh=REFRESH if run.state in AT_WORK else None,
        unreadable=UNREADABLE_MANIFEST,
    )


def _batch_page(request: Request, session: Session, run: Run, place: Place, mark: Mark, *, page: int) -> str:
    instance = runs.instances(session, run, [place]).get(place)
    owner = place.identity(run.dag_id, run.run_id)
    reader = permissions.reader(owner, mark)
    status, problem = _or_problem(partial(batch_files.read_status, reader, mark))
    total, no_rows = _or_problem(partial(batch_files.count_rows, reader, mark))
    parts = ("dags", run.dag_id, "runs", run.run_id, "tasks", place.task_id)
    pager = Pager.of(total or 0, RESULTS, page, *parts, map_index=place.map_index, region_id=place.region_id)
    rows: Sequence[Result | None] | None = []
    start = (page - 1) * RESULTS
    if total:
        rows, no_rows = _or_problem(partial(batch_files.read_rows, reader, mark, start=start, count=RESULTS))
    at_work = instance is not None and instance.state in AT_WORK
    if at_work and problem is NOT_SHOWN:
        problem = NO_FIGURES
    return pages.render(
        "batch",
        request,
        run=run,
        place=place,
        mark=mark,
        instance=instance,
        status=status,
        problem=problem,
        # Of a loop, the table of task instances does not tell how the task itself has called its iteration.
        other_owner=status.owner
        if status and status.owner not in ("", str(owner)) and place.region_id is None
        else None,
        tiles=[Tile(place, start + offset, row) for offset, row in enumerate(rows or ())],
        no_rows=no_rows,
        pager=pager,
        refresh=REFRESH if at_work and (status is None or status.is_running) else None,
        unreadable=UNREADABLE_BATCH,
    )


def _or_problem(read: Callable[[], T]) -> tuple[T | None, Problem | None]:
    try:
        return read(), None
    except ProblemError as error:
        return None, error.problem


def result_page(
    request: Request, session: Session, dag_id: str, run_id: str, place: Place, number: int
) -> str:
    """Make the page of one result.

    :raises ProblemError: there is none.
    """
    run = runs.get_run(session, dag_id, run_id)
    place, mark, reader, result = _find(session, dag_id, run_id, place, number)
    problem = None
    if result.is_picture:
        _, problem = _or_problem(partial(previews.find_result, reader, result))
    if mark.kind == "batch":
        total = mark.rows or number + 1
        before, after = (place, number - 1), (place, number + 1)
        neighbours = [before if number else None, after if number + 1 < total else None]
    else:
        neighbours = _neighbours(run, place, number)
    return pages.render(
        "result",
        request,
        run=run,
        tile=Tile(place, number, result, runs.instances(session, run, [place]).get(place)),
        mark=mark,
        result=result,
        problem=problem,
        neighbours=neighbours,
    )


async def picture(
    dag_id: str,
    run_id: str,
    place: Place,
    number: int,
    *,
    which: Literal["result", "source"],
    small: bool,
) -> Picture:
    """Return a picture of a result.

    :raises ProblemError: it cannot be shown.
    """

    def read() -> Picture:
        with create_session(scoped=False) as session:
            _, _, reader, result = _find(session, dag_id, run_id, place, number)
        show = previews.result_picture if which == "result" else previews.source_picture
        return show(reader, result, small=small)

    if not _workers:
        # A page of pictures must not take all of the threads that answer Airflow's own requests.
        _workers.append(anyio.CapacityLimiter(4))
    return await anyio.to_thread.run_sync(read, limiter=_workers[0])


def _find(
    session: Session, dag_id: str, run_id: str, place: Place, number: int
) -> tuple[Place, Mark, Reader, Result]:
    place, left = runs.left_by(session, dag_id, run_id, place)
    mark = Mark.read(left.get(MARK))
    if mark is None:
        raise ProblemError(NO_RESULT)
    reader = permissions.reader(place.identity(dag_id, run_id), mark)
    if mark.kind == "batch":
        (result,) = batch_files.read_rows(reader, mark, start=number, count=1) or [None]
    else:
        result = _entry(results_of(left.get(runs.RETURN_VALUE)), number)
    if result is None:
        raise ProblemError(NO_RESULT)
    return place, mark, reader, result


def _entry(results: Sequence[Result | None] | None, number: int) -> Result | None:
    return results[number] if results is not None and number < len(results) else None


def _neighbours(run: Run, place: Place, number: int) -> list[tuple[Place, int] | None]:
    passed = 0
    for each, mark in run.marks.items():
        if mark.kind == "copy":
            if each == place:
                break
            passed += mark.images
    here = passed + number
    before = next(run.results(start=here - 1, count=1), None) if here else None
    return [before, next(run.results(start=here + 1, count=1), None)]
