"""What Airflow's database knows of the pictures.

XComs are asked for by their run, never by their key alone: since Airflow 3.4 there is no index on keys. So a list goes
through the latest runs in steps of bounded size. The number of queries never depends on the number of results.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.models import xcom
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Text, and_, cast, func, null, select, tuple_

from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.gallery_marks import MARK
from airflow_provider_wanx.plugins.gallery.entries import Mark, fetched
from airflow_provider_wanx.plugins.gallery.problems import NO_RUN

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

RETURN_VALUE = "return_value"
"""Key under which Airflow keeps what a task returns: the manifest of a copy."""

STEP, STEPS = 50, 20
"""Runs that are looked at together for marks, and how often that is done for one page."""

_entity: Callable[[Any], Any] | None = getattr(xcom, "xcom_entity", None)
"""Names the columns of a query for XComs since Airflow 3.4, which has them in two tables and by region."""


class Place(NamedTuple):
    """A task instance within its run.

    :param map_index: its number among mapped copies or iterations, -1 without.
    :param region_id: the loop or expansion that has made it, since Airflow 3.4; None outside of any.
    """

    task_id: str
    map_index: int
    region_id: str | None = None

    def may_be(self, other: Place) -> bool:
        """Whether it is the other one, as far as it is known: Airflow's own addresses name no region."""
        return self[:2] == other[:2] and self.region_id in (None, other.region_id)

    def identity(self, dag_id: str, run_id: str) -> Identity:
        """Return the whole identity of the task instance."""
        index = None if self.region_id is None else self.map_index
        return Identity(dag_id=dag_id, run_id=run_id, region_index=index, **self._asdict())


@dataclass
class Run:
    """A run of a DAG, and the pictures that it has left.

    :param number: its id in the database.
    :param time: when its last mark was written; None if it has left none.
    :param images: number of pictures.
    :param cost: what they cost in CNY, None if that is not known of any of them.
    :param previews: in a list of runs, some of its results: task instances, and numbers in their manifests.
    :param marks: on a page of one run, by task instance.
    """

    number: int
    dag_id: str
    run_id: str
    state: str | None
    time: datetime | None = None
    images: int = 0
    cost: float | None = None
    previews: list[tuple[Place, int]] = field(default_factory=list)
    marks: dict[Place, Mark] = field(default_factory=dict)

    def count(self, mark: Mark, *, times: int = 1) -> None:
        """Count what some task instances have left that have equal marks."""
        self.images += times * mark.images
        if mark.cost is not None:
            self.cost = (self.cost or 0.0) + times * mark.cost

    def only(self, places: Collection[Place]) -> Run:
        """Return what some of its task instances have left."""
        marks = {place: mark for place, mark in self.marks.items() if place in places}
        run = replace(self, images=0, cost=None, marks=marks)
        for mark in marks.values():
            run.count(mark)
        return run

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


def list_runs(
    session: Session,
    readable: Callable[[Collection[str]], Collection[str]],
    *,
    dag_id: str | None,
    task_id: str | None,
    before: int,
    count: int = 20,
) -> tuple[list[Run], int | None]:
    """Return runs that have left marks, the latest first.

    :param readable: tells which DAGs may be shown.
    :param dag_id: only runs of this DAG.
    :param task_id: only marks of this task count.
    :param before: only runs whose number is lower.
    :param count: how many at most.
    :return: the runs, and the number before which to go on; None if no older run is left.
    """
    rows: list[Run] = []
    for _ in range(STEPS):
        query = select(DagRun.id, DagRun.dag_id, DagRun.run_id, DagRun.state)
        query = query if dag_id is None else query.where(DagRun.dag_id == dag_id)
        query = query.where(DagRun.id < before).order_by(DagRun.id.desc()).limit(STEP)
        step = session.execute(query).all()
        shown = readable({each[1] for each in step})
        found = {each[0]: Run(each[0], each[1], each[2], _text(each[3])) for each in step if each[1] in shown}
        _add_up(session, found, task_id)
        for each in step:
            before = each[0]
            if before in found and found[before].time is not None:
                rows.append(found[before])
            if len(rows) == count:
                break
        if len(rows) == count or len(step) < STEP:
            break
    older = before if len(rows) == count or len(step) == STEP else None
    _add_previews(session, {row.number: row for row in rows}, task_id)
    return rows, older


def _add_up(session: Session, rows: dict[int, Run], task_id: str | None) -> None:
    # The marks of mapped copies are mostly equal, so that ten thousand of them are a few rows here.
    query, entity = _of_runs(rows, task_id)
    value = _value(entity)
    query = query.with_only_columns(entity.dag_run_id, value, func.count(), func.max(entity.timestamp))
    for number, stored, times, time in session.execute(query.group_by(entity.dag_run_id, value)):
        row = rows[number]
        if (mark := Mark.read(fetched(stored, row.dag_id, row.run_id))) is not None:
            row.count(mark, times=times)
            row.time = max(row.time, time) if row.time else time


