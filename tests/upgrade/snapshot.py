"""What one Airflow task had left at some moment: in Airflow, at the service and in its bucket.

A snapshot is a folder::

    airflow.json    the task and its connection, and what Airflow stores of it
    service.json    the tasks that the service had accepted
    bucket/         the objects, under their keys
    bucket.json     their content types and metadata
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

WRITTEN = Path(__file__).parent / "written"
"""A folder for each version, in it a folder for each snapshot."""

Then = Literal["trigger", "worker", "retry", "clear", "next run"]


@dataclass(frozen=True, kw_only=True)
class Object:
    """An object of the bucket."""

    key: str
    body: bytes
    content_type: str
    metadata: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """See the module.

    :param then: who goes on: the ``trigger`` that is stored, a ``worker`` with the event that is stored, or a ``retry``; or
        what a user does: ``clear`` the task, or start the ``next run`` of the DAG.
    :param taken_at: when it was taken, in seconds since 1970.
    :param provider: the version that has written it.
    :param airflow: Airflow's.
    :param connection: the DashScope connection, without the key.
    :param tasks: class and arguments of the DAG's tasks, one after the other; the last one is the snapshot's.
    :param trigger: class path and arguments, as the table ``trigger`` has them.
    :param next_method: what Airflow calls after the deferral.
    :param next_kwargs: with which arguments, as the task instance's row has them.
    :param xcoms: Airflow's task id → key → value.
    :param task_state: key → value; None for an Airflow without a task state store.
    :param accepted: what the service had accepted, in order.
    :param objects: the bucket's.
    :param expected: ``accepted``: how many tasks the service has accepted in the end; ``canceled``: how many of them it has
        canceled; ``returns``: what the task returns, or the fields that count; ``results``: keys of the results.
    """

    then: Then
    taken_at: float
    provider: str
    airflow: str
    connection: dict[str, Any]
    tasks: list[dict[str, Any]]
    run_id: str
    max_tries: int
    trigger: dict[str, Any] | None = None
    next_method: str | None = None
    next_kwargs: dict[str, Any] | None = None
    xcoms: dict[str, dict[str, Any]] = field(default_factory=dict)
    task_state: dict[str, Any] | None = None
    accepted: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    objects: list[Object] = field(default_factory=list)
    expected: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the folder.

        :raises FileExistsError: there is one: what an earlier version has written is never changed.
        """
        folder.mkdir(parents=True)
        stored = asdict(self)
        accepted, settings = stored.pop("accepted"), stored.pop("settings")
        del stored["objects"]
        _write(folder / "airflow.json", stored)
        _write(folder / "service.json", {"settings": settings, "accepted": accepted})
        about = {
            each.key: {"content_type": each.content_type, "metadata": each.metadata} for each in self.objects
        }
        _write(folder / "bucket.json", about)
        for each in self.objects:
            path = folder / "bucket" / each.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(each.body)

    @classmethod
    def load(cls, folder: Path) -> Snapshot:
        """Read the folder. What only later versions know of a snapshot has its default."""
        stored = {**_read(folder / "airflow.json"), **_read(folder / "service.json")}
        objects = [
            Object(key=key, body=(folder / "bucket" / key).read_bytes(), **about)
            for key, about in _read(folder / "bucket.json").items()
        ]
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known}, objects=objects)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
