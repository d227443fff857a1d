"""Which task to ask for next, when many are waited for. Pure decisions; no input or output.

Only the answer about a task itself ends a wait. The task list tells whom to ask first: whoever it shows as ended, and whoever a
complete reading of the unfinished tasks does not show any more. Nothing depends on its order, its page size or its totals.
Every task is asked for by itself now and then, so a list that is late or wrong delays an answer and never loses one.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_wanx.dashscope.models import Task, TaskStatus

FEW = 0.15
"""Part of the request limit up to which every task is simply asked for at its own interval, without the list. A single task
then costs one request in an interval instead of some. With 0.3, ends are noticed up to 2 s later in lists with small pages."""

SWEEP = 60.0
"""Seconds after which a task is asked for although the list says that it has not ended: what a list that is wrong may cost.
With a third of it, eight triggerers are refused twice as often."""

SWEEP_SHARE = 0.15
"""Part of the requests that goes to tasks that nothing speaks for. With more tasks, each of them waits longer."""

LATE = 2.0
"""Poll intervals by which the list may be late. If it is later, tasks are asked for without it, the oldest first. With 4, ends
are noticed after 11 s instead of 4 s if rows are 10 s late; with 1, rows 3 s late cost twice as many requests."""

INCREDIBLE = 3600.0
"""Seconds beyond which a difference between two of the service's times is no delay but a mistake, for instance of the zone."""


class Row(NamedTuple):
    """What a row of the task list tells; times are seconds since 1970, 0 for none."""

    task_id: str
    status: TaskStatus
    created: float = 0.0
    started: float = 0.0


@dataclass(slots=True, eq=False)
class Watched:
    """One task that is waited for.

    :param interval: seconds between two questions, as its waits asked for.
    :param added_at: monotonic time at which the wait began.
    :param added: the same in seconds since 1970.
    :param order: by when it was submitted, in seconds since 1970; until that is known, by ``added``.
    :param running_since: monotonic time at which it was first asked for while it ran, 0 if it was not.
    :param patience: seconds for which its end may go unnoticed if the list does not show it.
    :param token: tells its planned question from outdated plans; 0 while it is hinted at or being asked for.
    :param rest_until: when the list may speak for its end again, after it has been wrong.
    :param missed: complete readings in a row that did not show it.
    """

    task_id: str
    interval: float
    added_at: float
    added: float
    order: float
    patience: float = 0.0
    status: TaskStatus | None = None
    running_since: float = 0.0
    token: int = 0
    rest_until: float = 0.0
    missed: int = 0
    hinted: bool = False
    listed: bool = False
    listed_as_running: bool = False


