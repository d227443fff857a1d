"""Who waits for what: every task with those that wait for it, and what each is told. No input or output here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol

from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.observing import (
    COST,
    GIVEN_UP,
    IMAGES,
    LAG,
    QUEUED,
    RAN,
    TASKS_ENDED,
    Observer,
    ignore,
)
from airflow_provider_wanx.dashscope.polling import Ended, GiveUp, TaskWait, Wait
from airflow_provider_wanx.dashscope.repaint import repaint_cost
from airflow_provider_wanx.dashscope.waiting.schedule import Schedule

LAST_LOOK = 15.0
"""Seconds past its deadline for which a task is still to be looked at once, when there are many."""

LINES_EACH = 5
"""Tasks of one wait up to which the log has lines about each of them."""

LINE_EVERY = 60.0
"""Seconds between two lines of the log about a wait for more."""


class Log(Protocol):
    """The part of a logger that is needed."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log what happened."""


@dataclass(slots=True)
class Outcome:
    """How a wait ended.

    :param ended: task id → the task as it was when it had ended.
    :param given_up: task id → why its wait was given up.
    """

    ended: dict[str, Task] = field(default_factory=dict)
    given_up: dict[str, ProviderError] = field(default_factory=dict)


class Group:
    """The tasks of one caller.

    :param size: how many of them there are.
    :param done: is set when all of them have an outcome.
    :param log: is told how they are getting on.
    """

    __slots__ = ("_context", "_log", "_next_line_at", "begun", "done", "left", "outcome", "running", "size")

    def __init__(self, *, size: int, done: asyncio.Future[None], log: Log | None = None) -> None:
        self.outcome = Outcome()
        self.begun = 0.0
        self.size = self.left = size
        self.running: set[str] = set()
        self.done = done
        self._log = log
        # Where a line goes may depend on the context of the caller, as it does in a triggerer.
        self._context = copy_context() if log is not None else None
        self._next_line_at = 0.0

    def settle(self, task_id: str, decision: Ended | GiveUp, *, wall: float) -> None:
        """Note the outcome of one wait."""
        match decision:
            case Ended(task):
                self.outcome.ended[task_id] = task
                if self.size <= LINES_EACH:
                    self._say("DashScope task %s is %s%s.", task_id, task.status, how_it_ended(task, wall))
            case GiveUp(error):
                self.outcome.given_up[task_id] = error
        self.running.discard(task_id)
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)

    def runs(self, task_id: str, *, queued: float | None) -> None:
        """Note that a task was seen running.

        :param queued: seconds for which it had waited in the service's queue, None if that is not known.
        """
        if task_id not in self.running:
            self.running.add(task_id)
            if self.size <= LINES_EACH:
                self._say(
                    "DashScope task %s is running%s.",
                    task_id,
                    f", after {queued:.1f} s in the queue" if queued else "",
                )

    def report(self, wall: float, *, requests: int, refused: int) -> None:
        """Say how far a wait for many tasks has come, now and then.

        :param requests: how many this process has sent about tasks of the account.
        :param refused: how many of them the service has refused.
        """
        if wall < self._next_line_at:
            return
        if self._next_line_at:
            self._say(
                "%s of %s DashScope tasks have ended, %s run, %s are queued; %s requests by all waits of this process, "
                "%s refused.",
                self.size - self.left,
                self.size,
                len(self.running),
                self.left - len(self.running),
                requests,
                refused,
            )
        self._next_line_at = wall + LINE_EVERY

    def _say(self, message: str, *args: object) -> None:
        if self._log is not None and self._context is not None:
            self._context.run(self._log.info, message, *args)


def queue_seconds(task: Task) -> float | None:
    """Seconds that a task has waited in the service's queue, None while it does or if the service does not tell."""
    began = task.start_time or task.scheduled_time
    if began is None or task.submit_time is None:
        return None
    # The repaint model tells its start in whole seconds.
    return max(0.0, (began - task.submit_time).total_seconds())


def how_it_ended(task: Task, wall: float) -> str:
    """Say how long a task was queued, ran, and went unnoticed; nothing of what the service does not tell, or not yet.

    :param wall: when its end was noticed, in seconds since 1970.
    """
    began, parts = task.start_time or task.scheduled_time, []
    if (queued := queue_seconds(task)) is not None:
        parts.append(f"queued {queued:.1f} s")
    if task.end_time is not None:
        if began is not None:
            parts.append(f"ran {max(0.0, (task.end_time - began).total_seconds()):.1f} s")
        parts.append(f"noticed {max(0.0, wall - task.end_time.timestamp()):.1f} s later")
    return f": {', '.join(parts)}" if parts else ""


