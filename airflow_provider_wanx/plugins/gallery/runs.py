"""What Airflow's database knows of the pictures. The number of queries never depends on the number of runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Text, cast, func, select, tuple_

from airflow_provider_wanx.plugins.gallery.problems import NO_RUN, ProblemError
from airflow_provider_wanx.plugins.gallery.records import Mark
from airflow_provider_wanx.storage.marks import MARK

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

RETURN_VALUE = "return_value"
"""Key under which Airflow keeps what a task returns: the manifest of a copy."""

PREVIEWS = 4
"""Pictures beside a run in a list."""

_VALUE = cast(XComModel.value, Text)
"""As it is stored: one value that SQLAlchemy cannot decode, as it is nested too deeply, would break the list of all."""

Place = tuple[str, int]
"""Task id and map index of a task instance within its run."""


@dataclass
class RunRow:
    """A run in a list.

    :param number: its id in the database.
    :param time: when its last mark was written.
    :param images: number of pictures.
    :param cost: what they cost in CNY, None if that is not known of any of them.
    :param previews: some of its results: task instances, and numbers in their manifests.
    """

    number: int
    dag_id: str
    run_id: str
    state: str | None
    time: datetime | None = None
    images: int = 0
    cost: float | None = None
    previews: list[tuple[Place, int]] = field(default_factory=list)


@dataclass
class Run:
    """A run of a DAG that has left marks.

    :param number: its id in the database.
    :param time: when its last mark was written.
    :param marks: by task instance.
    """

    number: int
    dag_id: str
    run_id: str
    state: str | None = None
    time: datetime | None = None
    marks: dict[Place, Mark] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Number of pictures."""
        return sum(mark.images for mark in self.marks.values())

    @property
    def cost(self) -> float | None:
        """What they cost in CNY, None if that is not known of any of them."""
        costs = [mark.cost for mark in self.marks.values() if mark.cost is not None]
        return sum(costs) if costs else None

    @property
    def batches(self) -> list[tuple[Place, Mark]]:
        """The task instances that are batches."""
        return [(place, mark) for place, mark in self.marks.items() if mark.kind == "batch"]

    @property
    def copied(self) -> int:
        """Number of pictures that were not made by batches."""
        return sum(mark.images for mark in self.marks.values() if mark.kind == "copy")

    def results(self, *, start: int, count: int) -> Iterator[tuple[Place, int]]:
        """Go through the copies' results in order.

        :param start: the first one, counted from 0.
        :param count: how many at most.
        :return: task instances, and the results' numbers in their manifests.
        """
        passed = 0
        for place, mark in self.marks.items():
            if mark.kind != "copy":
                continue
            first, last = max(0, start - passed), min(mark.images, start + count - passed)
            yield from ((place, number) for number in range(first, last))
            passed += mark.images
            if passed >= start + count:
                return


@dataclass(frozen=True)
class Instance:
    """A task instance.

    :param name: of a mapped copy, where its task gives copies names.
    """

    state: str | None
    name: str | None


def dag_ids(session: Session) -> set[str]:
    """Return the DAGs that have left marks."""
    return set(session.scalars(select(XComModel.dag_id).where(XComModel.key == MARK).distinct()))


def count_runs(session: Session, dags: Collection[str], task_id: str | None = None) -> int:
    """Count the runs of some DAGs that have left marks.

    :param task_id: only marks of this task count.
    """
    ids = _marks(func.count(XComModel.dag_run_id.distinct()), dags, task_id)
    return session.scalar(ids) or 0


def list_runs(
    session: Session, dags: Collection[str], task_id: str | None = None, *, start: int, count: int
) -> list[RunRow]:
    """Return runs that have left marks, the latest first.

    :param dags: their DAGs.
    :param task_id: only marks of this task count.
    :param start: the first one, counted from 0.
    :param count: how many at most.
    """
    last = func.max(XComModel.timestamp)
    page = (
        _marks(XComModel.dag_run_id, dags, task_id)
        .group_by(XComModel.dag_run_id)
        .order_by(last.desc(), XComModel.dag_run_id.desc())
        .offset(start)
        .limit(count)
    )
    numbers = list(session.scalars(page))
    found = session.execute(
        select(DagRun.id, DagRun.dag_id, DagRun.run_id, DagRun.state).where(DagRun.id.in_(numbers))
    )
    rows = {number: RunRow(number, dag_id, run_id, _text(state)) for number, dag_id, run_id, state in found}
    _add_up(session, rows, task_id)
    _add_previews(session, rows, task_id)
    return [rows[number] for number in numbers if number in rows]