class Schedule:
    """The order in which tasks are asked for. ``now`` is always monotonic seconds, ``wall`` seconds since 1970.

    :param limit: requests per second that the service allows on one endpoint.
    :param rate: how many of them are used on average.
    """

    def __init__(self, *, limit: float, rate: float) -> None:
        self.limit = limit
        self.rate = rate
        self.list_works = True
        self.unlisted: dict[str, Watched] = {}
        self._watched: dict[str, Watched] = {}
        self._running: dict[str, Watched] = {}
        self._absent: list[Watched] = []
        self._absent_pages = 1
        self._intervals: Counter[float] = Counter()
        self._demand = 0.0
        self._lateness: float | None = None
        self._trusted = False
        self._trial = 0
        self._tokens = itertools.count(1)
        self._planned: list[tuple[float, int, Watched]] = []
        self._likely: list[tuple[bool, float, int, Watched]] = []
        self._waiting: deque[tuple[int, Watched]] = deque()
        self._hints: deque[Watched] = deque()
        self._chosen = 0

    def __len__(self) -> int:
        return len(self._watched)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._watched

    @property
    def few(self) -> bool:
        """Whether there are so few that each is simply asked for."""
        return self._demand <= self.limit * FEW

    @property
    def shortest_interval(self) -> float:
        """The shortest poll interval among the tasks, in seconds."""
        return min(self._intervals, default=float("inf"))

    def add(self, task_id: str, *, interval: float, now: float, wall: float, patience: float = 0.0) -> None:
        """Begin to watch a task, or watch it more closely."""
        watched = self._watched.get(task_id)
        if watched is not None:
            if interval < watched.interval:
                self._count(watched, -1)
                watched.interval = interval
                self._count(watched, 1)
            watched.patience = min(watched.patience, patience)
            if watched.token:
                self._plan(watched, now)
            return
        watched = Watched(task_id, interval, added_at=now, added=wall, order=wall, patience=patience)
        self._watched[task_id] = self.unlisted[task_id] = watched
        self._count(watched, 1)
        self._adapt(now)
        self._plan(watched, now + self._first_sweep(watched) if self._trusted else now)

    def remove(self, task_id: str) -> None:
        """Stop watching a task."""
        watched = self._watched.pop(task_id, None)
        if watched is not None:
            self._count(watched, -1)
            watched.token, watched.hinted = 0, False
            self.unlisted.pop(task_id, None)
            self._running.pop(task_id, None)

    def next_task(self, now: float) -> str | None:
        """Choose the task to ask for now, if there is one; it is chosen only once until :meth:`asked` or :meth:`put_back`."""
        self._ripen(now)
        if self._hints:
            return self._hints.popleft().task_id
        if not self._waiting:
            return None
        # Every other question goes to whoever has waited longest for it: likeliness may be misjudged.
        self._chosen += 1
        watched = self._waiting[0][1] if self._chosen % 2 else self._likely[0][3]
        watched.token = 0
        return watched.task_id

    def next_task_at(self, now: float) -> float:
        """The moment of the next question, infinite if there is none to come."""
        self._ripen(now)
        if self._hints or self._waiting:
            return now
        return self._planned[0][0] if self._planned else float("inf")

    def asked(self, task_id: str, task: Task | None, *, pause: float, now: float) -> None:
        """Note that a task was asked for and goes on being watched.

        :param task: what came, None for an error.
        :param pause: seconds to leave it alone at least.
        """
        watched = self._watched.get(task_id)
        if watched is None:
            return
        settled = task is not None and task.status is not TaskStatus.UNKNOWN
        if task is not None:
            watched.status = task.status
            watched.order = task.submit_time.timestamp() if task.submit_time else watched.order
            if task.status is TaskStatus.RUNNING and not watched.running_since:
                watched.running_since = now
            if watched.hinted:
                watched.rest_until = now + pause
        watched.hinted = False
        relies = settled and self._relies(watched)
        self._plan(watched, now + (max(pause, self._sweep(watched)) if relies else pause))

    def ended(self, task_id: str, task: Task, *, wall: float) -> None:
        """Note that a task has ended, before it is removed."""
        watched = self._watched.get(task_id)
        if watched is not None and task.end_time is not None:
            lateness = wall - task.end_time.timestamp()
            # Whom the list has not hinted at by now, it would have shown later still.
            if watched.hinted or (watched.listed and self._too_late(lateness)):
                self._observe(lateness, since=task.end_time.timestamp() - watched.added)

    def put_back(self, task_id: str, *, now: float, pause: float | None = None) -> None:
        """Note that a question was refused and is to be asked again, after the others: a refusal may be for this task only.

        :param pause: seconds that the refusal asked to wait.
        """
        watched = self._watched.get(task_id)
        if watched is not None and watched.hinted and not pause:
            self._hints.append(watched)
        elif watched is not None:
            watched.hinted = False
            self._plan(watched, now + max(watched.interval, pause or 0.0))

    def urge(self, task_id: str) -> None:
        """Ask for a task before all that only may have ended."""
        watched = self._watched.get(task_id)
        if watched is not None and watched.token:
            watched.token, watched.hinted = 0, True
            self._hints.appendleft(watched)

    def take_rows(self, rows: Iterable[Row], *, now: float, wall: float) -> list[tuple[str, float | None]]:
        """Read rows of the list.

        :param wall: the service's clock when it answered.
        :return: the watched tasks that now run and were not known to: id, and seconds in the queue if the row tells.
        """
        started: list[tuple[str, float | None]] = []
        for row in rows:
            watched = self._watched.get(row.task_id)
            if watched is None:
                continue
            watched.listed, watched.missed = True, 0
            self.unlisted.pop(row.task_id, None)
            if row.status.is_terminal and row.status is not TaskStatus.UNKNOWN:
                self._suspect(watched, now)
            elif row.status is TaskStatus.PENDING and watched.running_since:
                # The list shows what was before the start that the task itself has told of.
                if self._too_late(now - watched.running_since):
                    self._lateness = now - watched.running_since
            elif row.status is TaskStatus.RUNNING and not watched.listed_as_running:
                watched.listed_as_running = True
                self._running[row.task_id] = watched
                self._observe(wall - row.started, since=row.started - watched.added)
                if watched.status is not TaskStatus.RUNNING:
                    watched.status = TaskStatus.RUNNING
                    known = 0 < row.created <= row.started
                    started.append((row.task_id, row.started - row.created if known else None))
        return started

    def running_read(self, seen: Collection[str], *, pages: int, now: float) -> None:
        """Conclude from a complete reading of the running tasks who has ended: who ran, and who was not pending either.

        :param seen: ids of all running tasks.
        :param pages: over how many pages they were spread; rows may move between pages while these are read.
        """
        for watched in [each for each in self._running.values() if each.task_id not in seen]:
            self._miss(watched, pages, now)
        for watched in self._absent:
            if not watched.listed_as_running and self._watched.get(watched.task_id) is watched:
                self._miss(watched, self._absent_pages, now)
        self._absent = []

    def pending_read(
        self, seen: Collection[str], *, complete: bool, pages: int, began: float, now: float
    ) -> None:
        """Note who is not pending: if the next reading of the running tasks does not show them, they have probably ended.

        :param seen: ids of all pending tasks.
        :param complete: whether the reading was complete; if not, it only says that new tasks must be asked for.
        :param pages: as for :meth:`running_read`.
        :param began: when the reading began; what is watched since then was not looked for.
        """
        for watched in [each for each in self.unlisted.values() if each.added_at <= began]:
            del self.unlisted[watched.task_id]
            if watched.token:
                self._plan(watched, now)
        if complete:
            self._absent_pages = pages
            self._absent = [
                each
                for each in self._watched.values()
                if each.listed
                and not each.listed_as_running
                and each.task_id not in seen
                and each.added_at <= began
            ]

    def _miss(self, watched: Watched, pages: int, now: float) -> None:
        watched.missed += 1
        if watched.missed >= min(pages, 2):
            self._suspect(watched, now)

    def _suspect(self, watched: Watched, now: float) -> None:
        if watched.token and watched.rest_until <= now:
            watched.token, watched.hinted = 0, True
            self._hints.append(watched)

    def _observe(self, lateness: float, *, since: float) -> None:
        """Learn how late the list has shown something.

        :param since: seconds for which the task had been watched when it happened: what is older says nothing about the list.
        """
        if since > 0 and abs(lateness) < INCREDIBLE:
            self._lateness = lateness

    def _trusts(self) -> bool:
        """Tell whether the list shows ends soon enough to rely on it."""
        if not self.list_works or self.few:
            return False
        return self._lateness is None or not self._too_late(self._lateness)

    def _too_late(self, lateness: float) -> bool:
        return lateness > LATE * self.shortest_interval

    def _relies(self, watched: Watched) -> bool:
        """Tell whether the list speaks for a task. It says nothing about those that it was searched for in vain."""
        return self._trusted and (watched.listed or watched.task_id in self.unlisted)

    def _adapt(self, now: float) -> None:
        """Plan all questions anew when the list has begun or ceased to be relied on, or has shown how late it is."""
        trusted = self._trusts()
        # Samples are taken as often with many tasks as with few. So with twice as many, all have to be planned anew.
        trial = 1 << len(self._watched).bit_length() if trusted and self._lateness is None else 0
        if (self._trusted, self._trial) != (trusted, trial):
            self._trusted, self._trial = trusted, trial
            for watched in self._watched.values():
                relies = self._relies(watched)
                if watched.token and (relies or not trusted):
                    self._plan(watched, now + self._first_sweep(watched) if relies else now)

    def _ripen(self, now: float) -> None:
        """Get those ready whose time has come, and drop what is outdated."""
        self._adapt(now)
        while self._hints and not self._hints[0].hinted:
            self._hints.popleft()
        while self._planned and (
            self._planned[0][0] <= now or self._planned[0][1] != self._planned[0][2].token
        ):
            _, token, watched = heapq.heappop(self._planned)
            if watched.token == token:
                heapq.heappush(self._likely, self._rank(watched))
                self._waiting.append((token, watched))
        while self._waiting and self._waiting[0][0] != self._waiting[0][1].token:
            self._waiting.popleft()
        while self._likely and self._likely[0][2] != self._likely[0][3].token:
            heapq.heappop(self._likely)
        if len(self._likely) > 2 * len(self._watched) + 64:
            self._likely = [item for item in self._likely if item[2] == item[3].token]
            heapq.heapify(self._likely)

    def _rank(self, watched: Watched) -> tuple[bool, float, int, Watched]:
        """Order by likeliness of an end: those that run first, then those that were submitted first."""
        return watched.status is not TaskStatus.RUNNING, watched.order, watched.token, watched

    def _plan(self, watched: Watched, due: float) -> None:
        watched.token = next(self._tokens)
        heapq.heappush(self._planned, (due, watched.token, watched))

    def _first_sweep(self, watched: Watched) -> float:
        sweep = self._sweep(watched)
        # What is waited for with patience may have been waited for before, by somebody whose questions nobody remembers. And
        # until the list has shown how late it is, samples find that out.
        return random.uniform(0, sweep) if watched.patience or self._lateness is None else sweep

    def _sweep(self, watched: Watched) -> float:
        tasks = max(len(self._watched), self._trial)
        period = max(SWEEP, watched.patience, tasks / (self.rate * SWEEP_SHARE))
        return period * random.uniform(0.8, 1.2)

    def _count(self, watched: Watched, sign: int) -> None:
        self._intervals[watched.interval] += sign
        if not self._intervals[watched.interval]:
            del self._intervals[watched.interval]
        self._demand = max(0.0, self._demand + sign / watched.interval) if self._intervals else 0.0
