"""Request limits: so many in a window of time."""

from __future__ import annotations

from collections import deque

from airflow_provider_wanx.simulator.clock import Clock
from airflow_provider_wanx.simulator.errors import ServiceError


class RateLimits:
    """The limits of all endpoints.

    :param clock: the service's clock.
    :param fixed: whether windows are fixed.
    """

    def __init__(self, *, clock: Clock, fixed: bool) -> None:
        self._clock = clock
        self._fixed = fixed
        self._windows: dict[tuple[str, str], _RateWindow] = {}

    def admit(self, endpoint: str, *, rate: float, model: str = "") -> None:
        """Count a request against a limit.

        :param endpoint: what is limited.
        :param rate: requests per second; 0 is no limit.
        :param model: where each model has its own limit.
        :raises ServiceError: it is one too many.
        """
        window = self._windows.get((endpoint, model))
        if window is None:
            window = _RateWindow(clock=self._clock, rate=rate, fixed=self._fixed)
            self._windows[endpoint, model] = window
        if not window.admit():
            raise ServiceError.of_status(429)


class _RateWindow:
    """Admits so many requests in a window of time.

    A sliding window is the strictest reading of "N per second": whoever passes it passes a laxer one. A fixed window begins
    anew with every second, so that twice as many requests may come around its turn, and none at its end.

    :param clock: the service's clock.
    :param rate: requests per second; 0 admits all.
    :param fixed: whether windows are fixed.
    """

    def __init__(self, *, clock: Clock, rate: float, fixed: bool) -> None:
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