def _add_up(session: Session, rows: dict[int, RunRow], task_id: str | None) -> None:
    # The marks of mapped copies are mostly equal, so that ten thousand of them are a few rows here.
    query = (
        _of_task(task_id, XComModel.dag_run_id, _VALUE, func.count(), func.max(XComModel.timestamp))
        .where(XComModel.dag_run_id.in_(rows))
        .group_by(XComModel.dag_run_id, _VALUE)
    )
    for number, value, equal, time in session.execute(query):
        if (mark := Mark.read(value)) is not None:
            row = rows[number]
            row.images += equal * mark.images
            if mark.cost is not None:
                row.cost = (row.cost or 0.0) + equal * mark.cost
            row.time = max(row.time, time) if row.time else time


def _add_previews(session: Session, rows: dict[int, RunRow], task_id: str | None) -> None:
    query = (
        _of_task(task_id, XComModel.dag_run_id, XComModel.task_id, XComModel.map_index, _VALUE)
        .where(XComModel.dag_run_id.in_(rows), XComModel.map_index < PREVIEWS)
        .order_by(XComModel.task_id, XComModel.map_index)
    )
    for number, task, map_index, value in session.execute(query):
        mark, previews = Mark.read(value), rows[number].previews
        if mark is not None and mark.kind == "copy":
            free = range(min(mark.images, PREVIEWS - len(previews)))
            previews.extend(((task, map_index), result) for result in free)


def get_run(session: Session, dag_id: str, run_id: str, task_id: str | None = None) -> Run:
    """Return a run; it need not have left marks.

    :param task_id: only marks of this task count.
    :raises ProblemError: there is no such run.
    """
    found = session.execute(
        select(DagRun.id, DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    ).one_or_none()
    if found is None:
        raise ProblemError(NO_RUN)
    run = Run(found[0], dag_id, run_id, _text(found[1]))
    query = (
        _of_task(task_id, XComModel.task_id, XComModel.map_index, XComModel.timestamp, _VALUE)
        .where(XComModel.dag_run_id == run.number)
        .order_by(XComModel.task_id, XComModel.map_index)
    )
    for task, map_index, time, value in session.execute(query):
        if (mark := Mark.read(value)) is not None:
            run.marks[task, map_index] = mark
            run.time = max(run.time, time) if run.time else time
    return run


def _marks(what: Any, dags: Collection[str], task_id: str | None) -> Any:
    return _of_task(task_id, what).where(XComModel.dag_id.in_(dags))


def _of_task(task_id: str | None, *columns: Any) -> Any:
    # By columns and not as objects of the model, which would join the run to every row.
    query = select(*columns).where(XComModel.key == MARK)
    return query if task_id is None else query.where(XComModel.task_id == task_id)


def manifests(session: Session, run: Run, places: Iterable[Place]) -> dict[Place, Any]:
    """Return what some task instances of a run have returned, as it is stored."""
    rows = session.execute(
        select(XComModel.task_id, XComModel.map_index, _VALUE).where(
            XComModel.dag_run_id == run.number,
            XComModel.key == RETURN_VALUE,
            tuple_(XComModel.task_id, XComModel.map_index).in_(list(places)),
        )
    )
    return {(task_id, map_index): value for task_id, map_index, value in rows}


def left_by(session: Session, dag_id: str, run_id: str, place: Place) -> dict[str, Any]:
    """Return a task instance's mark and what it has returned, as they are stored, by their keys."""
    task_id, map_index = place
    rows = session.execute(
        select(XComModel.key, _VALUE).where(
            XComModel.dag_id == dag_id,
            XComModel.run_id == run_id,
            XComModel.task_id == task_id,
            XComModel.map_index == map_index,
            XComModel.key.in_((MARK, RETURN_VALUE)),
        )
    )
    return dict(iter(rows))


def instances(session: Session, run: Run, places: Iterable[Place]) -> dict[Place, Instance]:
    """Return some task instances of a run."""
    columns: tuple[Any, ...] = (
        TaskInstance.task_id,
        TaskInstance.map_index,
        TaskInstance.state,
        # Of Airflow's models, the type of this one is not known.
        TaskInstance.rendered_map_index,
    )
    rows = session.execute(
        select(*columns).where(
            TaskInstance.dag_id == run.dag_id,
            TaskInstance.run_id == run.run_id,
            tuple_(TaskInstance.task_id, TaskInstance.map_index).in_(list(places)),
        )
    )
    return {(task_id, map_index): Instance(_text(state), name) for task_id, map_index, state, name in rows}


def _text(state: Any) -> str | None:
    return None if state is None else str(getattr(state, "value", state))
