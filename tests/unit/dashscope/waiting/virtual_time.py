"""An event loop whose clock jumps to the next timer: minutes pass in milliseconds, and a busy machine changes nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest.mock import patch

T = TypeVar("T")

NOON = 1_800_000_000.0
"""Wall clock at which virtual time begins."""


class _JumpingSelector(selectors.DefaultSelector):
    """Lets time pass instead of waiting for files, of which there are none."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("Nothing is left that could ever happen.")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time; the clocks of :mod:`time` follow, as deadlines and the moments of submissions do."""
    loop = VirtualLoop()
    try:
        with patch("time.time", lambda: NOON + loop.time()), patch("time.monotonic", loop.time):
            return loop.run_until_complete(coroutine)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
