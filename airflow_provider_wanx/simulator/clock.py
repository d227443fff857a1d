"""The service's clock: real time, scaled, and able to jump ahead."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone

CHINA = timezone(timedelta(hours=8))


class Pulse:
    """Wakes all who wait now, and lets those who come later wait for the next beat."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Wake everybody."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait for the next beat."""
        await self._event.wait()


class Clock:
    """Counts the service's seconds from 0, and translates them into the times that it reports.

    Reported times advance with real time, whatever the speed, so that a client can compare them with its own clock:
    a job of 8 s takes 0.8 s at speed 10, and its reported times say so. Only a jump takes them ahead.

    :param speed: how many seconds pass in one real second.
    """

    def __init__(self, *, speed: float = 1.0) -> None:
        self.speed = speed
        self._epoch = time.time()
        self._began = time.monotonic()
        self._jumps = 0.0
        self._jumped = Pulse()

    def now(self) -> float:
        """Return the seconds that have passed for the service."""
        return self.ticked() + self._jumps

    def ticked(self) -> float:
        """Return the seconds that have passed without jumps, to measure how long some real work takes."""
        return (time.monotonic() - self._began) * self.speed

    def advance(self, seconds: float) -> None:
        """Jump so many of the service's seconds ahead, and wake whoever sleeps."""
        self._jumps += seconds
        self._jumped.beat()

    async def sleep_until(self, moment: float) -> None:
        """Wait for a moment of the service's clock, jumps included."""
        while (remaining := moment - self.now()) > 0:
            # Not wait_for: until 3.12 it waits in a task of its own, and a jump before that has begun would wake nobody.
            with suppress(TimeoutError):
                async with asyncio.timeout(remaining / self.speed):
                    await self._jumped.wait()

    def epoch(self, moment: float) -> float:
        """Translate a moment into the POSIX time that the service reports for it."""
        return self._epoch + moment / self.speed

    def moment(self, epoch: float) -> float:
        """Translate a reported POSIX time back."""
        return (epoch - self._epoch) * self.speed

    def text(self, moment: float, *, milliseconds: bool = True) -> str:
        """Write a moment the way task bodies do: naive China time, with milliseconds or without."""
        stamp = datetime.fromtimestamp(self.epoch(moment), CHINA)
        return stamp.isoformat(" ", "milliseconds" if milliseconds else "seconds").partition("+")[0]
