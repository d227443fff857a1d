"""Who waits for what: every task with those that wait for it, and what each is told. No input or output here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from airflow_provider_wanx.dashscope.errors import DashScopeError
from airflow_provider_wanx.dashscope.models import Task
from airflow_provider_wanx.dashscope.polling import Ended, GiveUp, TaskWait, Wait
from airflow_provider_wanx.dashscope.schedule import Schedule

LAST_LOOK = 15.0
"""Seconds past its deadline for which a task is still to be looked at once, when there are many."""


@dataclass(slots=True)
class Outcome:
    """How a wait ended.

    :param ended: task id → the task as it was when it had ended.
    :param given_up: task id → why its wait was given up.
    """

    ended: dict[str, Task] = field(default_factory=dict)
    given_up: dict[str, DashScopeError] = field(default_factory=dict)


class Group:
    """The tasks of one caller.

    :param left: how many of them there are.
    :param done: is set when all of them have an outcome.
    """

    __slots__ = ("begun", "done", "left", "outcome")

    def __init__(self, *, left: int, done: asyncio.Future[None]) -> None:
        self.outcome = Outcome()
        self.begun = 0.0
        self.left = left
        self.done = done

    def settle(self, task_id: str, decision: Ended | GiveUp) -> None:
        """Note the outcome of one wait."""
        match decision:
            case Ended(task):
                self.outcome.ended[task_id] = task
            case GiveUp(error):
                self.outcome.given_up[task_id] = error
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


class Waits:
    """All waits of one watcher, kept in step with its schedule. ``now`` is monotonic, ``wall`` seconds since 1970.

    :param schedule: decides who is asked for next.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._pairs: dict[str, list[tuple[TaskWait, Group]]] = {}
        self.deadline = float("inf")

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._pairs))

    def add(self, wait: TaskWait, group: Group, *, now: float, wall: float) -> None:
        """Begin a wait."""
        group.begun = group.begun or wall
        self._pairs.setdefault(wait.task_id, []).append((wait, group))
        self._schedule.add(wait.task_id, interval=wait.poll_interval, now=now, wall=wall)
        if wait.end_time is not None:
            self.deadline = min(self.deadline, wait.end_time)

    def leave(self, waits: Sequence[TaskWait], group: Group) -> None:
        """End a group's waits without an outcome."""
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

    def decide(self, task_id: str, seen: Task | DashScopeError, *, now: float, wall: float) -> None:
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
                group.settle(task_id, decision)
        pairs[:] = going_on
        task = seen if isinstance(seen, Task) else None
        if going_on:
            self._schedule.asked(task_id, task, pause=pause, now=now, wall=wall)
            return
        if task is not None:
            self._schedule.ended(task_id, task, now=now, wall=wall)
        self._drop(task_id)

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
                group.settle(task_id, GiveUp(wait.timeout()))
            if not pairs:
                self._drop(task_id)
        self.deadline = following

    def _drop(self, task_id: str) -> None:
        self._pairs.pop(task_id, None)
        self._schedule.remove(task_id)
