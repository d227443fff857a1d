"""The pages, each with its address and what it shows. Whoever asks for one may read the XComs of its DAG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Annotated, Literal, NamedTuple, TypeVar
from uuid import UUID

import anyio.to_thread
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.jobs.copying.gallery_marks import MARK
from airflow_provider_wanx.plugins.gallery import entries, pages, permissions, previews, runs
from airflow_provider_wanx.plugins.gallery.entries import LARGEST, Mark, Result, results_of
from airflow_provider_wanx.plugins.gallery.owned_objects import Reader
from airflow_provider_wanx.plugins.gallery.problems import (
    NO_FIGURES,
    NO_PAGE,
    NO_RESULT,
    NOT_SHOWN,
    UNREADABLE_BATCH,
    UNREADABLE_MANIFEST,
    Problem,
)
from airflow_provider_wanx.plugins.gallery.runs import Instance, Place, Run

T = TypeVar("T")

RESULTS = 24
"""Results on a page."""

AT_WORK = {"running", "deferred", "scheduled", "queued", "restarting", "up_for_retry", "up_for_reschedule"}
"""States of runs and task instances that will do something yet, without anybody's doing."""


def _check_ids(request: Request) -> None:
    """Refuse what no database can look for."""
    if any("\0" in str(value) for value in request.path_params.values()):
        raise ProblemError(NO_PAGE)


def _place(
    task_id: str,
    map_index: Annotated[int, Path(ge=-1, le=LARGEST)],
    region_id: UUID | None = None,
    region_index: Annotated[int | None, Query(ge=-1, le=LARGEST)] = None,
) -> Place:
    """Read a task instance. In a region, our links name its index beside the one of Airflow, which may be -1 for all."""
    index = map_index if region_id is None or region_index is None else region_index
    return Place(task_id, index, None if region_id is None else str(region_id))


router = APIRouter(
    dependencies=[Depends(_check_ids), Depends(permissions.may_read_pictures)],
    default_response_class=HTMLResponse,
)

_Page = Annotated[int, Query(ge=1, le=1_000_000)]
_Index = Annotated[int | None, Query(ge=-1, le=LARGEST)]
_Place = Annotated[Place, Depends(_place)]
_Number = Annotated[int, Path(ge=0, le=LARGEST)]

_workers: list[anyio.CapacityLimiter] = []


