"""What those who submit for one account and model agree upon: the next free moment, and pauses after refusals."""

from __future__ import annotations

import json
import logging
import math
import random
from dataclasses import asdict, dataclass, fields

from airflow_provider_wanx.dashscope.api.answers import SHARED_RETRY_AFTER_SECONDS

logger = logging.getLogger(__name__)

MARGIN = 1.04
"""By how much moments lie further apart than the limit asks: requests do not take equally long on their way."""

LONGEST_PAUSE_MOMENTS = 20.0
"""Moments among which the end of a pause is drawn at most. Among 8, a hundred machines are refused half as often again; among
32, the last submissions of a few machines wait for nobody."""

QUIET_MOMENTS = 2.0
"""Moments after the end of a pause in which somebody submits if anybody wants to: the next refusal begins a new row."""

LONGEST_QUEUE_SECONDS = 600.0
"""Seconds of submissions that may be queued whatever one's own patience; it is that of an untouched connection. What lies
further ahead was reserved by nobody: a clock was set back, or somebody else has written there."""


@dataclass
class PaceState:
    """What is shared about one account and model. Times are seconds since 1970.

    :param next_at: the first moment that nobody has reserved.
    :param paused_until: when one submits again after a refusal.
    :param reach: moments among which the end of the last pause was drawn; 1 after an accepted submission.
    """

    next_at: float = 0.0
    paused_until: float = 0.0
    reach: float = 1.0

    def reserve(
        self,
        *,
        rate: float,
        now: float,
        patience: float,
        queue: float = 0.0,
        held: float | None = None,
        lead: float = 0.0,
    ) -> float:
        """Take the next free moment, unless it is too far away.

        :param rate: submissions per second that the account allows.
        :param patience: seconds that one is still willing to wait.
        :param queue: seconds that one is willing to wait from the beginning, as others will be too.
        :param held: seconds until a moment that was taken; it is lost only if it falls into a pause.
        :param lead: seconds ahead at which a moment lies at least.
        :return: seconds until the moment.
        """
        ahead = max(self.next_at, self.paused_until) - now
        if (
            ahead
            > max(queue, LONGEST_QUEUE_SECONDS)
            + SHARED_RETRY_AFTER_SECONDS
            + LONGEST_PAUSE_MOMENTS * MARGIN / rate
        ):
            logger.warning(
                "The next submission is said to be due in %.0f s only, which is not believed: the pace begins anew.",
                ahead,
            )
            self.next_at = self.paused_until = now
        if held is not None and now + max(held, 0.0) >= self.paused_until:
            return max(held, 0.0)
        moment = max(now + lead, self.next_at, self.paused_until)
        if moment - now <= patience:
            self.next_at = moment + MARGIN / rate
        return moment - now

    def refused(self, *, rate: float, now: float, retry_after: float | None) -> None:
        """Take the news that a submission came too early."""
        if now - self.paused_until > QUIET_MOMENTS * MARGIN / rate:
            self.reach = 1.0
        self.reach = min(2 * self.reach, LONGEST_PAUSE_MOMENTS)
        pause = (
            min(retry_after or 0.0, SHARED_RETRY_AFTER_SECONDS)
            + random.uniform(0, self.reach) * MARGIN / rate
        )
        self.paused_until = max(self.paused_until, now + pause)

    def accepted(self) -> None:
        """Take the news that a submission did not."""
        self.reach = 1.0

    def to_bytes(self) -> bytes:
        """Return the stored form."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, stored: bytes) -> PaceState:
        """Read the stored form; what is damaged counts as nothing."""
        try:
            known = json.loads(stored or b"{}")
            state = cls(**{each.name: float(known[each.name]) for each in fields(cls)})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return cls()
        is_sound = (
            math.isfinite(state.next_at + state.paused_until) and 1.0 <= state.reach <= LONGEST_PAUSE_MOMENTS
        )
        return state if is_sound else cls()
