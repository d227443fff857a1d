"""What to do after each look at a task: wait, stop, or give up. Pure decisions; the caller does the looking.

Every wait asks here, whoever looks and wherever: so they cannot come to different conclusions.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_wanx.dashscope.errors import (
    NewStatusError,
    ProviderError,
    TaskNotSucceededError,
    WaitTimeoutError,
)
from airflow_provider_wanx.dashscope.models import Task, TaskStatus

DEFAULT_POLL_INTERVAL_SECONDS = 3.0
"""Between two looks; what the model's page recommends for tasks of about 15 seconds."""

UNKNOWN_GRACE_SECONDS = 120.0
"""For which UNKNOWN is not believed. The service has been met not to find new tasks for half a minute, and others'
clients give it two; ending a wait wrongly would cost a paid result."""

NEW_STATUS_LOOKS = 5
"""Looks in a row that may find a state nobody knows before a wait is given up. It may be a passing one; to wait for its end
until the deadline, which may be hours away or not be at all, would be to hide it."""

SHORTEST_WAIT_SECONDS = 0.05
"""Between two looks at least, whatever was asked for."""


@dataclass(frozen=True)
class Wait:
    """Look again after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Ended:
    """The task has ended, well or not."""

    task: Task


@dataclass(frozen=True)
class GiveUp:
    """Looking again is of no use, or the time is over."""

    error: ProviderError


Decision = Wait | Ended | GiveUp


@dataclass
class TaskWait:
    """The wait for one task: what has been seen so far, and what follows from the next look.

    :param task_id: the service's id.
    :param poll_interval: seconds between looks.
    :param end_time: deadline as wall-clock seconds since 1970, None for none. Wall clock, because a wait moves between
        machines and outlives processes: a monotonic clock would start its time anew with each.
    """

    task_id: str
    poll_interval: float
    end_time: float | None
    last_status: TaskStatus | None = None
    unknown_since: float | None = None
    new_statuses_in_a_row: int = 0
    errors_in_a_row: int = 0
    last_error: ProviderError | None = None

    def look_timeout(self, timeout: float, *, now: float) -> float:
        """Return the seconds that a look may take: until the deadline, but long enough for the last one to bring something.

        :param timeout: what it may take otherwise.
        """
        if self.end_time is None:
            return timeout
        return min(timeout, max(self.end_time - now, DEFAULT_POLL_INTERVAL_SECONDS))

    def after(self, seen: Task | ProviderError, *, now: float) -> Decision:
        """Decide after a look at the task, which brought a snapshot of it or an error."""
        if isinstance(seen, ProviderError):
            return self._after_error(seen, now)
        self.last_status = seen.status
        self.errors_in_a_row, self.last_error, self.new_statuses_in_a_row = 0, None, 0
        if seen.status is TaskStatus.UNKNOWN:
            if self.unknown_since is None:
                self.unknown_since = now
            if now - self.unknown_since < UNKNOWN_GRACE_SECONDS:
                # It is looked at four times at least.
                return self._wait(now, min(self.poll_interval, UNKNOWN_GRACE_SECONDS / 4))
            return Ended(seen)
        self.unknown_since = None
        return Ended(seen) if seen.status.is_terminal else self._wait(now, self.poll_interval)

    def _after_error(self, error: ProviderError, now: float) -> Decision:
        if isinstance(error, NewStatusError):
            self.new_statuses_in_a_row += 1
            self.last_error = error
            if self.new_statuses_in_a_row < NEW_STATUS_LOOKS:
                return self._wait(now, self.poll_interval)
        if not error.retryable:
            return GiveUp(error)
        self.errors_in_a_row += 1
        self.last_error = error
        # Backing off keeps a service in trouble from being asked at full rate by everyone who waits.
        pause = self.poll_interval * min(2 ** min(self.errors_in_a_row - 1, 4), 10)
        return self._wait(now, pause, at_least=error.retry_after or 0.0)

    def _wait(self, now: float, seconds: float, *, at_least: float = 0.0) -> Decision:
        if self.end_time is not None and now >= self.end_time:
            return GiveUp(self.timeout())
        jittered = max(
            seconds * random.uniform(0.9, 1.1), at_least * random.uniform(1.0, 1.1), SHORTEST_WAIT_SECONDS
        )
        if self.end_time is not None:
            # One last look right at the deadline, not one interval past it.
            jittered = min(jittered, max(self.end_time - now, SHORTEST_WAIT_SECONDS))
        return Wait(jittered)

    def timeout(self) -> WaitTimeoutError:
        """The error of a wait whose deadline has passed."""
        seen = f"last seen {self.last_status}" if self.last_status else "never seen"
        trouble = f"; the last look failed: {self.last_error}" if self.last_error else ""
        return WaitTimeoutError(
            f"DashScope task {self.task_id} had not ended at the deadline ({seen}{trouble}). It may still run and will be "
            "billed if it succeeds; its result can be had with the same id for 24 hours after its submission."
        )


def succeeded(decision: Ended | GiveUp) -> Task:
    """Return the task that a wait was for.

    :raises TaskNotSucceededError: it has not succeeded.
    :raises ProviderError: the wait was given up.
    """
    if isinstance(decision, GiveUp):
        raise decision.error
    check_outcome([decision.task])
    return decision.task


def check_outcome(tasks: Iterable[Task], *, succeeded: int = 0) -> None:
    """Pass if every task has succeeded.

    :param tasks: tasks that have ended.
    :param succeeded: how many further ones of the same wait are known to have succeeded.
    :raises TaskNotSucceededError: one or more have not; the message names each.
    """
    ended = list(tasks)
    bad = [task for task in ended if task.status is not TaskStatus.SUCCEEDED]
    if bad:
        raise TaskNotSucceededError(bad, succeeded=succeeded + len(ended) - len(bad))
