"""What goes on in Airflow, read straight from its database: cheap, and there even when the API server is not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, LiteralString, TypeVar

import psycopg
from packaging.version import Version

from tests.stack import StackError
from tests.stack.waiting import PATIENCE, NotNowError

_T = TypeVar("_T")

_POLL_SECONDS = 0.25
_TRIGGERS_EVERY = 1.0

RunKey = tuple[str, str]
TaskKey = tuple[str, int]
TriedKey = tuple[str, str, int]

_INSTANCES: LiteralString = """
    SELECT dag_id, run_id, task_id, map_index, state, try_number, pid FROM task_instance
"""
_TRIES: LiteralString = """
    SELECT task_id, '', map_index, state, try_number FROM task_instance_history
    WHERE dag_id = %s AND run_id = %s
    UNION ALL
    SELECT task_id, '', map_index, state, try_number FROM task_instance
    WHERE dag_id = %s AND run_id = %s
    ORDER BY try_number
"""
# From Airflow 3.4 on, every try is a row of its own, and has its place in a loop or among mapped copies.
_INSTANCES_3_4: LiteralString = """
    SELECT dag_id, run_id, task_id, region_index, state, try_number, pid FROM task_instance WHERE working_set
"""
_TRIES_3_4: LiteralString = """
    SELECT task_id, region_id::text, region_index, state, try_number FROM task_instance
    WHERE (dag_id, run_id) IN ((%s, %s), (%s, %s))
    ORDER BY try_number
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


def _place(key: TriedKey) -> tuple[int, TriedKey]:
    """Where a task stands in its DAG."""
    name = key[0].rpartition(".")[2]
    return _ORDER.index(name) if name in _ORDER else len(_ORDER), key


class Observer:
    """Reads the database a few times a second, in a thread of its own; also keeps every trigger row that was ever there.

    :param dsn: the database, for libpq
    :param airflow: version of the Airflow whose it is
    """

    def __init__(self, *, dsn: str, airflow: str) -> None:
        self._dsn = dsn
        has_regions = Version(airflow) >= Version("3.4.dev0")
        self._instances = _INSTANCES_3_4 if has_regions else _INSTANCES
        self._tries = _TRIES_3_4 if has_regions else _TRIES
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
        """Wait until a snapshot fulfils a condition, and return what the condition returned.

        :param condition: called with each new snapshot
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
        self.until(lambda _: self._taken >= wanted, timeout=PATIENCE, what="the observer to look again")

    def query(self, sql: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the database something else."""
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                return connection.execute(sql, parameters).fetchall()
        except psycopg.OperationalError as error:
            raise NotNowError(f"PostgreSQL: {error}") from error

    def tries(self, run: RunKey) -> dict[TriedKey, list[str]]:
        """The state in which each try of each task instance of a run ended, or is; by task, region and index."""
        found: dict[TriedKey, list[str]] = {}
        for task_id, region, index, state, _ in self.query(self._tries, *run, *run):
            found.setdefault((task_id, region, index), []).append(state or "none")
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
            for dag_id, run_id, task_id, index, state, try_number, pid in connection.execute(self._instances):
                instance = Instance(state=state, try_number=try_number, pid=pid)
                instances.setdefault((dag_id, run_id), {})[task_id, index] = instance
            with self._changed:
                self._snapshot = Snapshot(runs=runs, instances=instances)
                self._taken += 1
                self._changed.notify_all()
            if time.monotonic() >= triggers_at:
                triggers_at = time.monotonic() + _TRIGGERS_EVERY
                for number, classpath, kwargs in connection.execute(_TRIGGERS):
                    self.trigger_rows[number] = f"{classpath} {kwargs}"
            self._stopping.wait(_POLL_SECONDS)
