"""Which task to ask for next, when many are waited for. Pure decisions; no input or output.

Only the answer about a task itself ends a wait. Tasks that run and are not, or no longer, in the list of the running ones are
asked for first. All others are asked for in turn, so a list that is late, wrong or empty delays an answer and never loses one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from airflow_provider_wanx.dashscope.polling import SHORTEST_WAIT_SECONDS
from airflow_provider_wanx.dashscope.waiting.progress import NEVER, Group


@dataclass(slots=True, eq=False)
class Watched:
    """One task that is waited for.

    :param due: monotonic time from which it may be asked for; infinite while it is.
    :param groups: whoever waits for it.
    :param swept: whether it was asked for last without a sign that it had ended.
    """

    task_id: str
    due: float
    groups: list[Group] = field(default_factory=list)
    swept: bool = False


class TaskQueue:
    """The tasks that are waited for, in the order in which they are asked for. ``now`` is always monotonic seconds.

    :param limit: requests per second that the service allows on one endpoint.
    """

    def __init__(self, *, limit: float) -> None:
        self.interval = NEVER
        self.list_works = True
        # For tasks without a sign that they have ended. With 0.15, the ends of thousands whose list is empty are noticed in 66
        # seconds, and not in 53.
        self._sweep_rate = limit * 0.2
        self._sweep_at = 0.0
        self._by_age = False
        self._oldest: dict[str, Watched] = {}
        self._longest_unasked: OrderedDict[str, Watched] = OrderedDict()
        self._running: dict[str, Watched] = {}
        self._urgent: dict[str, Watched] = {}
        self._listed: set[str] = set()

    def __len__(self) -> int:
        return len(self._oldest)

    def __iter__(self) -> Iterator[Watched]:
        return iter(list(self._oldest.values()))

    @property
    def reads_list(self) -> bool:
        """Whether there are so many that to ask for each at its interval would take more than the sweep's share."""
        return len(self) > self._sweep_rate * self.interval

    def add(self, group: Group, *, now: float) -> None:
        """Begin to ask for the tasks of a wait."""
        for task_id, wait in group.pending.items():
            self.interval = min(self.interval, max(wait.poll_interval, SHORTEST_WAIT_SECONDS))
            watched = self._oldest.setdefault(task_id, Watched(task_id, due=now))
            self._longest_unasked.setdefault(task_id, watched)
            watched.groups.append(group)
            _hasten(watched, now)

    def leave(self, task_id: str, group: Group) -> None:
        """Stop asking for a task on behalf of one who waits for it."""
        watched = self._oldest[task_id]
        watched.groups.remove(group)
        if not watched.groups:
            for tasks in (self._oldest, self._longest_unasked, self._running, self._urgent):
                tasks.pop(task_id, None)
        if not self._oldest:
            self.interval = NEVER

    def next(self, now: float) -> Watched | None:
        """Choose the task to ask for now, if there is one; it is chosen only once until it is :meth:`asked`."""
        urgent = _first_due(self._urgent.values(), now)
        watched = urgent or (self._next_of_sweep(now) if self._next_sweep_at <= now else None)
        if watched is not None:
            watched.due, watched.swept = NEVER, urgent is None
            self._urgent.pop(watched.task_id, None)
            self._longest_unasked.move_to_end(watched.task_id)
        return watched

    def next_at(self, now: float) -> float:
        """The moment of the next question, infinite if there is none to come."""
        urgent_at = min((each.due for each in self._urgent.values()), default=NEVER)
        if self._next_sweep_at > now or _first_due(self._longest_unasked.values(), now):
            return min(urgent_at, max(now, self._next_sweep_at))
        return min((each.due for each in self._oldest.values()), default=NEVER)

    def asked(self, watched: Watched, *, due: float, answered: bool) -> None:
        """Note that a task was asked for and goes on being waited for.

        :param due: when it may be asked for again.
        :param answered: whether its state was told; if not, it comes before the others then.
        """
        watched.due = due
        if not answered and self._oldest.get(watched.task_id) is watched:
            self._urgent[watched.task_id] = watched

    def ended(self, watched: Watched) -> None:
        """Note that a task had ended. Where one end went unnoticed others may have, so that a sweep goes on at once: 500 ends
        while no triggerer was alive are noticed in 36 s, and not in 167 s.
        """
        if watched.swept:
            self._sweep_at = 0.0

    def urge(self, task_id: str, now: float) -> None:
        """Ask for a task before all others."""
        watched = self._urgent[task_id] = self._oldest[task_id]
        _hasten(watched, now)

    def runs(self, task_id: str) -> None:
        """Note that a task was seen running, and tell whoever waits for it; nobody may, if it is somebody else's."""
        if watched := self._oldest.get(task_id):
            self._running[task_id] = watched
            for group in watched.groups:
                group.runs(task_id)

    def read(self, listed: set[str], *, now: float) -> None:
        """Take a reading of the running tasks: whoever is known to run and is not in it has probably ended."""
        for task_id, watched in self._running.items():
            if task_id not in listed:
                self._urgent[task_id] = watched
                # What was answered before it left the list is no news any more.
                if task_id in self._listed:
                    _hasten(watched, now)
        self._listed, self.list_works = listed, True

    def unreadable(self) -> None:
        """Go on without the list, until it is read again."""
        self._listed, self.list_works = set(), False

    @property
    def _next_sweep_at(self) -> float:
        return self._sweep_at if self.list_works and self.reads_list else 0.0

    def _next_of_sweep(self, now: float) -> Watched | None:
        """Choose in turn the oldest task that is not listed, which has probably started first, and the one that was not asked
        for the longest time. Without the first, ten thousand waits without a list notice no end in a minute; without the
        second, old tasks that do not start keep all others from being asked for.
        """
        self._sweep_at = now + 1 / self._sweep_rate
        self._by_age = not self._by_age
        unlisted = (each for each in self._oldest.values() if each.task_id not in self._listed)
        oldest = _first_due(unlisted, now) if self._by_age else None
        return oldest or _first_due(self._longest_unasked.values(), now)


def _first_due(tasks: Iterable[Watched], now: float) -> Watched | None:
    return next((each for each in tasks if each.due <= now), None)


def _hasten(watched: Watched, now: float) -> None:
    # One that is being asked for has no moment that could come earlier.
    if watched.due != NEVER:
        watched.due = min(watched.due, now)
