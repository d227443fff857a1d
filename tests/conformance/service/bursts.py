"""Many requests at once, to see limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx

from tests.conformance.service.wire import Clock, Exchange

Request = tuple[str, Callable[[], Exchange]]
"""What kind of request it is, and what sends it."""

# A little more than a second, so that what was sent before does not count.
_APART = 1.1


@dataclass(frozen=True)
class Burst:
    """Many requests at once.

    :param answers: with the kind of request of each.
    :param seconds: from the first request to the last answer.
    """

    answers: list[tuple[str, Exchange]]
    seconds: float

    @property
    def refused(self) -> list[Exchange]:
        """Those that were refused for being too many."""
        return [seen for _, seen in self.answers if seen.status == httpx.codes.TOO_MANY_REQUESTS]


def at_once(requests: list[Request], clock: Clock) -> Burst:
    """Send requests at once, apart from what was sent before and will be sent after them."""
    clock.sleep(_APART)
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=min(30, len(requests))) as pool:
        answers = list(pool.map(lambda each: (each[0], each[1]()), requests))
    seconds = time.monotonic() - began
    clock.sleep(_APART)
    return Burst(answers, seconds)
