"""Work that is done once however many ask for it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Keeps the results of the last few pieces of work, and lets later askers join work under way.

    :param size: how many results are kept.
    """

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._work: OrderedDict[K, asyncio.Future[V]] = OrderedDict()

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """Return the result for a key, making it when there is none. A failure is not kept."""
        work = self._work.get(key)
        if work is None:
            work = asyncio.ensure_future(make())
            self._work[key] = work
            work.add_done_callback(lambda done: self._drop_failure(key, done))
            if len(self._work) > self._size:
                self._work.popitem(last=False)
        else:
            self._work.move_to_end(key)
        # One asker that gives up must not take the work from the others.
        return await asyncio.shield(work)

    def _drop_failure(self, key: K, work: asyncio.Future[V]) -> None:
        if (work.cancelled() or work.exception() is not None) and self._work.get(key) is work:
            del self._work[key]