def _add_previews(session: Session, rows: dict[int, Run], task_id: str | None) -> None:
    query, entity = _of_runs(rows, task_id)
    query = query.with_only_columns(entity.dag_run_id, *_place(entity), _value(entity))
    most = 4
    query = query.where(entity.map_index < most).order_by(entity.task_id, entity.map_index)
    for number, task, map_index, region, stored in session.execute(query):
        row = rows[number]
        mark, previews = Mark.read(fetched(stored, row.dag_id, row.run_id)), row.previews
        if mark is not None and mark.kind == "copy":
            free = range(min(mark.images, most - len(previews)))
            previews.extend((_placed(task, map_index, region), result) for result in free)


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
    query, entity = _of_run(dag_id, run_id, MARK, task_ids=task_id)
    query = query.with_only_columns(*_place(entity), entity.timestamp, _value(entity))
    query = query.where(entity.dag_run_id == run.number).order_by(entity.task_id, entity.map_index)
    for task, map_index, region, time, stored in session.execute(query):
        if (mark := Mark.read(fetched(stored, dag_id, run_id))) is not None:
            run.marks[_placed(task, map_index, region)] = mark
            run.count(mark)
            run.time = max(run.time, time) if run.time else time
    return run


def manifests(session: Session, run: Run, places: Collection[Place]) -> dict[Place, Any]:
    """Return what some task instances of a run have returned, as it is stored."""
    query, entity = _of_run(
        run.dag_id,
        run.run_id,
        RETURN_VALUE,
        task_ids={place.task_id for place in places},
        map_indexes={place.map_index for place in places},
    )
    found = session.execute(query.with_only_columns(*_place(entity), _value(entity)))
    stored = {_placed(*row[:3]): fetched(row[3], run.dag_id, run.run_id) for row in found}
    return {place: stored[place] for place in places if place in stored}


def left_by(session: Session, dag_id: str, run_id: str, place: Place) -> tuple[Place, dict[str, Any]]:
    """Return a task instance with its mark and what it has returned, as they are stored, by their keys."""
    query, entity = _of_run(dag_id, run_id, None, task_ids=place.task_id, map_indexes=place.map_index)
    query = query.with_only_columns(*_place(entity), entity.key, _value(entity))
    rows = session.execute(query.where(entity.key.in_((MARK, RETURN_VALUE)))).all()
    place = next(filter(place.may_be, (_placed(*row[:3]) for row in rows)), place)
    own = [row for row in rows if _placed(*row[:3]) == place]
    return place, {row[3]: fetched(row[4], dag_id, run_id) for row in own}


def instances(session: Session, run: Run, places: Collection[Place]) -> dict[Place, Instance]:
    """Return some task instances of a run."""
    # Of Airflow's models, the type of this one is not known.
    model: Any = TaskInstance
    index = model.map_index if _entity is None else model.region_index
    region = null() if _entity is None else model.region_id
    rows = session.execute(
        select(model.task_id, index, region, model.state, model.rendered_map_index).where(
            model.dag_id == run.dag_id,
            model.run_id == run.run_id,
            tuple_(model.task_id, index).in_([place[:2] for place in places]),
        )
    )
    return {_placed(*row[:3]): Instance(_text(row[3]), row[4]) for row in rows}


def _of_run(dag_id: str, run_id: str, key: str | None, **scope: Any) -> tuple[Any, Any]:
    """Make a query for XComs of one run, and name what its columns belong to."""
    everywhere: dict[str, Any] = {} if _entity is None else {"region_id": None}
    query: Any = XComModel.get_many(run_id=run_id, dag_ids=dag_id, key=key, **scope, **everywhere)
    return query.order_by(None), XComModel if _entity is None else _entity(query)


def _of_runs(numbers: Iterable[int], task_id: str | None) -> tuple[Any, Any]:
    """Make a query for marks of some runs, likewise."""
    if _entity is None:
        model: Any = XComModel
        # By columns and not as objects of the model, which would join the run to every row.
        query: Any = select(model.dag_run_id).where(model.dag_run_id.in_(numbers), model.key == MARK)
        return (query if task_id is None else query.where(model.task_id == task_id)), model
    own_run = and_(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id)
    producers = select(TaskInstance.id).join(DagRun, own_run).where(DagRun.id.in_(numbers))
    if task_id is not None:
        producers = producers.where(TaskInstance.task_id == task_id)
    # Which run is asked about follows from its task instances here.
    get_many: Any = XComModel.get_many
    query = get_many(run_id="*", key=MARK, producer_ids=producers).order_by(None)
    return query, _entity(query)


def _value(entity: Any) -> Any:
    """As it is stored: one value that SQLAlchemy cannot decode, as it is nested too deeply, would break the list of all."""
    return cast(entity.value, Text)


def _place(entity: Any) -> tuple[Any, Any, Any]:
    return entity.task_id, entity.map_index, null() if _entity is None else entity.region_id


def _placed(task_id: str, map_index: int, region_id: Any) -> Place:
    # A UUID of zeros is Airflow's word for no region.
    return Place(task_id, map_index, str(region_id) if region_id is not None and region_id.int else None)


def _text(state: Any) -> str | None:
    return None if state is None else str(getattr(state, "value", state))
