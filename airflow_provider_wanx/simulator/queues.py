"""Tasks from submission to oblivion: one queue for each model, first in, first out, few at once; and the list of them."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Any

from airflow_provider_wanx.simulator.clock import Clock, Pulse
from airflow_provider_wanx.simulator.errors import ServiceError
from airflow_provider_wanx.simulator.faults import FaultOrder, Faults
from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting.making import Item
from airflow_provider_wanx.simulator.settings import Settings

_ACCOUNT = "1200000000000000"

LONGEST_TASK_SECONDS = 10_800.0
"""From a submission until a task that has not ended fails, as documented."""


class Status(StrEnum):
    """The statuses that this service gives its tasks."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"


@dataclass(kw_only=True, slots=True, eq=False)
class Job:
    """A task. Its times are moments of the service's clock; what has not happened yet has none."""

    task_id: str
    request_id: str
    api_key_id: str
    order: Order
    fingerprint: str
    submitted: float
    deadline: float
    status: Status = Status.PENDING
    started: float | None = None
    due: float | None = None
    ended: float | None = None
    code: str = ""
    message: str = ""
    items: tuple[Item, ...] = ()
    billed: int = 0
    polls: int = 0
    downloads: int = 0

    def status_at(self, moment: float) -> Status:
        """Return the status that it had at a moment after its submission."""
        if self.ended is not None and self.ended <= moment:
            return self.status
        return Status.RUNNING if self.started is not None and self.started <= moment else Status.PENDING

    def row(self, clock: Clock, moment: float) -> dict[str, Any]:
        """Write its row of the task list, as it was at a moment: flat, times in milliseconds, no results and no error."""
        moments = {"gmt_create": self.submitted, "start_time": self.started, "end_time": self.ended}
        path = self.order.service.path.replace("/", ":")
        return {
            "api_key_id": self.api_key_id,
            "caller_parent_id": _ACCOUNT,
            "caller_uid": _ACCOUNT,
            **{
                name: int(clock.epoch(each) * 1000)
                for name, each in moments.items()
                if each is not None and each <= moment
            },
            "model_name": self.order.model,
            "region": "cn-beijing",
            "request_id": self.request_id,
            "status": str(self.status_at(moment)),
            "task_id": self.task_id,
            "user_api_unique_key": f"apikey:v1:{path}:{self.order.model}",
        }


logger = logging.getLogger(__name__)

_submitted = attrgetter("submitted")


@dataclass(kw_only=True, eq=False)
class _Lane:
    """The queue of one model."""

    capacity: int
    pending: OrderedDict[str, Job] = field(default_factory=OrderedDict)
    running: set[Job] = field(default_factory=set)
    workers: int = 0


