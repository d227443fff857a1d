"""What waiting teaches: how long tasks run, how fast the queue moves, how late the task list is. No input or output."""

from __future__ import annotations

from collections import deque
from statistics import median

INCREDIBLE = 3600.0
"""Seconds beyond which a difference between the service's clock and this one is no delay but a mistake."""

ENOUGH = 4
"""Observations from which conclusions are drawn."""


class Experience:
    """The last few observations. Times are seconds since 1970 on the service's clock, if not said otherwise."""

    def __init__(self) -> None:
        self._durations: deque[float] = deque(maxlen=32)
        self._ends: deque[tuple[float, float]] = deque(maxlen=16)
        self._delays: deque[float] = deque(maxlen=8)
        self.duration: float | None = None

    @property
    def delay(self) -> float:
        """Seconds after which an end is usually noticed."""
        return median(self._delays) if len(self._delays) >= ENOUGH else 0.0

    def ran(self, seconds: float) -> None:
        """Learn how long a task has run."""
        if 0 < seconds < INCREDIBLE:
            self._durations.append(seconds)
            self.duration = median(self._durations)

    def ended(self, *, submitted: float, ended: float) -> None:
        """Learn when a task was submitted that has ended."""
        self._ends.append((ended, submitted))

    def noticed(self, *, ended: float, wall: float) -> None:
        """Learn how long after its end a task was noticed, by this machine's clock."""
        if wall - ended < INCREDIBLE:
            self._delays.append(max(0.0, wall - ended))

    def start_in(self, submitted: float, *, wall: float) -> float | None:
        """Guess the seconds until a task starts, first in first out; None without a clue."""
        if len(self._ends) < ENOUGH:
            return None
        ends = [end for end, _ in self._ends]
        submissions = [submission for _, submission in self._ends]
        pace = (max(submissions) - min(submissions)) / max(max(ends) - min(ends), 1.0)
        # Negative if it should have started: the queue has gone on since the last end that is known of.
        return max(ends) + (submitted - max(submissions)) / pace - wall if pace > 0 else None
