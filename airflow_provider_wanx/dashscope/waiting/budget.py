"""How many requests one endpoint gets: a share of the account's limit, less after each refusal, slowly more again."""

from __future__ import annotations

import random

from airflow_provider_wanx.dashscope.api.answers import SHARED_RETRY_AFTER_SECONDS
from airflow_provider_wanx.dashscope.errors import ProviderError, ThrottledError

TASK_SHARE, LIST_SHARE = 0.7, 0.25
"""Parts of the limits of the two endpoints that are used at most; the rest is for everyone else on the account. With 0.6 of the
first, ends of forty at once are noticed 0.5 s later; with 0.8, hardly anybody else would get through."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0
"""Until the next request after one that was refused or failed, and after many in a row: it doubles. With a first pause of 0.5,
ends are noticed 2 s later if every tenth answer is an error."""


class Budget:
    """The requests that one process sends to one endpoint. ``now`` is always monotonic seconds.

    :param limit: requests per second that the service allows the whole account.
    :param share: part of them that is used here at most.
    """

    def __init__(self, *, limit: float, share: float) -> None:
        self.rate = self._most = limit * share
        self.next_at = self._sent_at = self._slowed_at = float("-inf")
        # What a second gives back, and the least that there is. With 0.015, four triggerers are refused a quarter more often.
        self._recovery = limit * 0.01
        self._pause = 0.0

    @property
    def at_once(self) -> int:
        """Requests that may be under way: what piles up at a service that halts arrives all at once when it goes on."""
        return 1 if self._pause else max(1, int(self.rate))

    def take(self, now: float) -> None:
        """Count a request that is being sent."""
        if self.rate < self._most:
            self.rate = min(self._most, self.rate + (now - self._sent_at) * self._recovery)
        self._sent_at, self.next_at = now, now + 1 / self.rate

    def answered(self, answer: object, *, sent_at: float, now: float) -> None:
        """Take what became of a request.

        :param answer: what came, or the error.
        :param sent_at: when it was sent. Refusals of what was sent before the last slowing-down do not slow down once more.
        """
        retry_after = (answer.retry_after if isinstance(answer, ProviderError) else None) or 0.0
        if isinstance(answer, ThrottledError):
            if sent_at >= self._slowed_at:
                # With 0.8, four triggerers on one account are refused half as often again.
                self.rate, self._slowed_at = max(self.rate * 0.65, self._recovery), now
                self._back_off(now, retry_after)
            elif retry_after:
                self._rest(now, retry_after)
        elif isinstance(answer, ProviderError) and answer.retryable:
            self._back_off(now, retry_after)
        else:
            self._pause = 0.0

    def _back_off(self, now: float, retry_after: float) -> None:
        self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._rest(now, max(self._pause, retry_after))

    def _rest(self, now: float, seconds: float) -> None:
        # Never shorter, or what the service has asked for would not be kept to; not equally long for all on the account.
        self.next_at = max(
            self.next_at, now + min(seconds, SHARED_RETRY_AFTER_SECONDS) * random.uniform(1.0, 1.5)
        )
