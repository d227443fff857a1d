"""When a wait is over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


@dataclass(frozen=True)
class Deadline:
    """When a wait is over.

    :param end_time: wall-clock seconds since 1970. A deferred wait moves between machines, so no monotonic clock will do.
    :param by_execution_timeout: whether ``execution_timeout`` set it. Airflow 3 does not enforce that while a task is deferred.
    """

    end_time: float
    by_execution_timeout: bool = False

    def seconds_left(self) -> float:
        """Seconds until then, 0 if it has passed."""
        return max(0.0, self.end_time - time.time())


def deadline(context: Context, *, seconds: float, execution_timeout: timedelta | None) -> Deadline:
    """Compute when a wait that begins now is over.

    :param seconds: longest wait.
    :param execution_timeout: of the Airflow task, counted from the start of its current try.
    """
    now = time.time()
    if execution_timeout is not None:
        started = context["ti"].start_date
        limit = (now if started is None else started.timestamp()) + execution_timeout.total_seconds()
        if limit < now + seconds:
            return Deadline(limit, by_execution_timeout=True)
    return Deadline(now + seconds)


def check_seconds(name: str, value: float | timedelta) -> float:
    """Read a length of time.

    :raises ValueError: it is not a positive number of seconds.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}.")
    return float(seconds)
