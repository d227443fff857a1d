"""How many requests one endpoint gets: a share of the account's limit, given back as soon as the service refuses.

Every method is told the time, so that the rules can be tested without waiting. Ready-made limiters were looked at first:
they keep to one fixed rate, whereas the limit here is shared with processes that cannot be seen. What is needed is what
congestion control does, slowing by a factor at a refusal and recovering by steps, and neither ``aiolimiter`` nor
``pyrate-limiter`` does that.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

TOLERANCE = 1.5
"""Requests by which a late timer may catch up, at most; more would be a burst."""

BURST = 2.0
"""Seconds of the whole limit that may be spent above the usual share, for instance when many tasks end at once."""

SHRINK = 0.65
RECOVERY = 0.015
"""Part of the limit that a second without refusal gives back to a budget that has lost everything; those that have lost less
get less, so that unequal ones grow alike."""

KNEE = 0.9
"""Part of the rate that was last refused up to which recovery is quick; beyond, it feels its way."""

KNEE_SETTLED = 30.0
"""Seconds after which a refusal counts as news about that rate, and not as an echo of the last one."""

KNEE_MEMORY = 300.0
"""Seconds for which the refused rate is remembered: whoever else used the account may be gone by then."""

FLOOR = 0.02
"""Part of the limit that is never given up, so that an end of the refusals is noticed."""

LONGEST_PAUSE = 15.0
"""Seconds between two requests when all are refused."""

OUTAGE_PAUSE = 5.0
"""Seconds between two requests when all fail: nobody is kept from anything by trying."""

FORGIVEN = 3
"""Failures in a row that slow nothing down."""

FEWEST_AT_ONCE = 4
"""Requests that may be under way whatever their answers take. More only if answers usually take so long: what piles up in
front of a service that has come to a halt arrives all at once when it goes on."""

STEEPEST = 10
"""Doublings of a pause at most; beyond, a long outage would end in an overflow."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The parts of an endpoint's limit.

    :param usual: what is used on average; the rest is for everyone else on the account.
    :param peak: what is used for a moment.
    """

    usual: float
    peak: float


GET_SHARES = Shares(usual=0.6, peak=0.8)
LIST_SHARES = Shares(usual=0.25, peak=0.3)


class Budget:
    """The requests that one process sends to one endpoint.

    :param limit: requests per second that the service allows the whole account.
    :param shares: how much of that is used here.
    :param now: monotonic seconds.
    """

    def __init__(self, *, limit: float, shares: Shares, now: float) -> None:
        self.limit = limit
        self.sent = self.refusals = 0
        self._shares = shares
        self._allowed = limit * shares.peak
        self._knee = 0.0
        self._knee_at = now
        self._credit = limit * BURST
        self._credited_at = now
        self._next = now
        self._paused_until = now
        self._shrunk_at = now
        self._streak = 0
        self._under_way = 0
        self._latency = 0.0

    @property
    def rate(self) -> float:
        """Requests per second at this moment."""
        return min(self._allowed, self.limit * self._shares.peak)

    @property
    def usual_rate(self) -> float:
        """Requests per second on average."""
        return min(self._allowed, self.limit * self._shares.usual)

    @property
    def in_trouble(self) -> bool:
        """Whether the last requests in a row have failed or were refused."""
        return self._streak >= 2

    def next_at(self, now: float) -> float:
        """The earliest moment for the next request; infinite while an answer must be awaited first."""
        self._refill(now)
        most = max(FEWEST_AT_ONCE, 2 * self.rate * self._latency)
        if self._under_way >= (1 if self._streak else most):
            return float("inf")
        credit_at = now if self._credit >= 1 else now + (1 - self._credit) / self.usual_rate
        return max(self._next, credit_at, self._paused_until)

    def take(self, now: float) -> None:
        """Count a request that is being sent."""
        self.sent += 1
        self._refill(now)
        self._credit -= 1
        spacing = 1 / self.rate
        tolerance = min(TOLERANCE, self.limit * (1 - self._shares.peak) / 2)
        self._next = max(self._next, now - tolerance * spacing) + spacing
        self._under_way += 1

    def drop(self) -> None:
        """Count a request that was abandoned."""
        self._under_way -= 1

    def stalled(self, *, now: float, seconds: float) -> None:
        """Take the news that this process did not get its turn: what it had begun to send goes out only now."""
        self._next = max(self._next, now + min(seconds, 0.5))

    def answered(self, *, sent_at: float, now: float) -> None:
        """Count a request that was served, whatever the answer says."""
        self._under_way -= 1
        self._streak = 0
        self._latency += 0.1 * (now - sent_at - self._latency)

    def refused(self, *, sent_at: float, now: float, retry_after: float | None) -> None:
        """Count a request that was throttled.

        :param sent_at: when it was sent; those sent before the last slowing-down do not slow down once more.
        :param retry_after: seconds that the service asks to wait.
        """
        self._under_way -= 1
        self.refusals += 1
        if sent_at >= self._shrunk_at:
            if self.rate > self._knee or now - self._knee_at > KNEE_SETTLED:
                self._knee, self._knee_at = self.rate, now
            self._allowed = max(self.rate * SHRINK, self.limit * FLOOR)
            self._shrunk_at = now
            self._credit = min(self._credit, 1.0)
            self._streak += 1
            self._pause(
                now, max(min(0.25 * 2.0 ** min(self._streak, STEEPEST), LONGEST_PAUSE), retry_after or 0.0)
            )
        elif retry_after:
            self._pause(now, retry_after)

    def failed(self, *, now: float, retry_after: float | None = None) -> None:
        """Count a request that brought no answer, or the news that the service is in trouble."""
        self._under_way -= 1
        self._streak += 1
        if self._streak > FORGIVEN or retry_after:
            pause = min(0.1 * 2.0 ** min(self._streak - FORGIVEN, STEEPEST), OUTAGE_PAUSE)
            self._pause(now, max(pause, retry_after or 0.0))

    def _pause(self, now: float, seconds: float) -> None:
        # Never shorter, or what the service has asked for would not be kept to.
        self._paused_until = max(self._paused_until, now + seconds * random.uniform(1.0, 1.5))

    def _refill(self, now: float) -> None:
        elapsed = now - self._credited_at
        if elapsed <= 0:
            return
        self._credited_at = now
        self._credit = min(self._credit + elapsed * self.usual_rate, self.limit * BURST)
        if now < self._paused_until:
            return
        slow = now - self._knee_at < KNEE_MEMORY and self._allowed > KNEE * self._knee
        missing = 1 - self._allowed / (self.limit * self._shares.peak * 1.2)
        step = elapsed * self.limit * RECOVERY * missing * (0.15 if slow else 1.0)
        self._allowed = min(self._allowed + step, self.limit * self._shares.peak)
