"""Threads beside the one that keeps the ledger."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def threads(number: int, *, finish: bool = True) -> Iterator[ThreadPoolExecutor]:
    """Threads that finish what they have begun; if an error ends the work, they begin nothing more.

    :param finish: whether, after an error, one waits until they have finished.
    """
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=finish, cancel_futures=True)
        raise
    pool.shutdown()


def ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], *, most: int
) -> Iterator[tuple[T, Future[R]]]:
    """Call a function with one item after the other, ahead of whoever takes the results.

    :param most: how many are begun or done before they are taken.
    """
    begun: deque[tuple[T, Future[R]]] = deque()
    try:
        for item in items:
            begun.append((item, pool.submit(function, item)))
            if len(begun) >= most:
                yield begun.popleft()
        while begun:
            yield begun.popleft()
    finally:
        for _, future in begun:
            future.cancel()


@dataclass
class Turns:
    """Lets threads go on one after the other.

    :param rate: how many a second.
    """

    rate: float
    _next: float = field(default=0.0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def wait(self) -> None:
        """Wait for the next turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + 1 / self.rate
        time.sleep(turn - now)
