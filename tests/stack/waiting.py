"""Waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class StackError(RuntimeError):
    """A part of the local stack did not do what it was started for."""


def wait_until(condition: Callable[[], _T | None], *, timeout: float, what: str, interval: float = 0.1) -> _T:
    """
    Wait until a condition returns something true, and return that.

    :param condition: called again and again
    :param timeout: seconds until this gives up
    :param what: what is waited for, for the message
    :param interval: seconds between two calls
    :raises StackError: when the time is over
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise StackError(f"Waited {timeout:.0f} s in vain for {what}")
        time.sleep(interval)
    return value