def observe_end(task: Task, wall: float, observe: Observer) -> None:
    """Tell an observer of a task that has ended.

    :param wall: when its end was noticed, in seconds since 1970.
    """
    observe(TASKS_ENDED, 1, {"status": str(task.status)})
    began = task.start_time or task.scheduled_time
    if (queued := queue_seconds(task)) is not None:
        observe(QUEUED, queued, {})
    if task.end_time is not None:
        if began is not None:
            observe(RAN, max(0.0, (task.end_time - began).total_seconds()), {})
        observe(LAG, max(0.0, wall - task.end_time.timestamp()), {})
    if task.status is TaskStatus.SUCCEEDED and task.usage is not None and task.usage.image_count:
        observe(IMAGES, task.usage.image_count, {})
        if (cost := repaint_cost(task)) is not None:
            observe(COST, float(cost), {})


class Waits:
    """All waits of one watcher, kept in step with its schedule. ``now`` is monotonic, ``wall`` seconds since 1970.

    :param schedule: decides who is asked for next.
    :param observe: is told what can be measured.
    """

    def __init__(self, schedule: Schedule, *, observe: Observer = ignore) -> None:
        self._schedule = schedule
        self._observe = observe
        self._pairs: dict[str, list[tuple[TaskWait, Group]]] = {}
        self._large: set[Group] = set()
        self.deadline = float("inf")

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._pairs))

    def add(self, wait: TaskWait, group: Group, *, now: float, wall: float) -> None:
        """Begin a wait."""
        group.begun = group.begun or wall
        if group.size > LINES_EACH:
            self._large.add(group)
        self._pairs.setdefault(wait.task_id, []).append((wait, group))
        self._schedule.add(
            wait.task_id, interval=wait.poll_interval, now=now, wall=wall, patience=wait.patience
        )
        if wait.end_time is not None:
            self.deadline = min(self.deadline, wait.end_time)

    def leave(self, waits: Sequence[TaskWait], group: Group) -> None:
        """End a group's waits without an outcome."""
        self._large.discard(group)
        for wait in waits:
            pairs = self._pairs.get(wait.task_id, [])
            pairs[:] = [pair for pair in pairs if pair[1] is not group]
            if not pairs:
                self._drop(wait.task_id)

    def break_off(self, error: BaseException | None = None) -> None:
        """End all waits: with an error, or by cancelling them."""
        for pairs in self._pairs.values():
            for _, group in pairs:
                if error is None:
                    group.done.cancel()
                elif not group.done.done():
                    group.done.set_exception(error)

    def decide(self, task_id: str, seen: Task | ProviderError, *, now: float, wall: float) -> None:
        """Let every wait for a task decide what a look at it means."""
        pairs = self._pairs.get(task_id)
        if not pairs:
            return
        pause = float("inf")
        going_on: list[tuple[TaskWait, Group]] = []
        for wait, group in pairs:
            decision = (
                wait.after_task(seen, now=wall)
                if isinstance(seen, Task)
                else wait.after_error(seen, now=wall)
            )
            if isinstance(decision, Wait):
                pause = min(pause, decision.seconds)
                going_on.append((wait, group))
            else:
                self._settle(group, task_id, decision, wall)
        pairs[:] = going_on
        task = seen if isinstance(seen, Task) else None
        if task is not None and task.status is TaskStatus.RUNNING:
            self.running(task_id, queued=queue_seconds(task))
        if going_on:
            self._schedule.asked(task_id, task, pause=pause, now=now)
            return
        if task is not None:
            self._schedule.ended(task_id, task, wall=wall)
            observe_end(task, wall, self._observe)
        self._drop(task_id)

    def running(self, task_id: str, *, queued: float | None) -> None:
        """Tell those who wait for a task that it runs."""
        for _, group in self._pairs.get(task_id, ()):
            group.runs(task_id, queued=queued)

    def report(self, wall: float, *, requests: int, refused: int) -> None:
        """Let every wait say how far it has come, if it is time."""
        for group in self._large:
            group.report(wall, requests=requests, refused=refused)

    def expire(self, wall: float) -> None:
        """Hasten the last look at tasks whose deadline has come, and give up those for which there was no time."""
        if wall < self.deadline:
            return
        following = float("inf")
        for task_id, pairs in list(self._pairs.items()):
            for pair in list(pairs):
                wait, group = pair
                if wait.end_time is None:
                    continue
                # A deadline that passed while nobody could look, as with no triggerer alive, still allows one look.
                if wall < max(wait.end_time, group.begun) + LAST_LOOK:
                    following = min(following, max(wait.end_time, wall + 1))
                    if wall >= wait.end_time:
                        self._schedule.urge(task_id)
                    continue
                pairs.remove(pair)
                self._settle(group, task_id, GiveUp(wait.timeout()), wall)
            if not pairs:
                self._drop(task_id)
        self.deadline = following

    def _settle(self, group: Group, task_id: str, decision: Ended | GiveUp, wall: float) -> None:
        group.settle(task_id, decision, wall=wall)
        if isinstance(decision, GiveUp):
            self._observe(GIVEN_UP, 1, {})
        if not group.left:
            self._large.discard(group)

    def _drop(self, task_id: str) -> None:
        self._pairs.pop(task_id, None)
        self._schedule.remove(task_id)