class JobBoard:
    """All tasks of the account; ``make`` does a job's work, and raises ServiceError where the job fails."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        faults: Faults,
        make: Callable[[Job], Awaitable[tuple[Item, ...]]],
    ) -> None:
        self._settings, self._clock, self._faults, self._make = settings, clock, faults, make
        self._lanes: dict[str, _Lane] = {}
        self._by_id: dict[str, Job] = {}
        self._first_kept = 0
        self._progress = Pulse()
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: list[Job] = []
        self.counts: dict[Status, int] = dict.fromkeys(Status, 0)

    def close(self) -> None:
        """Stop all work."""
        for task in self._tasks:
            task.cancel()

    def admit(self, order: Order, *, api_key_id: str, fingerprint: str) -> Job:
        """Put an order into its queue.

        :raises ServiceError: the queue is full.
        """
        capacity = self._settings.concurrency or order.service.concurrency
        lane = self._lanes.setdefault(order.model, _Lane(capacity=capacity))
        if len(lane.pending) >= self._settings.queue_limit and lane.workers >= lane.capacity:
            # The documents give no figure and no code for this; throttling is what they say of every exceeded value.
            raise ServiceError("Throttling", "Too many tasks are waiting, try again later.", status=429)
        now = self._clock.now()
        job = Job(
            task_id=str(uuid.uuid4()),
            request_id=str(uuid.uuid4()),
            api_key_id=api_key_id,
            order=order,
            fingerprint=fingerprint,
            submitted=now,
            deadline=now + LONGEST_TASK_SECONDS,
        )
        self.all.append(job)
        self._by_id[job.task_id] = lane.pending[job.task_id] = job
        self.counts[Status.PENDING] += 1
        if lane.workers < lane.capacity:
            lane.workers += 1
            self._start(self._work(lane))
        return job

    def find(self, task_id: str) -> Job | None:
        """Return a task, unless it is unknown or was forgotten."""
        self.refresh()
        return self._by_id.get(task_id)

    def cancel(self, job: Job) -> bool:
        """Cancel a task that waits; tell whether it did."""
        if self._lanes[job.order.model].pending.pop(job.task_id, None) is None:
            return False
        self._move(job, Status.CANCELED, moment=self._clock.now())
        return True

    def page(
        self,
        *,
        task_id: str | None,
        status: str | None,
        model: str | None,
        since: float,
        until: float,
        page_no: int,
        page_size: int,
    ) -> tuple[list[dict[str, Any]], int]:
        """Return a page of the task list, and how many tasks the filter matches.

        The real list is fed from the tasks, and nothing promises that it keeps up with them: it shows what was true
        ``list_delay`` ago.

        :param task_id: only this task, whatever else is asked for.
        :param since: only tasks that were submitted from this moment on, and before ``until``.
        :param page_no: from 1.
        """
        moment = self._clock.now() - self._settings.list_delay
        if task_id is not None:
            job = self.find(task_id)
            found = [job] if job is not None and job.submitted <= moment else []
        else:
            self.refresh()
            first = max(bisect_left(self.all, since, key=_submitted), self._first_kept)
            last = min(
                bisect_left(self.all, until, key=_submitted), bisect_right(self.all, moment, key=_submitted)
            )
            found = [
                job
                for job in self.all[first:last]
                if model in (None, job.order.model) and status in (None, job.status_at(moment))
            ]
        if self._settings.list_order == "newest":
            found.reverse()
        shown = found[(page_no - 1) * page_size : page_no * page_size]
        if self._settings.list_order == "shuffled":
            # Any page of a random order is a random choice.
            shown = random.sample(found, len(shown))
        return [job.row(self._clock, moment) for job in shown], len(found)

    async def caught_up(self) -> None:
        """Wait until whatever should have happened by now has happened."""
        while any(map(self._behind, self._lanes.values())):
            await self._progress.wait()
        self.refresh()

    def refresh(self) -> None:
        """Fail what has waited too long, and forget what is too old; whoever looks at the tasks calls it first."""
        now = self._clock.now()
        for lane in self._lanes.values():
            # After a jump the workers first catch up with what they would have done meanwhile.
            while lane.pending and not self._behind(lane):
                job = next(iter(lane.pending.values()))
                if job.deadline > now:
                    break
                del lane.pending[job.task_id]
                self._fail_late(job)
        self._forget()

    def _behind(self, lane: _Lane) -> bool:
        now = self._clock.now()
        return any(job.due is not None and job.due <= now for job in lane.running)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, lane: _Lane) -> None:
        """Run one job after the other; each starts when the one before ended, however late the loop is."""
        free_since = 0.0
        try:
            while lane.pending:
                _, job = lane.pending.popitem(last=False)
                start = max(free_since, job.submitted)
                if start >= job.deadline:
                    self._fail_late(job)
                    continue
                lane.running.add(job)
                await self._run(job, start=start)
                lane.running.discard(job)
                free_since = job.ended or start
        finally:
            lane.workers -= 1

    async def _run(self, job: Job, *, start: float) -> None:
        fault = self._faults.strike("job", task_id=job.task_id, style=job.order.style, model=job.order.model)
        otherwise = fault.runs_for if fault is not None else None
        duration = self._settings.duration if otherwise is None else otherwise
        job.started, job.due = start, min(start + duration, job.deadline)
        self._move(job, Status.RUNNING, moment=start)
        began = self._clock.ticked()
        items: tuple[Item, ...] = ()
        failure: ServiceError | None = None
        try:
            items = await self._make(job)
        except ServiceError as error:
            failure = error
        except Exception:
            # Whatever the painter stumbles over, the queue behind this job must go on.
            logger.exception("Task %s could not be worked on", job.task_id)
            failure = _inference_error(None)
        ready = start + self._clock.ticked() - began
        end = ready if failure is not None else max(job.due, ready)
        job.due = min(end, job.deadline)
        self._progress.beat()
        await self._clock.sleep_until(job.due)
        if end >= job.deadline:
            self._fail_late(job)
        else:
            self._conclude(job, items=items, failure=failure, fault=fault)

    def _conclude(
        self, job: Job, *, items: tuple[Item, ...], failure: ServiceError | None, fault: FaultOrder | None
    ) -> None:
        moment = job.due if job.due is not None else self._clock.now()
        outcome = (fault and fault.outcome) or "SUCCEEDED"
        if outcome == "FAILED":
            failure = _inference_error(fault)
        if failure is not None:
            job.code, job.message = failure.code, failure.message
            self._move(job, Status.FAILED, moment=moment)
        elif outcome in (Status.CANCELED, Status.UNKNOWN):
            self._move(job, Status(outcome), moment=moment)
        else:
            if outcome == "PARTIAL":
                items = _with_one_failure(items, fault)
            job.items = items
            job.billed = max(1, sum(item.billed for item in items))
            self._move(job, Status.SUCCEEDED, moment=moment)

    def _fail_late(self, job: Job) -> None:
        job.code = "InternalError.Timeout"
        job.message = "An internal timeout error has occured during execution, please try again later."
        self._move(job, Status.FAILED, moment=job.deadline)

    def _move(self, job: Job, status: Status, *, moment: float) -> None:
        self.counts[job.status] -= 1
        self.counts[status] += 1
        job.status = status
        if status is not Status.RUNNING:
            job.ended = moment
        self._progress.beat()

    def _forget(self) -> None:
        now = self._clock.now()
        while self._first_kept < len(self.all):
            job = self.all[self._first_kept]
            # The stricter of the two documented readings: 24 hours from the submission, not from the end.
            if job.ended is None or now < job.submitted + self._settings.retention:
                return
            self._by_id.pop(job.task_id, None)
            job.items = ()
            self._first_kept += 1


def _inference_error(fault: FaultOrder | None) -> ServiceError:
    code, message = (fault.code, fault.message) if fault is not None else (None, None)
    return ServiceError(code or "InternalError.Algo", message or "inference error")


def _with_one_failure(items: tuple[Item, ...], fault: FaultOrder | None) -> tuple[Item, ...]:
    """Let the last result fail with all its files, or one more where there is only one."""
    number, error = max(1, items[-1].number), _inference_error(fault)
    failed = Item(number=number, code=error.code, message=error.message)
    return (*(item for item in items if item.number < number), failed)
