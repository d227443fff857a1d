"""Request limits: so many in any window of time."""

from __future__ import annotations

from collections import deque

from airflow_provider_wanx.simulator.clock import Clock


class RateWindow:
    """A sliding window: the strictest reading of "N per second", so whoever passes here passes a laxer one.

    :param clock: the service's clock.
    :param rate: requests per second; 0 admits all.
    """

    def __init__(self, *, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._capacity = max(1, int(rate))
        self._period = self._capacity / rate if rate else 0.0
        self._admitted: deque[float] = deque(maxlen=self._capacity)

    def admit(self) -> bool:
        """Count one request in, or say that it is one too many. A refused request does not count."""
        if not self._period:
            return True
        now = self._clock.now()
        if len(self._admitted) == self._capacity and now - self._admitted[0] < self._period:
            return False
        self._admitted.append(now)
        return True
