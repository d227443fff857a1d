"""When to ask for which task, when many are waited for. Pure decisions over what has been seen; no input or output.

Every task is asked for by itself now and then, whatever the task list says: the list only says whom to ask first. So a list
that is late, capped, incomplete or wrong makes answers later, and can never lose one.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Iterable

from airflow_provider_wanx.dashscope.experience import INCREDIBLE, Experience
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.watched import Row, Tuning, Watched

AT_A_GLANCE = 64
"""Running tasks that are looked at to guess which ends first; they end in the order in which they have started."""


class Schedule:
    """The order in which tasks are asked for.

    ``now`` is always monotonic seconds, ``wall`` seconds since 1970.

    :param limit: requests per second that the service allows on one endpoint.
    :param rate: how many of them are used on average.
    """

    def __init__(self, *, limit: float, rate: float, tuning: Tuning) -> None:
        self.limit = limit
        self.rate = rate
        self.tuning = tuning
        self.list_works = True
        self.unlocated: dict[str, Watched] = {}
        self.last_change_at = float("-inf")
        self._watched: dict[str, Watched] = {}
        self._intervals: Counter[float] = Counter()
        self._demand = 0.0
        self._tokens = itertools.count(1)
        self._heap: list[tuple[float, int, Watched]] = []
        self._hints: deque[Watched] = deque()
        self._running: dict[str, Watched] = {}
        self._queues: dict[str, list[tuple[float, int, Watched]]] = {}
        self._experience = Experience()
        self._leftovers = 0
        self._trusted = False

    def __len__(self) -> int:
        return len(self._watched)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._watched

    @property
    def direct(self) -> bool:
        """Whether there are so few that each is simply asked for."""
        return self._demand <= self.limit * self.tuning.direct

    @property
    def trusting(self) -> bool:
        """Whether the list is the faster way to learn of an end."""
        if not self.list_works or self.direct:
            return False
        return self._experience.delay <= max(self.tuning.stale, len(self._watched) / self.rate)

    @property
    def shortest_interval(self) -> float:
        """The shortest poll interval among the tasks, in seconds."""
        return min(self._intervals, default=float("inf"))

    @property
    def sweep(self) -> float:
        """Seconds after which a task is asked for although nothing speaks for its end."""
        return max(self.tuning.sweep, len(self._watched) / (self.rate * self.tuning.sweep_share))

    def add(self, task_id: str, *, interval: float, now: float, wall: float) -> None:
        """Begin to watch a task, or watch it more closely."""
        watched = self._watched.get(task_id)
        if watched is not None:
            if interval < watched.interval:
                self._count(watched, -1)
                watched.interval = interval
                self._count(watched, 1)
            self._hasten(watched, max(now, watched.ready_at))
            return
        watched = Watched(task_id=task_id, interval=interval, added_at=wall, ready_at=now)
        self._watched[task_id] = self.unlocated[task_id] = watched
        self._count(watched, 1)
        self.last_change_at = now
        if self.trusting:
            self._trusted = True
            self._plan(watched, now + self._next_sweep())
        else:
            self._plan(watched, now)

    def remove(self, task_id: str) -> None:
        """Stop watching a task."""
        watched = self._watched.pop(task_id, None)
        if watched is None:
            return
        was_direct = self.direct
        self._count(watched, -1)
        watched.token = 0
        self.unlocated.pop(task_id, None)
        self._running.pop(task_id, None)
        if not was_direct and self.direct:
            for other in self._watched.values():
                self._hasten(other, other.ready_at)
        self._leftovers += 1
        if self._leftovers > len(self._watched) + 64:
            self._sweep_out()

    def next_task(self, now: float) -> str | None:
        """Choose the task to ask for now, if there is one; it counts as asked for until :meth:`asked`."""
        if self._trusted and not self.trusting:
            self._ask_for_each(now)
        self._trusted = self.trusting
        watched = self._first(now)
        if watched is None:
            return None
        if watched.token:
            watched.token = 0
        else:
            self._hints.popleft()
        watched.asking = True
        return watched.task_id

    def next_task_at(self, now: float) -> float:
        """The moment of the next question, infinite if there is none to come."""
        if self._first(now) is not None:
            return now
        if not self._heap:
            return float("inf")
        return self._heap[0][0]

    def asked(self, task_id: str, task: Task | None, *, pause: float, now: float, wall: float) -> None:
        """Note that a task was asked for and goes on being watched.

        :param task: what came, None for an error.
        :param pause: seconds to leave it alone at least.
        """
        watched = self._watched.get(task_id)
        if watched is None:
            return
        watched.asking = False
        if task is not None and watched.hinted:
            watched.hinted = False
            watched.doubts += 1
            pause *= min(2.0**watched.doubts, 20.0)
        watched.ready_at = now + pause
        if task is None or task.status is TaskStatus.UNKNOWN or self.direct:
            self._plan(watched, watched.ready_at)
            return
        self._learn(watched, task, now=now, wall=wall)
        if self.trusting and watched.located:
            self._plan(watched, now + max(pause, self._next_sweep()))
        else:
            watched.ready_at = now + self._likely_end_in(watched, pause, now=now, wall=wall)
            self._plan(watched, watched.ready_at)

    def put_back(self, task_id: str, *, now: float) -> None:
        """Note that a question was not answered and is to be asked again at once."""
        watched = self._watched.get(task_id)
        if watched is None:
            return
        watched.asking = False
        if watched.hinted:
            self._hints.appendleft(watched)
        else:
            self._plan(watched, now)

    def ended(self, task_id: str, task: Task, *, now: float, wall: float) -> None:
        """Note that a task was found to have ended, before it is removed."""
        watched = self._watched.get(task_id)
        if watched is None:
            return
        self.last_change_at = now
        if task.submit_time is None or task.end_time is None:
            return
        end = task.end_time.timestamp()
        began = task.start_time or task.scheduled_time
        if began is not None:
            self._experience.ran(end - began.timestamp())
        self._experience.ended(submitted=task.submit_time.timestamp(), ended=end)
        if not watched.hinted and self.trusting:
            self._notice(watched, end, wall)

    def take_rows(self, rows: Iterable[Row], *, audit: int, now: float, wall: float) -> tuple[int, int]:
        """Read rows of the list.

        :param audit: number of the pass over the whole list that they belong to, 0 for none.
        :return: how many were about tasks watched here (in a pass: for the first time in it), and the place of the last
            one that brought news of an end, counted from 1; 0 for none.
        """
        known = last_news = 0
        for place, row in enumerate(rows, 1):
            watched = self._watched.get(row.task_id)
            if watched is None:
                continue
            if not audit or watched.listed_in != audit:
                known += 1
            watched.listed_in = audit or watched.listed_in
            if not watched.located:
                self._locate(watched, row)
            if row.status.is_terminal:
                if row.status is not TaskStatus.UNKNOWN and self._hint(watched, row, now=now, wall=wall):
                    last_news = place
            elif row.status is TaskStatus.RUNNING and not watched.hinted:
                self._note_running(watched, row.started, now=now, wall=wall)
        return known, last_news

    def running_listed(self, rows: dict[str, Row], *, now: float) -> None:
        """Draw conclusions from a complete list of the running tasks.

        Who ran and does not any more has ended, and so has, first in first out, whoever was submitted before all that run.
        """
        for watched in [each for each in self._running.values() if each.task_id not in rows]:
            del self._running[watched.task_id]
            self._suspect(watched, now)
        oldest: dict[str, float] = {}
        for row in rows.values():
            oldest[row.model] = min(row.created, oldest.get(row.model, row.created))
        for model, created in oldest.items():
            queue = self._queues.get(model, [])
            while queue and queue[0][0] < created:
                _, _, watched = heapq.heappop(queue)
                if watched.task_id not in rows:
                    self._suspect(watched, now)

    def search_over(self, *, since: float, now: float) -> None:
        """Note that the list was searched: what was not found in it must be asked for.

        :param since: wall clock at which the search began; what is watched since then was not looked for.
        """
        missed = list(itertools.takewhile(lambda each: each.added_at <= since, self.unlocated.values()))
        for count, watched in enumerate(missed):
            del self.unlocated[watched.task_id]
            self._hasten(watched, now + count / self.rate)

    def urge(self, task_id: str) -> None:
        """Ask for a task before all that only may have ended."""
        if (watched := self._watched.get(task_id)) is not None:
            self._hasten(watched, 0.0)

    def soonest_end_in(self, now: float) -> float | None:
        """Seconds until the first running task should have ended, None if nothing is known of any."""
        usual = self._experience.duration
        if usual is None or not self._running:
            return None
        return min(each.since for each in itertools.islice(self._running.values(), AT_A_GLANCE)) + usual - now

    def _first(self, now: float) -> Watched | None:
        while self._hints:
            watched = self._hints[0]
            if self._watched.get(watched.task_id) is watched and not watched.token:
                return watched
            self._hints.popleft()
        while self._heap:
            due, token, watched = self._heap[0]
            if watched.token != token:
                heapq.heappop(self._heap)
                continue
            return watched if due <= now else None
        return None

    def _ask_for_each(self, now: float) -> None:
        """Ask for everyone in turn, now that nothing else tells of ends."""
        for count, watched in enumerate(self._watched.values()):
            self._hasten(watched, max(now + count / self.rate, watched.ready_at))

    def _next_sweep(self) -> float:
        return self.sweep * random.uniform(0.8, 1.2)

    def _hasten(self, watched: Watched, due: float) -> None:
        """Ask earlier, unless the question is about to be asked or under way."""
        if watched.token and due < watched.due:
            self._plan(watched, due)

    def _plan(self, watched: Watched, due: float) -> None:
        watched.due = due
        watched.token = next(self._tokens)
        heapq.heappush(self._heap, (due, watched.token, watched))

    def _sweep_out(self) -> None:
        """Drop what the heaps still hold of tasks that are not watched any more."""
        self._leftovers = 0
        self._heap = [item for item in self._heap if item[2].token == item[1]]
        heapq.heapify(self._heap)
        for model, queue in list(self._queues.items()):
            alive = [item for item in queue if self._watched.get(item[2].task_id) is item[2]]
            if alive:
                heapq.heapify(alive)
                self._queues[model] = alive
            else:
                del self._queues[model]

    def _count(self, watched: Watched, sign: int) -> None:
        self._intervals[watched.interval] += sign
        if not self._intervals[watched.interval]:
            del self._intervals[watched.interval]
        self._demand = max(0.0, self._demand + sign / watched.interval) if self._intervals else 0.0

    def _hint(self, watched: Watched, row: Row, *, now: float, wall: float) -> bool:
        if watched.hinted or watched.asking or (watched.doubts and watched.ready_at > now):
            return False
        watched.hinted = True
        watched.token = 0
        self._hints.append(watched)
        self._running.pop(watched.task_id, None)
        self.last_change_at = now
        if row.ended:
            self._notice(watched, row.ended, wall)
            if row.started:
                self._experience.ran(row.ended - row.started)
        return True

    def _suspect(self, watched: Watched, now: float) -> None:
        if watched.ready_at <= now:
            self._hasten(watched, now)

    def _locate(self, watched: Watched, row: Row) -> None:
        watched.located = True
        watched.model, watched.submitted = row.model, row.created
        self.unlocated.pop(watched.task_id, None)
        if row.model and row.created:
            queue = self._queues.setdefault(row.model, [])
            heapq.heappush(queue, (row.created, next(self._tokens), watched))

    def _learn(self, watched: Watched, task: Task, *, now: float, wall: float) -> None:
        watched.status = task.status
        if task.submit_time is not None:
            watched.submitted = watched.submitted or task.submit_time.timestamp()
        if task.status is TaskStatus.RUNNING:
            began = task.start_time or task.scheduled_time
            self._note_running(watched, began.timestamp() if began else 0.0, now=now, wall=wall)

    def _note_running(self, watched: Watched, started: float, *, now: float, wall: float) -> None:
        self._running[watched.task_id] = watched
        if not watched.since:
            ran = wall - started
            watched.since = now - (ran if started and 0 < ran < INCREDIBLE else 0.0)

    def _notice(self, watched: Watched, ended: float, wall: float) -> None:
        # What had ended before it was watched says nothing about how fast the list is.
        if ended > watched.added_at:
            self._experience.noticed(ended=ended, wall=wall)

    def _likely_end_in(self, watched: Watched, pause: float, *, now: float, wall: float) -> float:
        """Seconds after which asking again may be worth it: when it runs, by the usual duration; before, by its place."""
        # A guess may be wrong: everyone has a turn while the others have two.
        longest = min(max(pause, 2 * len(self._watched) / self.rate), self.sweep)
        usual = self._experience.duration
        if watched.status is TaskStatus.RUNNING and usual is not None:
            return max(pause / 2, min(watched.since + usual - now, longest))
        if watched.status is TaskStatus.PENDING and watched.submitted:
            start_in = self._experience.start_in(watched.submitted, wall=wall)
            if start_in is not None:
                # Half-way there, the guess is made again.
                return max(pause, min(start_in / 2, longest))
        return pause
