"""A world to submit in: a service with a ledger, an unreliable way to it, workers that die, and users who clear.

Time is the world's own. Each step that a submitting worker takes on the world may be its last one, and every answer may get
lost; what is submitted, kept and returned can be looked at afterwards.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS, ClientConfig
from airflow_provider_wanx.dashscope.errors import (
    InvalidResponseError,
    LostAnswerError,
    ProviderError,
    TransportError,
    api_error,
)
from airflow_provider_wanx.dashscope.models import Submission, TaskPage, TaskRow, TaskStatus
from airflow_provider_wanx.dashscope.store import Store, Version
from airflow_provider_wanx.identity import identity_of
from airflow_provider_wanx.jobs.submitting.record_stores import RecordStore, TaskState
from airflow_provider_wanx.jobs.submitting.submission_record import Phase, Record, SubmissionRecord
from airflow_provider_wanx.jobs.submitting.submitter import OnUnconfirmed, Submitter, TaskRequest
from airflow_provider_wanx.s3.objects import ObjectStore
from tests.unit.support.airflow import DagRun, StateStore, TaskInstance
from tests.unit.support.memory_s3 import MemoryS3

MODEL = "wanx-style-repaint-v1"
PAGE_SIZE = 3
"""The service's largest page: small, so that lists have several."""

TIMEOUT = 60
"""Seconds after which a worker gives up a request."""

KEPT_IN = "state"
"""Where the record is unless a test says otherwise."""

POSTS: dict[str, tuple[bool, Callable[[], ProviderError] | None]] = {
    "accepted": (True, None),
    "answer lost": (True, lambda: LostAnswerError("reset")),
    "answer garbled": (True, lambda: InvalidResponseError("garbage")),
    "accepted with 500": (True, lambda: api_error(code="InternalError", service_message="", http_status=500)),
    "request lost": (False, lambda: LostAnswerError("reset")),
    "500": (False, lambda: api_error(code="InternalError", service_message="", http_status=500)),
    "not sent": (False, lambda: TransportError("refused")),
    "throttled": (False, lambda: api_error(code="Throttling", service_message="", http_status=429)),
    "refused": (False, lambda: api_error(code="InvalidParameter", service_message="", http_status=400)),
}
"""What may become of a POST: whether the service accepts it, and the error that the worker sees."""


class KilledError(BaseException):
    """The worker was killed."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens to one try.

    :param why: ``retry``, ``clear``, ``discard`` for a clear that discards the task state, or ``change`` of the input.
    :param gap: seconds since the try before.
    :param skew: by how much this worker's clock is ahead.
    :param latency: seconds that each request takes.
    :param posts: what becomes of its POSTs, one after the other; then they are accepted.
    :param lists: whether the task list can be read, time after time; then it can.
    :param killed_at: step at which the worker is killed, None for not.
    :param input_gone: whether the input can no longer be read.
    """

    why: str = "retry"
    gap: float = 60.0
    skew: float = 0.0
    latency: float = 0.5
    posts: tuple[str, ...] = ()
    lists: tuple[bool, ...] = ()
    killed_at: int | None = None
    input_gone: bool = False


@dataclass(frozen=True)
class Accepted:
    """A task in the service's ledger."""

    task_id: str
    epoch: int
    created: float


@dataclass
class Worker:
    """One process: its clock, and how far it has come."""

    plan: Plan
    steps: int = 0
    posts: int = 0
    lists: int = 0


class _Store:
    """What one worker has of a store: it may die before or after every use."""

    def __init__(self, world: SubmissionWorld) -> None:
        self._world = world
        self._store = world.open_store()

    def url(self, name: str = "") -> str:
        return self._store.url(name)

    def read(self, name: str) -> Version:
        self._world.step()
        return self._store.read(name)

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        self._world.step()
        etag = self._store.write(name, body, replacing=replacing)
        self._world.step()
        return etag

    def delete(self, name: str) -> None:
        self._world.step()
        self._store.delete(name)
        self._world.step()


def _client(world: SubmissionWorld) -> Any:
    """The client of one worker, leading to the world's service."""

    def send(call: Call[Submission], *, before_sending: Callable[[], object]) -> Submission:
        world.calls.append(call)
        return world.post(before_sending)

    def cancel_task(task_id: str) -> bool:
        world.step()
        world.canceled.append(task_id)
        world.step()
        return True

    config = ClientConfig(api_key="sk-x", timeout=TIMEOUT, retry_for=60, workspace=world.workspace)
    return SimpleNamespace(config=config, send=send, list_tasks=world.list, cancel_task=cancel_task)


