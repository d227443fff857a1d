"""A signal for whoever happens to wait."""

from __future__ import annotations

import asyncio


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
