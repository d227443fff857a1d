"""What goes on in Airflow, read straight from its database: cheap, and there even when the API server is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, LiteralString, TypeVar

import psycopg

from tests.stack import StackError

_T = TypeVar("_T")

_POLL_SECONDS = 0.25
_TRIGGERS_EVERY = 1.0

RunKey = tuple[str, str]
TaskKey = tuple[str, int]

_INSTANCES: LiteralString = """
    SELECT dag_id, run_id, task_id, map_index, state, try_number, pid FROM task_instance
"""
_RUNS: LiteralString = "SELECT dag_id, run_id, state FROM dag_run"
_TRIGGERS: LiteralString = "SELECT id, classpath, kwargs FROM trigger"


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A task instance at a moment."""

    state: str | None
    try_number: int
    pid: int | None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All runs at a moment."""

    runs: dict[RunKey, str] = field(default_factory=dict)
    instances: dict[RunKey, dict[TaskKey, Instance]] = field(default_factory=dict)

    def instance(self, run: RunKey, task_id: str, map_index: int = -1) -> Instance | None:
        """One task instance."""
        return self.instances.get(run, {}).get((task_id, map_index))

    def count(self, run: RunKey, task_id: str, state: str) -> int:
        """How many of a task's instances are in a state."""
        rows = self.instances.get(run, {})
        return sum(each.state == state for (name, _), each in rows.items() if name == task_id)


_ORDER = ("images", "submit", "repaint", "wait", "copy", "copy_2")


def _place(key: TaskKey) -> tuple[int, str, int]:
    """Where a task stands in its DAG."""
    task_id, map_index = key
    return _ORDER.index(task_id) if task_id in _ORDER else len(_ORDER), task_id, map_index


class Observer:
    """
    Reads the database a few times a second, in a thread of its own; also keeps every trigger row that was ever there.

    :param dsn: the database, for libpq
    """

    def __init__(self, *, dsn: str) -> None:
        self._dsn = dsn
        self._changed = threading.Condition()
        self._snapshot = Snapshot()
        self._taken = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._observe, name="observer", daemon=True)
        self.trigger_rows: dict[int, str] = {}

    def start(self) -> None:
        """Begin to observe."""
        self._thread.start()

    def stop(self) -> None:
        """End, and let everybody who waits fail."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)

    @property
    def stopped(self) -> bool:
        """Whether it was told to end, and everybody with it."""
        return self._stopping.is_set()

    def until(self, condition: Callable[[Snapshot], _T | None], *, timeout: float, what: str) -> _T:
        """
        Wait until a snapshot fulfils a condition, and return what the condition returned.

        :param condition: called with each new snapshot
        :param timeout: seconds until this gives up
        :param what: what is waited for, for the message
        :raises StackError: when the time is over, or the observer was stopped
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                if value := condition(self._snapshot):
                    return value
                left = deadline - time.monotonic()
                if left <= 0:
                    raise StackError(f"Waited {timeout:.0f} s in vain for {what}")
                if self._stopping.is_set():
                    raise StackError(f"Stopped while waiting for {what}")
                self._changed.wait(timeout=left)

    def catch_up(self) -> None:
        """Wait until the latest snapshot is later than this call."""
        wanted = self._taken + 2
        self.until(lambda _: self._taken >= wanted, timeout=60, what="the observer to look again")

    def query(self, sql: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the database something else."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            return connection.execute(sql, parameters).fetchall()

    def tries(self, run: RunKey) -> dict[TaskKey, list[str]]:
        """The state in which each try of each task instance of a run ended, or is."""
        sql: LiteralString = """
            SELECT task_id, map_index, state, try_number FROM task_instance_history
            WHERE dag_id = %s AND run_id = %s
            UNION ALL
            SELECT task_id, map_index, state, try_number FROM task_instance
            WHERE dag_id = %s AND run_id = %s
            ORDER BY try_number
        """
        found: dict[TaskKey, list[str]] = {}
        for task_id, map_index, state, *_ in self.query(sql, *run, *run):
            found.setdefault((task_id, map_index), []).append(state or "none")
        return dict(sorted(found.items(), key=lambda item: _place(item[0])))

    def _observe(self) -> None:
        while not self._stopping.is_set():
            with suppress(psycopg.Error), psycopg.connect(self._dsn, autocommit=True) as connection:
                self._observe_through(connection)
            self._stopping.wait(0.5)

    def _observe_through(self, connection: psycopg.Connection[Any]) -> None:
        triggers_at = 0.0
        while not self._stopping.is_set():
            # The runs first: what they lead to must be visible in what is read after them.
            runs = {(dag_id, run_id): state for dag_id, run_id, state in connection.execute(_RUNS)}
            instances: dict[RunKey, dict[TaskKey, Instance]] = {}
            for dag_id, run_id, task_id, map_index, state, try_number, pid in connection.execute(_INSTANCES):
                instance = Instance(state=state, try_number=try_number, pid=pid)
                instances.setdefault((dag_id, run_id), {})[task_id, map_index] = instance
            with self._changed:
                self._snapshot = Snapshot(runs=runs, instances=instances)
                self._taken += 1
                self._changed.notify_all()
            if time.monotonic() >= triggers_at:
                triggers_at = time.monotonic() + _TRIGGERS_EVERY
                for number, classpath, kwargs in connection.execute(_TRIGGERS):
                    self.trigger_rows[number] = f"{classpath} {kwargs}"
            self._stopping.wait(_POLL_SECONDS)
