"""Tasks from submission to oblivion: one queue for each model, first in, first out, few at once."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from airflow_provider_wanx.simulator.catalogue import Service
from airflow_provider_wanx.simulator.clock import Clock, Pulse
from airflow_provider_wanx.simulator.errors import ServiceError
from airflow_provider_wanx.simulator.faults import FaultOrder, Faults
from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting.files import Item
from airflow_provider_wanx.simulator.settings import Settings
from airflow_provider_wanx.simulator.tasks.job import Job, Status
from airflow_provider_wanx.simulator.tasks.task_list import Row, TaskList

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class _Lane:
    """The queue of one model."""

    capacity: int
    pending: OrderedDict[str, Job] = field(default_factory=OrderedDict)
    running: set[Job] = field(default_factory=set)
    workers: int = 0
    watched: bool = False


class JobBoard:
    """All tasks of the account.

    :param settings: durations and sizes.
    :param clock: the service's clock.
    :param faults: decides how jobs end otherwise.
    :param make: does a job's work; raises ServiceError where the job fails.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        faults: Faults,
        make: Callable[[Job], Awaitable[tuple[Item, ...]]],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._make = make
        self._lanes: dict[str, _Lane] = {}
        self._by_id: dict[str, Job] = {}
        self._list = TaskList(clock=clock, delay=settings.list_delay, order=settings.list_order)
        self._first_kept = 0
        self._progress = Pulse()
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: list[Job] = []
        self.counts: dict[Status, int] = dict.fromkeys(Status, 0)

    def close(self) -> None:
        """Stop all work."""
        for task in self._tasks:
            task.cancel()

    def admit(self, order: Order, *, task_id: str, request_id: str, api_key_id: str, fingerprint: str) -> Job:
        """Put an order into its queue.

        :raises ServiceError: the queue is full.
        """
        lane = self._lane(order.service, order.model)
        if len(lane.pending) >= self._settings.queue_limit and lane.workers >= lane.capacity:
            # The documents give no figure and no code for this; throttling is what they say of every exceeded value.
            raise ServiceError(
                status=429, code="Throttling", message="Too many tasks are waiting, please try again later."
            )
        now = self._clock.now()
        job = Job(
            number=len(self.all),
            task_id=task_id,
            request_id=request_id,
            api_key_id=api_key_id,
            order=order,
            fingerprint=fingerprint,
            submitted=now,
            deadline=now + self._settings.queue_timeout,
        )
        self.all.append(job)
        self._by_id[task_id] = job
        lane.pending[task_id] = job
        self.counts[Status.PENDING] += 1
        self._list.record(job, moment=now)
        if lane.workers < lane.capacity:
            lane.workers += 1
            self._start(self._work(lane))
        if not lane.watched:
            lane.watched = True
            self._start(self._time_out(lane))
        return job

    def find(self, task_id: str) -> Job | None:
        """Return a task, unless it is unknown or was forgotten."""
        self._forget()
        return self._by_id.get(task_id)

    def cancel(self, job: Job) -> bool:
        """Cancel a task that waits; tell whether it did."""
        if self._lanes[job.order.model].pending.pop(job.task_id, None) is None:
            return False
        self._end(job, Status.CANCELED, moment=self._clock.now())
        return True

    def row(self, task_id: str) -> Row | None:
        """Return the row of one task as the list shows it."""
        job = self.find(task_id)
        return None if job is None else self._list.row(job)

    def page(
        self,
        *,
        status: str | None,
        model: str | None,
        since: float,
        until: float,
        page_no: int,
        page_size: int,
    ) -> tuple[list[Row], int]:
        """Return a page of the tasks that were submitted between two moments, and how many there are in all."""
        self._forget()
        first = bisect_left(self.all, since, key=lambda job: job.submitted)
        last = bisect_left(self.all, until, key=lambda job: job.submitted)
        return self._list.page(
            status=status,
            model=model,
            first=max(first, self._first_kept),
            last=last,
            page_no=page_no,
            page_size=page_size,
        )

    async def caught_up(self) -> None:
        """Wait until whatever should have happened by now has happened."""
        while any(self._overdue(lane) for lane in self._lanes.values()):
            await self._progress.wait()

    def _overdue(self, lane: _Lane) -> bool:
        late = bool(lane.pending) and next(iter(lane.pending.values())).deadline <= self._clock.now()
        return late or self._behind(lane)

    def _behind(self, lane: _Lane) -> bool:
        now = self._clock.now()
        return any(job.due is not None and job.due <= now for job in lane.running)

    def _lane(self, service: Service, model: str) -> _Lane:
        lane = self._lanes.get(model)
        if lane is None:
            lane = self._lanes[model] = _Lane(capacity=self._settings.concurrency or service.concurrency)
        return lane

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
        duration = self._settings.duration
        if fault is not None and fault.runs_for is not None:
            duration = fault.runs_for
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
            failure = ServiceError(code="InternalError.Algo", message="inference error", status=500)
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
        outcome = fault.outcome if fault is not None and fault.outcome is not None else "SUCCEEDED"
        if outcome == "FAILED":
            code = (fault.code if fault else None) or "InternalError.Algo"
            failure = ServiceError(code=code, message=(fault.message if fault else None) or "inference error")
        if failure is not None:
            job.code, job.message = failure.code, failure.message
            self._end(job, Status.FAILED, moment=moment)
        elif outcome in (Status.CANCELED, Status.UNKNOWN):
            self._end(job, Status(outcome), moment=moment)
        else:
            if outcome == "PARTIAL":
                items = _with_one_failure(items, fault)
            job.items = items
            job.billed = max(1, sum(item.billed for item in items))
            self._end(job, Status.SUCCEEDED, moment=moment)

    def _fail_late(self, job: Job) -> None:
        job.code = "InternalError.Timeout"
        job.message = "An internal timeout error has occured during execution, please try again later."
        self._end(job, Status.FAILED, moment=job.deadline)

    async def _time_out(self, lane: _Lane) -> None:
        """Fail what waits too long, for as long as anything waits."""
        try:
            while lane.pending:
                job = next(iter(lane.pending.values()))
                await self._clock.sleep_until(job.deadline)
                # After a jump the workers first catch up with what they would have done meanwhile.
                while self._behind(lane):
                    await self._progress.wait()
                if lane.pending.pop(job.task_id, None) is not None:
                    self._fail_late(job)
        finally:
            lane.watched = False

    def _end(self, job: Job, status: Status, *, moment: float) -> None:
        job.ended = moment
        self._move(job, status, moment=moment)

    def _move(self, job: Job, status: Status, *, moment: float) -> None:
        self.counts[job.status] -= 1
        self.counts[status] += 1
        job.status = status
        self._progress.beat()
        self._list.record(job, moment=moment)

    def _forget(self) -> None:
        now = self._clock.now()
        while self._first_kept < len(self.all):
            job = self.all[self._first_kept]
            # The stricter of the two documented readings: 24 hours from the submission, not from the end.
            if job.ended is None or now < job.submitted + self._settings.retention:
                return
            self._by_id.pop(job.task_id, None)
            self._list.drop(job)
            job.items, job.thumbnail = (), b""
            self._first_kept += 1


def _with_one_failure(items: tuple[Item, ...], fault: FaultOrder | None) -> tuple[Item, ...]:
    """Let the last result fail with all its files, or one more where there is only one."""
    number = max(1, items[-1].number)
    failed = Item(
        number=number,
        code=(fault.code if fault else None) or "InternalError.Algo",
        message=(fault.message if fault else None) or "inference error",
    )
    return (*(item for item in items if item.number < number), failed)
