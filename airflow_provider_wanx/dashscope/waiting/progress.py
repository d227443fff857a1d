"""How a wait gets on: what has become of its tasks, and what of that is logged and measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.measures import (
    COST,
    IMAGES,
    LAG,
    QUEUED,
    RAN,
    TASKS_ENDED,
    Measure,
    Observer,
)
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import Ended, GiveUp, TaskWait
from airflow_provider_wanx.dashscope.repaint import repaint_cost

NEVER = float("inf")

LINES_EACH = 5
"""Tasks of one wait up to which the log has lines about each of them."""

LINE_EVERY_SECONDS = 60.0
"""Between two lines of the log about a wait for more."""


Log = Callable[..., object]
"""Logs what happened: a message, and the arguments for it."""


@dataclass(slots=True)
class Outcome:
    """How a wait ended.

    :param ended: task id → the task as it was when it had ended.
    :param given_up: task id → why its wait was given up.
    """

    ended: dict[str, Task] = field(default_factory=dict)
    given_up: dict[str, ProviderError] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Enough:
    """When a wait may end although not all of its tasks have.

    :param left: how few of them may be unfinished.
    :param within: seconds after the first end.
    :param at: seconds since 1970.
    """

    left: int = 0
    within: float = NEVER
    at: float = NEVER


ALL = Enough()


class Group:
    """The tasks of one wait.

    :param waits: one for each task.
    :param enough: when the wait may end before the last of them.
    :param log: is told how they are getting on.
    """

    def __init__(self, waits: Iterable[TaskWait], *, enough: Enough, log: Log | None) -> None:
        self.outcome = Outcome()
        self.pending = {wait.task_id: wait for wait in waits}
        self._size, self._enough, self._over_at = len(self.pending), enough, enough.at
        self._changed: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._running: set[str] = set()
        # Where a line goes may depend on the context of the caller, as it does in a triggerer.
        self._log = partial(copy_context().run, log) if log is not None else None
        self._line_at = time.time() + LINE_EVERY_SECONDS

    async def until(self, moment: float) -> None:
        """Wait until enough of the tasks have ended, or it is time.

        :param moment: when it is, at the latest; in seconds since 1970.
        """
        while (
            len(self.pending) > self._enough.left
            and (seconds := min(moment, self._over_at) - time.time()) > 0
        ):
            # A future each time: the deque of an event would be a third of what a wait needs.
            self._changed = asyncio.get_running_loop().create_future()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds if seconds < NEVER else None):
                    await self._changed
            if self._error is not None:
                raise self._error

    def settle(self, task_id: str, decision: Ended | GiveUp) -> None:
        """Note the outcome of one task."""
        del self.pending[task_id]
        self._running.discard(task_id)
        self._over_at = min(self._over_at, time.time() + self._enough.within)
        if isinstance(decision, Ended):
            task = self.outcome.ended[task_id] = decision.task
            self._say("DashScope task %s is %s%s.", task_id, task.status, how_it_ended(task, time.time()))
        else:
            self.outcome.given_up[task_id] = decision.error
            self._say("Not waiting for DashScope task %s any more: %s", task_id, decision.error)
        self._wake()

    def runs(self, task_id: str) -> None:
        """Note that a task was seen running."""
        if task_id not in self._running:
            self._running.add(task_id)
            self._say("DashScope task %s is running.", task_id)

    def fail(self, error: BaseException) -> None:
        """End the wait without an outcome."""
        self._error = error
        self._wake()

    def report(self) -> None:
        """Say how far a wait for many tasks has come, once a minute."""
        if self._log is not None and self._size > LINES_EACH and time.time() >= self._line_at:
            self._line_at = time.time() + LINE_EVERY_SECONDS
            left, running = len(self.pending), len(self._running)
            text = "%s of %s DashScope tasks have ended, %s run, %s are queued."
            self._log(text, self._size - left, self._size, running, left - running)

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _say(self, message: str, *args: object) -> None:
        if self._log is not None and self._size <= LINES_EACH:
            self._log(message, *args)


_WORDS = {QUEUED: "queued {:.1f} s", RAN: "ran {:.1f} s", LAG: "noticed {:.1f} s later"}


def how_it_ended(task: Task, wall: float) -> str:
    """Say how long a task was queued, ran, and went unnoticed; nothing of what the service does not tell, or not yet.

    :param wall: when its end was noticed, in seconds since 1970.
    """
    parts = [_WORDS[measure].format(seconds) for measure, seconds in _durations(task, wall)]
    return f": {', '.join(parts)}" if parts else ""


def observe_end(task: Task, wall: float, observe: Observer) -> None:
    """Tell an observer of a task that has ended.

    :param wall: when its end was noticed, in seconds since 1970.
    """
    observe(TASKS_ENDED, 1, {"status": str(task.status)})
    for measure, seconds in _durations(task, wall):
        observe(measure, seconds, {})
    if task.status is TaskStatus.SUCCEEDED and task.usage is not None and task.usage.image_count:
        observe(IMAGES, task.usage.image_count, {})
        if (cost := repaint_cost(task)) is not None:
            observe(COST, float(cost), {})


def _durations(task: Task, wall: float) -> Iterator[tuple[Measure, float]]:
    began, end, noticed = (
        task.start_time or task.scheduled_time,
        task.end_time,
        datetime.fromtimestamp(wall, UTC),
    )
    for measure, since, until in ((QUEUED, task.submit_time, began), (RAN, began, end), (LAG, end, noticed)):
        if since is not None and until is not None:
            # The repaint model tells its start and its end in whole seconds.
            yield measure, max(0.0, (until - since).total_seconds())
