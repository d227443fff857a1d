"""Clocks that go on by themselves and jump instead of letting anybody sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")


class SkippedTime:
    """Lets nobody sleep: whoever wants to finds the clocks ahead by as much. For one sleeper at a time.

    :param patch: puts it in the place of the functions of :mod:`time` and :mod:`asyncio`.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.pauses: list[float] = []
        self.before_pause: Callable[[], object] = int
        self._time, self._monotonic, self._yield = time.time, time.monotonic, asyncio.sleep
        patch.setattr(time, "time", lambda: self._time() + self.skipped)
        patch.setattr(time, "monotonic", lambda: self._monotonic() + self.skipped)
        patch.setattr(time, "sleep", self._sleep)
        patch.setattr(asyncio, "sleep", self._asleep)

    @property
    def skipped(self) -> float:
        """How many seconds nobody had to wait."""
        return sum(self.pauses)

    def _sleep(self, seconds: float, /) -> None:
        self.before_pause()
        self.pauses.append(seconds)

    async def _asleep(self, delay: float, result: T | None = None) -> T | None:
        if delay > 0:
            self._sleep(delay)
        return await self._yield(0, result)
