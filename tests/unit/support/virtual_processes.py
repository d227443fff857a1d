"""Many processes on many machines in one, in virtual time: whoever sleeps lets the others go on, and nobody waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from unittest.mock import patch

from greenlet import getcurrent, greenlet

NOON = 1_800_000_000.0
"""Wall clock at which virtual time begins."""


class VirtualProcesses:
    """Runs blocking code of many processes at the same time.

    :param clocks: seconds by which the clocks of machines are wrong.
    """

    def __init__(self, clocks: Mapping[int, float] | None = None) -> None:
        self.now = 0.0
        self._clocks = clocks or {}
        self._machines: dict[greenlet, int] = {}
        self._coming: list[tuple[float, int, greenlet]] = []
        self._number = 0
        self._hub = getcurrent()

    def start(self, work: Callable[[], object], *, machine: int, at: float = 0.0) -> None:
        """Begin a process at some time."""
        process = greenlet(work, parent=self._hub)
        self._machines[process] = machine
        self._wake(process, at)

    def run(self) -> None:
        """Go on until all processes have ended."""
        with (
            patch("time.sleep", self.sleep),
            patch("time.monotonic", lambda: self.now),
            patch("time.time", self._time),
        ):
            while self._coming:
                self.now, _, process = heappop(self._coming)
                process.switch()

    @property
    def machine(self) -> int:
        """The machine of the process that runs."""
        return self._machines[getcurrent()]

    @property
    def true_time(self) -> float:
        """What a clock that is right shows."""
        return NOON + self.now

    def sleep(self, seconds: float) -> None:
        """Let the others go on for some seconds."""
        self._wake(getcurrent(), self.now + seconds)
        self._hub.switch()

    def _wake(self, process: greenlet, at: float) -> None:
        self._number += 1
        heappush(self._coming, (at, self._number, process))

    def _time(self) -> float:
        return self.true_time + self._clocks.get(self.machine, 0.0)
