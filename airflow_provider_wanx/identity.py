"""Which task instance it is: the same for every try, and for all that is named after it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What tells a task instance from all others.

    :param map_index: number among the copies of a mapped task, -1 if it is not mapped.
    :param region_id: the loop or the expansion that has made it, from Airflow 3.4 on; None if it is in neither.
    :param region_index: its place there, for instance the iteration of the loop. All iterations have the same ``map_index``.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    region_id: str | None = None
    region_index: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return its fields; outside of regions the four that every Airflow knows."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        place = f" [{self.map_index}]" if self.map_index >= 0 else ""
        if self.region_id is not None:
            place += "" if self.map_index >= 0 else f", iteration {self.region_index}"
            place += f" in region {self.region_id}"
        return f"task {self.task_id}{place} of run {self.run_id} of DAG {self.dag_id}"


def identity_of(ti: Any) -> Identity:
    """Make the identity of a task instance of Airflow, as a running task has it."""
    region_id = getattr(ti, "region_id", None)
    # A UUID of zeros is Airflow's word for no region.
    in_region = region_id is not None and UUID(str(region_id)).int != 0
    return Identity(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else int(ti.map_index),
        region_id=str(region_id) if in_region else None,
        region_index=getattr(ti, "region_index", None) if in_region else None,
    )
