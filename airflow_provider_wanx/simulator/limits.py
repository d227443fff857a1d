"""Request limits: so many in any window of time."""

from __future__ import annotations

from collections import deque

from airflow_provider_wanx.simulator.clock import Clock


class RateWindow:
    """Admits so many requests in a window of time.

    A sliding window is the strictest reading of "N per second": whoever passes it passes a laxer one. A fixed window begins
    anew with every second, so that twice as many requests may come around its turn, and none at its end.

    :param clock: the service's clock.
    :param rate: requests per second; 0 admits all.
    :param fixed: whether windows are fixed.
    """

    def __init__(self, *, clock: Clock, rate: float, fixed: bool = False) -> None:
        self._clock = clock
        self._capacity = max(1, int(rate))
        self._period = self._capacity / rate if rate else 0.0
        self._fixed = fixed
        self._admitted: deque[float] = deque(maxlen=self._capacity)

    def admit(self) -> bool:
        """Count one request in, or say that it is one too many. A refused request does not count."""
        if not self._period:
            return True
        now = self._clock.now()
        since = now // self._period * self._period if self._fixed else now - self._period
        if len(self._admitted) == self._capacity and self._admitted[0] > since:
            return False
        self._admitted.append(now)
        return True
