"""What databases do for the gallery's queries, beside a hundred thousand XComs of others. Needs an Airflow with the gallery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from airflow.models import import_all_models, xcom
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy.orm import Session

from airflow_provider_wanx.jobs.copying.gallery_marks import MARK, copy_mark
from airflow_provider_wanx.plugins.gallery import runs
from tests.unit.plugins.gallery_world import BEGIN, entry, instance_row, run_row, set_xcom
from tests.unit.support.airflow_names import AIRFLOW

OTHERS = 5_000
"""Runs of other DAGs, with four task instances each, and five XComs of each of those."""

OURS = 30


def fill(engine: sa.Engine, *, others: int = OTHERS) -> None:
    """Make Airflow's tables, with runs of others around some that have left pictures."""
    import_all_models()
    Base.metadata.create_all(engine)
    numbers = range(1, others + OURS + 1)
    ours = set(range(others // OURS, others + OURS, others // OURS))
    with engine.begin() as connection:
        ids = {number: _ids(number, "copy", ours=number in ours) for number in numbers}
        rows = [run_row(number, each["dag_id"], each["run_id"]) for number, each in ids.items()]
        connection.execute(sa.insert(DagRun), rows)
        tasks = ("copy", "other-1", "other-2", "other-3")
        places = [{**each, "task_id": task_id, "map_index": -1} for each in ids.values() for task_id in tasks]
        connection.execute(sa.insert(TaskInstance), [instance_row(place) for place in places])
        # Nothing of Airflow writes so many at once.
        model: Any = getattr(xcom, "XComModelV2", XComModel)
        connection.execute(sa.insert(model), list(_of_others(connection, ours)))
    with Session(engine) as session:
        for number in ours:
            for key, value in {MARK: copy_mark([entry()]), "return_value": [entry()]}.items():
                set_xcom(session, key, value, _ids(number, "copy", ours=True))
        session.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))


def _ids(number: int, task_id: str, *, ours: bool) -> dict[str, Any]:
    dag_id = "faces" if ours else f"other-{number % 50}"
    return {"dag_id": dag_id, "run_id": f"run-{number}", "task_id": task_id}


def _of_others(connection: sa.Connection, ours: set[int]) -> Iterator[dict[str, Any]]:
    instances = connection.execute(
        sa.select(
            TaskInstance.id, DagRun.id, TaskInstance.task_id, TaskInstance.dag_id, TaskInstance.run_id
        ).join(DagRun, sa.and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id))
    )
    for instance, number, task_id, dag_id, run_id in instances.all():
        if number in ours:
            continue
        for key in ("return_value", *(f"key-{each}" for each in range(4))):
            row = {"key": key, "value": {"a": [1, 2, 3]}, "timestamp": BEGIN}
            if AIRFLOW >= (3, 4):
                yield {**row, "task_instance_id": instance}
            else:
                place = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": -1}
                yield {**row, **place, "dag_run_id": number}


def plans(engine: sa.Engine, explain: Callable[[sa.Connection, str, Any], list[str]]) -> dict[str, list[str]]:
    """Ask all that the gallery's pages ask; return what the database does for each statement.

    :param explain: tells of a statement and its parameters which tables are scanned.
    """
    asked: list[tuple[str, Any]] = []
    with Session(engine) as session:
        with _noted(engine, asked):
            found, older = runs.list_runs(session, set, dag_id=None, task_id=None, before=2**31 - 1)
            assert len(found) > 3
            assert older is not None
            for task_id in (None, "copy"):
                rows, _ = runs.list_runs(session, set, dag_id="faces", task_id=task_id, before=2**31 - 1)
                assert len(rows) == 20
                assert all(row.previews for row in rows)
            run = runs.get_run(session, "faces", rows[0].run_id)
            (place,) = run.marks
            assert runs.get_run(session, "faces", rows[0].run_id, "copy").marks == run.marks
            assert set(runs.manifests(session, run, {place})) == {place}
            assert set(runs.left_by(session, "faces", rows[0].run_id, place)[1]) == {MARK, "return_value"}
            assert set(runs.instances(session, run, {place})) == {place}
        connection = session.connection()
        return {statement: explain(connection, statement, parameters) for statement, parameters in asked}


@contextmanager
def _noted(engine: sa.Engine, asked: list[tuple[str, Any]]) -> Iterator[None]:
    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
