"""Ledgers in memory, and processes that work with them and die."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_wanx.batch.batch_destination import BatchDestination
from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.batch.ledger.stored import MAX_OBJECT_BYTES
from airflow_provider_wanx.batch.plan import plan
from airflow_provider_wanx.batch.result_keys import DEFAULT_KEY, ResultKeys
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.destinations import S3Destination
from airflow_provider_wanx.s3.objects import ObjectStore
from tests.unit.support.memory_s3 import MemoryS3

OWNER = Identity(dag_id="portraits", run_id="monday", task_id="bulk", map_index=-1)
OTHER = Identity(dag_id="portraits", run_id="tuesday", task_id="bulk", map_index=2)

DESTINATION = BatchDestination(
    prefix="out/", owner=OWNER, results=S3Destination(client=MemoryS3(), bucket="results")
)

IDENTITY = {"prefix": "s3://people/", "styles": [2]}

NOW = 1_790_000_000.0


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """What outlives a process: the store, the clock, and what the service has accepted."""

    s3: MemoryS3 = field(default_factory=MemoryS3)
    clock: Clock = field(default_factory=Clock)
    accepted: Counter[int] = field(default_factory=Counter)
    kept: dict[int, int] = field(default_factory=dict)

    def ledger(self, owner: Identity = OWNER, **identity: Any) -> Ledger:
        """Make a process's ledger, not acquired yet."""
        store = ObjectStore(self.s3, bucket="results", prefix="out/_ledger/", max_bytes=MAX_OBJECT_BYTES)
        return Ledger(store, owner=owner, identity={**IDENTITY, **identity}, clock=self.clock)

    def acquired(self, owner: Identity = OWNER) -> Ledger:
        """Make a process's ledger and take it."""
        ledger = self.ledger(owner)
        ledger.acquire()
        return ledger

    def planned(self, count: int, owner: Identity = OWNER) -> Ledger:
        """Make a ledger that has some rows and is taken."""
        ledger = self.acquired(owner)
        add(ledger, images(count))
        return ledger

    def body(self, name: str) -> bytes:
        """Return an object of the ledger."""
        return self.s3.objects[f"out/_ledger/{name}"]

    def put(self, name: str, body: bytes) -> None:
        """Change an object of the ledger behind its back."""
        self.s3.objects[f"out/_ledger/{name}"] = body

    def remove(self, name: str) -> None:
        """Delete an object of the ledger."""
        del self.s3.objects[f"out/_ledger/{name}"]


def images(count: int, *, start: int = 0) -> Iterator[Row]:
    """Images that all differ."""
    return (Row(image=f"s3://people/{number}.jpg", style=2) for number in range(start, start + count))


def add(ledger: Ledger, source: Iterable[Any], template: str = DEFAULT_KEY) -> int:
    """Plan an input."""
    return plan(ledger, source, keys=ResultKeys(template))


def submit(world: World, ledger: Ledger, row: Row) -> None:
    """Submit an image the way a batch does."""
    ledger.update(row, status=RowStatus.INTENT, submission={"phase": "intent"})
    ledger.flush()
    world.kept[row.row] = row.revision
    world.accepted[row.row] += 1
    ledger.update(row, status=RowStatus.SUBMITTED, submission=None, dashscope_task_id=f"task-{row.row}")


def work(world: World, count: int, owner: Identity = OWNER) -> Ledger:
    """Do what one process does for a whole batch, if nothing kills it."""
    ledger = world.acquired(owner)
    check_nothing_forgotten(world, ledger)
    add(ledger, images(count))
    for row in list(ledger.rows.in_states(RowStatus.INTENT)):
        known = {"dashscope_task_id": f"task-{row.row}"} if world.accepted[row.row] else {}
        ledger.update(
            row, status=RowStatus.SUBMITTED if known else RowStatus.PLANNED, submission=None, **known
        )
    ledger.flush()
    for row in ledger.rows.in_states(RowStatus.PLANNED):
        submit(world, ledger, row)
        if row.row % 3 == 2:
            _finish(ledger)
    _finish(ledger)
    ledger.compact(lease=0)
    return ledger


def _finish(ledger: Ledger) -> None:
    for row in list(ledger.rows.in_states(RowStatus.SUBMITTED)):
        ledger.update(row, status=RowStatus.SUCCEEDED, billed=1, key=f"{row.row}.png", bytes=10)
    ledger.flush()


def check_nothing_forgotten(world: World, ledger: Ledger) -> None:
    """Hold what a new process reads against what has happened."""
    assert all(ledger.rows[row].revision >= revision for row, revision in world.kept.items())
    assert all(ledger.rows[row].status is not RowStatus.PLANNED for row in world.accepted)
    assert sum(1 for _ in ledger.rows.in_states(RowStatus.INTENT)) <= 1
