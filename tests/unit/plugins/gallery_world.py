"""An Airflow database with runs that have left pictures, and browsers of its users."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from airflow import settings
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from PIL import Image
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.gallery_marks import MARK, batch_mark, copy_mark
from airflow_provider_wanx.jobs.copying.result_metadata import Provenance, ownership
from airflow_provider_wanx.plugins.wanx_gallery import PREFIX
from tests.unit.support.airflow_names import AIRFLOW

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
PICTURES = "pictures"
RUN = "manual__2026-11-01T00:00:00+00:00"


@dataclass
class Browser:
    """A user's way to the gallery.

    :param token: the user's; None for nobody.
    """

    client: TestClient
    token: str | None

    def get(self, path: str, **query: Any) -> Any:
        """Load a page of the gallery."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return self.client.get(PREFIX + path, params=query or None, headers=headers)


def entry(task: str = "task-1", **fields: Any) -> dict[str, Any]:
    """An entry of a copy's manifest."""
    end = BEGIN + timedelta(seconds=14)
    return {
        "bucket": PICTURES,
        "key": f"results/{task}.png",
        "bytes": 1234,
        "sha256": "0" * 64,
        "content_type": "image/png",
        "dashscope_task_id": task,
        "index": 0,
        "style": 31,
        "source": "s3://pictures/faces/ada.png",
        "model": "wanx-style-repaint-v1",
        "written": True,
        "submit_time": BEGIN.isoformat(),
        "end_time": end.isoformat(),
        "cost": 0.12,
        **fields,
    }


@dataclass
class World:
    """What is in the database."""

    rows: dict[Any, list[dict[str, Any]]] = field(default_factory=dict)
    runs: int = 0

    def clear(self) -> None:
        """Empty the tables."""
        with database().begin() as connection:
            # What they have left goes with them.
            for table in (TaskInstance, DagRun):
                connection.execute(sa.delete(table))

    def run(self, dag_id: str = "faces", run_id: str = RUN, *, number: int | None = None) -> int:
        """Add a run; return its id in the database."""
        self.runs = number or self.runs + 1
        insert(DagRun, [run_row(self.runs, dag_id, run_id)])
        return self.runs

    def copy(
        self,
        *manifest: Any,
        dag_id: str = "faces",
        run_id: str = RUN,
        task_id: str = "copy",
        map_index: int = -1,
        **more: Any,
    ) -> None:
        """Add a copy's task instance with its manifest, and the mark that goes with it."""
        costs = [each for each in manifest if isinstance(each, dict) and "cost" in each]
        mark = copy_mark(costs) | {"images": len(manifest)}
        self.task(
            {"return_value": list(manifest), MARK: mark, **more},
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
        )

    def batch(self, *, rows: int = 3, done: int = 2, prefix: str = "bulk/", **place: Any) -> None:
        """Add a batch's task instance with its mark."""
        summary = {"images": rows, "succeeded": done, "cost": round(done * 0.12, 2)}
        mark = batch_mark(summary, bucket=PICTURES, prefix=prefix)
        self.task({MARK: mark}, **{"task_id": "repaint", **place})

    def task(
        self,
        xcoms: dict[str, Any],
        *,
        dag_id: str = "faces",
        run_id: str = RUN,
        task_id: str = "copy",
        map_index: int = -1,
        state: str = "success",
    ) -> None:
        """Add a task instance with its XComs."""
        with database().connect() as connection:
            number = connection.scalar(
                sa.select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            )
        number = number or self.run(dag_id, run_id)
        place = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
        insert(TaskInstance, [instance_row(place, state)])
        with Session(settings.engine) as session:
            for key, value in xcoms.items():
                set_xcom(session, key, value, place)
            session.commit()

    def many(self, runs: int, copies: int) -> None:
        """Add many runs at once, each with mapped copies of one result."""
        manifest = [entry()]
        mark = copy_mark(manifest)
        run_rows: list[dict[str, Any]] = []
        places: list[dict[str, Any]] = []
        for number in range(1, runs + 1):
            run_id = f"run-{number}"
            run_rows.append(run_row(number, "faces", run_id))
            places += [
                {"dag_id": "faces", "run_id": run_id, "task_id": "copy", "map_index": map_index}
                for map_index in range(copies)
            ]
        insert(DagRun, run_rows)
        insert(TaskInstance, [instance_row(place) for place in places])
        with Session(settings.engine) as session:
            for place in places:
                set_xcom(session, MARK, mark, place)
                set_xcom(session, "return_value", manifest, place)
            session.commit()


def set_xcom(session: Session, key: str, value: Any, place: dict[str, Any]) -> None:
    """Write an XCom as Airflow's API does."""
    from airflow.models.xcom import XComModel  # Airflow 2 has no such class

    # Airflow 3.1 makes text of it itself.
    as_it_is: dict[str, Any] = {"serialize": False} if AIRFLOW >= (3, 2) else {}
    XComModel.set(key, value, **place, **as_it_is, session=session)


def run_row(number: int, dag_id: str, run_id: str) -> dict[str, Any]:
    """A run as it stands in the database."""
    ids = {"id": number, "dag_id": dag_id, "run_id": run_id}
    return {**ids, "run_type": "manual", "state": "success", "run_after": BEGIN}


def instance_row(place: dict[str, Any], state: str = "success") -> dict[str, Any]:
    """A task instance as it stands in the database; since Airflow 3.4, it has a place in a region."""
    region = {"region_index": place["map_index"]} if AIRFLOW >= (3, 4) else {}
    return {**place, **region, "pool": "default_pool", "state": state}


def database() -> Any:
    """Return the engine of Airflow's database."""
    return settings.engine


def insert(model: Any, rows: list[dict[str, Any]]) -> None:
    """Write rows into a table of Airflow."""
    with database().begin() as connection:
        connection.execute(sa.insert(model), rows)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collect the SQL statements that are run meanwhile."""
    statements: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = settings.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def portrait(color: str = "navy", size: tuple[int, int] = (300, 320), kind: str = "PNG") -> bytes:
    """A picture of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, kind)
    return stream.getvalue()


def owned(
    dag_id: str = "faces", task_id: str = "copy", *, run_id: str = RUN, map_index: int = -1
) -> dict[str, str]:
    """The metadata by which an object says which task instance has written it."""
    return ownership(Identity(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index))


def origin(
    source: str = "s3://pictures/faces/ada.png", task: str = "task-1", owner: dict[str, str] | None = None
) -> dict[str, str]:
    """The metadata of an object that a copy has written.

    :param owner: by default, the task instance of :meth:`World.copy`.
    """
    return {"dashscope-task-id": task, **Provenance(source=source, style=31).metadata(), **(owner or owned())}
