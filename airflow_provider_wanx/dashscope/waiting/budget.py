"""How many requests one endpoint gets: a share of the account's limit, given back as soon as the service refuses.

Every method is told the time, so that the rules can be tested without waiting. Ready-made limiters were looked at first:
they keep to one fixed rate, whereas the limit here is shared with processes that cannot be seen. What is needed is what
congestion control does, slowing by a factor at a refusal and recovering by steps, and neither ``aiolimiter`` nor
``pyrate-limiter`` does that.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from airflow_provider_wanx.dashscope.api.answers import SHARED_RETRY_AFTER

TOLERANCE = 1.5
"""Requests by which a late timer may catch up, at most; more would be a burst. Without, 200 ends in a list without totals are
noticed 0.4 s later."""

BURST = 2.0
"""Seconds of the whole limit that may be spent above the usual share, for instance when many tasks end at once. With a tenth of
it, 1,000 ends are noticed 0.7 s later."""

SHRINK = 0.65
"""What a refusal leaves of the rate. With 0.8, four triggerers that share an account are refused half as often again; with 0.5,
ends are noticed half as late again while somebody else uses the account."""

RECOVERY = 0.01
"""Part of the limit that a second without refusal gives back to a budget that has lost everything; those that have lost less
get less, so that unequal ones grow alike. With 0.015, four triggerers are refused a quarter more often; with 0.0075, ends are
noticed a fifth later while somebody else uses the account."""

FLOOR = 0.02
"""Part of the limit that is never given up, or the next request would be planned for hours later."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds until the next request after one that was refused or failed, and after many in a row: with each it doubles. From
0.5 on, ends are noticed 2 s later if every tenth answer is an error; from 0.05 on, eight triggerers are refused a fifth more
often. Up to 15 instead of 5 changes nothing."""

FEWEST_AT_ONCE = 4
"""Requests that may be under way whatever their answers take. More only if answers usually take so long: what piles up in
front of a service that has come to a halt arrives all at once when it goes on."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """The parts of an endpoint's limit.

    :param usual: what is used on average; the rest is for everyone else on the account.
    :param peak: what is used for a moment.
    """

    usual: float
    peak: float


# With a peak of 0.6, 1,000 ends are noticed 0.7 s later; with 0.8 of both, hardly anybody else would get through. More than a
# quarter of the list's limit gains nothing.
GET_SHARES = Shares(usual=0.6, peak=0.8)
LIST_SHARES = Shares(usual=0.25, peak=0.25)


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
        self._credit = limit * BURST
        self._credited_at = now
        self._next = now
        self._paused_until = now
        self._shrunk_at = now
        self._pause = 0.0
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
        return self._pause > FIRST_PAUSE

    def next_at(self, now: float) -> float:
        """The earliest moment for the next request; infinite while an answer must be awaited first."""
        self._refill(now)
        most = max(FEWEST_AT_ONCE, 2 * self.rate * self._latency)
        if self._under_way >= (1 if self._pause else most):
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
        self._pause = 0.0
        self._latency += 0.1 * (now - sent_at - self._latency)

    def refused(self, *, sent_at: float, now: float, retry_after: float | None) -> None:
        """Count a request that was throttled.

        :param sent_at: when it was sent; those sent before the last slowing-down do not slow down once more.
        :param retry_after: seconds that the service asks to wait.
        """
        self._under_way -= 1
        self.refusals += 1
        if sent_at >= self._shrunk_at:
            self._allowed = max(self.rate * SHRINK, self.limit * FLOOR)
            self._shrunk_at = now
            self._credit = min(self._credit, 1.0)
            self._back_off(now, retry_after)
        elif retry_after:
            self._wait(now, retry_after)

    def failed(self, *, now: float, retry_after: float | None = None) -> None:
        """Count a request that brought no answer, or the news that the service is in trouble."""
        self._under_way -= 1
        self._back_off(now, retry_after)

    def _back_off(self, now: float, retry_after: float | None) -> None:
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        self._wait(now, max(self._pause, retry_after or 0.0))

    def _wait(self, now: float, seconds: float) -> None:
        # Never shorter, or what the service has asked for would not be kept to.
        pause = min(seconds, SHARED_RETRY_AFTER) * random.uniform(1.0, 1.5)
        self._paused_until = max(self._paused_until, now + pause)

    def _refill(self, now: float) -> None:
        elapsed = now - self._credited_at
        if elapsed <= 0:
            return
        self._credited_at = now
        self._credit = min(self._credit + elapsed * self.usual_rate, self.limit * BURST)
        if now < self._paused_until:
            return
        missing = 1 - self._allowed / (self.limit * self._shares.peak * 1.2)
        step = elapsed * self.limit * RECOVERY * missing
        self._allowed = min(self._allowed + step, self.limit * self._shares.peak)