class Pager(NamedTuple):
    """Where a page stands among others.

    :param number: its number, from 1.
    :param total: how many results they show in all.
    :param parts: the parts of their path.
    :param query: what else their addresses need.
    """

    number: int
    total: int
    parts: tuple[object, ...]
    query: Mapping[str, object]

    @property
    def start(self) -> int:
        """Number of its first result, from 0."""
        return (self.number - 1) * RESULTS

    @property
    def last(self) -> int:
        """Number of the last page."""
        return max(1, -(-self.total // RESULTS))


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


@router.get("/here")
def page_of_a_tab(
    request: Request,
    dag_id: str = "",
    run_id: str = "",
    task_id: str = "",
    map_index: str = "",
) -> RedirectResponse:
    """Lead to the page of a task instance, a run, a task or a DAG, whatever Airflow has filled in for a tab."""
    to = pages.Addresses(request)
    # It leaves what it does not know as "{RUN_ID}".
    dag, run, task, index = (
        "" if each.startswith("{") and each.endswith("}") else each
        for each in (dag_id, run_id, task_id, map_index)
    )
    if not dag:
        return RedirectResponse(to.page(), status_code=303)
    parts = ("dags", dag, *(("runs", run) if run else ()), *(("tasks", task) if task else ()))
    # Of a task that is not mapped, Airflow knows no index.
    return RedirectResponse(
        to.page(*parts, map_index=(index or -1) if run and task else None), status_code=303
    )


@router.get("/")
@router.get("/dags/{dag_id}")
@router.get("/dags/{dag_id}/tasks/{task_id}")
def runs_page(
    request: Request,
    session: SessionDep,
    user: GetUserDep,
    before: Annotated[int | None, Query(ge=1, le=LARGEST)] = None,
) -> str:
    """Make the list of runs: of all DAGs that the user may see, of one, or of one task of it."""
    dag_id, task_id = request.path_params.get("dag_id"), request.path_params.get("task_id")
    found, older = runs.list_runs(
        session,
        lambda dags: permissions.readable(dags, user),
        dag_id=dag_id,
        task_id=task_id,
        before=before or LARGEST,
    )
    parts = (*(("dags", dag_id) if dag_id else ()), *(("tasks", task_id) if task_id else ()))
    return pages.render(
        "runs", request, runs=found, before=before, older=older, parts=parts, dag_id=dag_id, task_id=task_id
    )


@router.get("/dags/{dag_id}/runs/{run_id}")
def run_page(request: Request, session: SessionDep, dag_id: str, run_id: str, page: _Page = 1) -> str:
    """Make the page of a run: its batches, and the results of its copies."""
    run = runs.get_run(session, dag_id, run_id)
    return _results(request, session, run, Pager(page, run.copied, ("dags", dag_id, "runs", run_id), {}))


@router.get("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}")
def task_page(
    request: Request,
    session: SessionDep,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: _Index = None,
    region_id: UUID | None = None,
    region_index: _Index = None,
    page: _Page = 1,
) -> str:
    """Make the page of a task instance: of its batch, of its results or, if it has none, of those of the run.

    Without an index, it is the page of all task instances of the task.
    """
    place = None if map_index is None else _place(task_id, map_index, region_id, region_index)
    run = runs.get_run(session, dag_id, run_id, task_id)
    if place is None and len(run.marks) == 1:
        (place,) = run.marks
    note = None
    if place is not None:
        own = next(filter(place.may_be, run.marks), None)
        if own is not None:
            place, run = own, run.only([own])
            if run.marks[own].kind == "batch":
                return _batch_page(request, session, run, own, page)
        else:
            # A submission or a wait has none of its own; what became of it is what a user looks for.
            run = runs.get_run(session, dag_id, run_id)
            if place.map_index >= 0:
                run = run.only([each for each in run.marks if each.map_index == place.map_index])
            if run.marks:
                note = (
                    "This task has put no pictures into S3 itself. These are those of other tasks of the run."
                )
    parts = ("dags", dag_id, "runs", run_id, "tasks", task_id)
    query = {} if place is None else {"map_index": place.map_index, "region_id": place.region_id}
    pager = Pager(page, run.copied, parts, query)
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
    shown = list(run.results(start=pager.start, count=RESULTS))
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
        at_work=run.state in AT_WORK,
        unreadable=UNREADABLE_MANIFEST,
    )


def _batch_page(request: Request, session: Session, run: Run, place: Place, page: int) -> str:
    instance = runs.instances(session, run, [place]).get(place)
    owner, mark = place.identity(run.dag_id, run.run_id), run.marks[place]
    reader = permissions.reader(owner, mark)
    status, problem = _or_problem(partial(entries.read_status, reader, mark))
    total, no_rows = _or_problem(partial(entries.count_rows, reader, mark))
    parts = ("dags", run.dag_id, "runs", run.run_id, "tasks", place.task_id)
    pager = Pager(page, total or 0, parts, {"map_index": place.map_index, "region_id": place.region_id})
    rows: Sequence[Result | None] | None = []
    if total:
        rows, no_rows = _or_problem(
            partial(entries.read_rows, reader, mark, start=pager.start, count=RESULTS)
        )
    at_work = instance is not None and instance.state in AT_WORK
    if at_work and problem is NOT_SHOWN:
        problem = NO_FIGURES
    # Of a loop, the table of task instances does not tell how the task itself has called its iteration.
    is_other = status and status.owner not in ("", str(owner)) and place.region_id is None
    return pages.render(
        "batch",
        request,
        run=run,
        place=place,
        mark=mark,
        instance=instance,
        status=status,
        problem=problem,
        other_owner=status.owner if status and is_other else None,
        tiles=[Tile(place, number, row) for number, row in enumerate(rows or (), pager.start)],
        no_rows=no_rows,
        pager=pager,
        at_work=at_work and (status is None or status.is_running),
        unreadable=UNREADABLE_BATCH,
    )


def _or_problem(read: Callable[[], T]) -> tuple[T | None, Problem | None]:
    try:
        return read(), None
    except ProblemError as error:
        return None, error.problem


@router.get("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/{map_index}/results/{number}")
def result_page(
    request: Request, session: SessionDep, dag_id: str, run_id: str, place: _Place, number: _Number
) -> str:
    """Make the page of one result.

    :raises ProblemError: there is none.
    """
    run = runs.get_run(session, dag_id, run_id)
    place, mark, reader, result = _find(session, dag_id, run_id, place, number)
    problem = None
    if result.is_picture:
        _, problem = _or_problem(partial(previews.find_result, reader, result))
    return pages.render(
        "result",
        request,
        run=run,
        tile=Tile(place, number, result, runs.instances(session, run, [place]).get(place)),
        mark=mark,
        result=result,
        problem=problem,
        neighbours=_neighbours(run, place, mark, number),
    )


def _neighbours(run: Run, place: Place, mark: Mark, number: int) -> list[tuple[Place, int] | None]:
    """Return the results before and after one, each None if there is none."""
    if mark.kind == "batch":
        after = number + 1 if number + 1 < (mark.rows or 0) else None
        return [(place, number - 1) if number else None, None if after is None else (place, after)]
    copies = [each for each, left in run.marks.items() if left.kind == "copy"]
    here = number + sum(run.marks[each].images for each in takewhile(place.__ne__, copies))
    before = next(run.results(start=here - 1, count=1), None) if here else None
    return [before, next(run.results(start=here + 1, count=1), None)]


@router.get("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/{map_index}/results/{number}/{which}")
async def picture(
    dag_id: str,
    run_id: str,
    place: _Place,
    number: _Number,
    which: Literal["result", "source"],
    size: Literal["small", "full"] = "full",
) -> Response:
    """Answer with a picture of a result, or with one that tells why it cannot be shown."""

    def read() -> previews.Picture:
        with create_session(scoped=False) as session:
            _, _, reader, result = _find(session, dag_id, run_id, place, number)
        show = previews.result_picture if which == "result" else previews.source_picture
        return show(reader, result, small=size == "small")

    if not _workers:
        # A page of pictures must not take all of the threads that answer Airflow's own requests.
        _workers.append(anyio.CapacityLimiter(4))
    try:
        found = await anyio.to_thread.run_sync(read, limiter=_workers[0])
    except ProblemError as error:
        body, status = pages.stand_in(error.problem), error.problem.status
        return Response(body, status_code=status, media_type="image/svg+xml")
    headers = {"Cache-Control": "private, max-age=60", "Content-Security-Policy": pages.PICTURE_POLICY}
    return Response(found.body, media_type=found.content_type, headers=headers)


def _find(
    session: Session, dag_id: str, run_id: str, place: Place, number: int
) -> tuple[Place, Mark, Reader, Result]:
    place, left = runs.left_by(session, dag_id, run_id, place)
    mark = Mark.read(left.get(MARK))
    if mark is None:
        raise ProblemError(NO_RESULT)
    reader = permissions.reader(place.identity(dag_id, run_id), mark)
    if mark.kind == "batch":
        (result,) = entries.read_rows(reader, mark, start=number, count=1) or [None]
    else:
        result = _entry(results_of(left.get(runs.RETURN_VALUE)), number)
    if result is None:
        raise ProblemError(NO_RESULT)
    return place, mark, reader, result


def _entry(results: Sequence[Result | None] | None, number: int) -> Result | None:
    return results[number] if results is not None and number < len(results) else None