@dataclass
class SubmissionWorld:
    """One task instance of Airflow, and the service.

    :param lag: seconds after which a new task appears in the list.
    :param offset: by how much the service's clock is ahead.
    :param zone_error: by how much the list misreads the times of its filter.
    :param order: of the list's rows: ``newest``, ``oldest``, or ``shuffled`` anew at every request.
    :param page_cap: rows that a page has at most, whatever was asked for.
    :param totals: whether the list says how many rows and pages it has.
    :param on_unconfirmed: as of the operator.
    :param workspace: of the account.
    :param kept_in: where the record is: in Airflow's task ``state``, or in a ``bucket`` that the user has named.
    """

    lag: float = 0.0
    offset: float = 0.0
    zone_error: float = 0.0
    order: str = "newest"
    page_cap: int = PAGE_SIZE
    totals: bool = True
    on_unconfirmed: OnUnconfirmed = "fail"
    workspace: str | None = None
    kept_in: str = field(default_factory=lambda: KEPT_IN)
    now: float = 1_800_000_000.0
    max_tries: int = 2
    input: int = 0
    epoch: int = 0
    ledger: list[Accepted] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    returned: list[tuple[int, str]] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    calls: list[Call[Submission]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._state = StateStore()
        self.bucket = MemoryS3()
        self._worker = Worker(Plan())
        self._dice = random.Random(1)
        self._last_key: tuple[int, int] | None = None

    def run(self, plan: Plan) -> str | BaseException:
        """Run one try; return its id, or what ended it."""
        self.now += plan.gap
        self.max_tries += 3 if plan.why in ("clear", "discard") else 0
        if plan.why == "discard":
            self._state.values.clear()
            self.bucket.objects.clear()
        # An input that cannot be read cannot be seen to have changed.
        self.input += 1 if plan.why == "change" and not plan.input_gone else 0
        if (key := (self.input, self.max_tries)) != self._last_key:
            self.epoch += 1
            self._last_key = key
        self._worker = Worker(plan)
        submitter = Submitter(
            client=_client(self),
            record=SubmissionRecord(_Store(self)),
            max_tries=self.max_tries,
            on_unconfirmed=self.on_unconfirmed,
            claimed=lambda: frozenset(self.claimed),
            log=_Log(self),
            clock=self,
        )
        given = self.input
        request = TaskRequest(
            service="a/b",
            model=MODEL,
            identity={"picture": given},
            build_input=lambda: {"picture": given},
            parameters={"n": 1},
        )
        try:
            task_id = submitter.earlier_task(None if plan.input_gone else request)
            if task_id is None:
                if plan.input_gone:
                    raise ProviderError("The input is gone.")
                task_id = submitter.submit(request)
            self.step()
        except (ProviderError, KilledError) as error:
            return error
        self.returned.append((self.epoch, task_id))
        return task_id

    def accepted(self, epoch: int) -> list[str]:
        """Ids of the tasks that were accepted in one epoch: between two clears or changes of the input."""
        return [task.task_id for task in self.ledger if task.epoch == epoch]

    def others_submit(self, count: int = 1) -> list[str]:
        """Somebody else submits to the same model now."""
        ids = [f"other-{len(self.ledger) + number}" for number in range(count)]
        self.ledger += [Accepted(task_id, 0, self.now) for task_id in ids]
        return ids

    def open_store(self) -> Store:
        """Open the store as a new process does."""
        if self.kept_in == "state":
            return TaskState(self._state)
        objects = ObjectStore(self.bucket, bucket="bucket", prefix="records/")
        return RecordStore(objects, identity_of(TaskInstance(DagRun(), "repaint")))

    def record(self) -> Record | None:
        """What is kept at the moment."""
        return SubmissionRecord(self.open_store()).read()

    def time(self) -> float:
        """The worker's clock."""
        return self.now + self._worker.plan.skew

    def sleep(self, seconds: float, /) -> None:
        """Let the worker wait."""
        self.step()
        self.now += seconds

    def step(self) -> None:
        """Let the worker be killed here if that is its fate."""
        self._worker.steps += 1
        if self._worker.steps == self._worker.plan.killed_at:
            raise KilledError

    def post(self, before_sending: Callable[[], object]) -> Submission:
        """Take a submission, as the plan says."""
        plan = self._worker.plan
        outcome = plan.posts[self._worker.posts] if self._worker.posts < len(plan.posts) else "accepted"
        self._worker.posts += 1
        before_sending()
        self.step()
        record = self.record()
        if record is None or record.phase is not Phase.INTENT or record.max_tries != self.max_tries:
            raise AssertionError(f"A POST left without a record of its intent: {record}")
        accepted, error = POSTS[outcome]
        self.now += plan.latency / 2
        task_id = f"id-{len(self.ledger)}"
        if accepted:
            self.ledger.append(Accepted(task_id, self.epoch, self.now))
        self.now += plan.latency / 2
        self.step()
        if error is not None:
            raise error()
        return Submission(task_id=task_id, status=TaskStatus.PENDING)

    def list(
        self, *, model_name: str, start_time: datetime, end_time: datetime, page_no: int, page_size: int
    ) -> TaskPage:
        """Answer a request for the task list."""
        plan = self._worker.plan
        works = plan.lists[self._worker.lists] if self._worker.lists < len(plan.lists) else True
        self._worker.lists += 1
        if model_name != MODEL:
            raise AssertionError(f"The list was asked for tasks of {model_name}.")
        self.step()
        self.now += plan.latency
        if not works:
            raise TransportError("The list cannot be read.")
        first, last = start_time.timestamp() + self.zone_error, end_time.timestamp() + self.zone_error
        shown = [
            TaskRow(
                task_id=task.task_id,
                status=TaskStatus.PENDING,
                model_name=model_name,
                create_time=datetime.fromtimestamp(task.created + self.offset, tz=UTC),
            )
            for task in reversed(self.ledger)
            if self.lag <= self.now - task.created <= RESULT_LIFETIME_SECONDS
            and first <= task.created + self.offset <= last
        ]
        if self.order == "oldest":
            shown.reverse()
        elif self.order == "shuffled":
            self._dice.shuffle(shown)
        size = min(page_size, self.page_cap)
        return TaskPage(
            tasks=tuple(shown[(page_no - 1) * size : page_no * size]),
            total=len(shown) if self.totals else None,
            total_page=math.ceil(len(shown) / size) if self.totals else None,
            page_no=page_no,
            page_size=size,
            answered_at=datetime.fromtimestamp(math.floor(self.now + self.offset), tz=UTC),
        )


class _Log:
    """Keeps the warnings."""

    def __init__(self, world: SubmissionWorld) -> None:
        self._world = world

    def info(self, message: str, /, *args: Any) -> None:
        pass

    def warning(self, message: str, /, *args: Any) -> None:
        self._world.warnings.append(message % args if args else message)
