"""The pace of submissions: what all who submit for one account and model agree upon, and where.

Processes of one machine find it in a small file. Machines, and containers, find it in a small object at a place that the
program hands in. To share it is a courtesy to the account, and no submission may fail for it: where the place cannot be had, a
machine goes by its own pace, as all do without such a place.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import ClassVar, TypeVar

from pydantic import BaseModel, Field, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from airflow_provider_wanx.dashscope.api.answers import SHARED_RETRY_AFTER_SECONDS
from airflow_provider_wanx.dashscope.errors import ConflictError, ProviderError, UnconditionalStoreError
from airflow_provider_wanx.dashscope.pacing import machine
from airflow_provider_wanx.dashscope.redaction import safe_words
from airflow_provider_wanx.dashscope.store import Store

T = TypeVar("T")

logger = logging.getLogger(__name__)

MARGIN = 1.04
"""By how much moments lie further apart than the limit asks: requests do not take equally long on their way."""

LONGEST_PAUSE_MOMENTS = 20.0
"""Moments among which the end of a pause is drawn at most. Among 8, a hundred machines are refused half as often again; among
32, the last submissions of a few machines wait for nobody."""


class PaceState(BaseModel):
    """What is shared about one account and model. Times are seconds since 1970.

    :param next_at: the first moment that nobody has reserved.
    :param paused_until: when one submits again after a refusal.
    :param reach: moments among which the end of the last pause was drawn; 1 after an accepted submission.
    """

    next_at: float = Field(default=0.0, allow_inf_nan=False)
    paused_until: float = Field(default=0.0, allow_inf_nan=False)
    reach: float = Field(default=1.0, ge=1.0, le=LONGEST_PAUSE_MOMENTS)

    @classmethod
    def read(cls, stored: bytes) -> PaceState:
        """Read the stored form; what is damaged counts as nothing."""
        try:
            return cls.model_validate_json(stored)
        except ValidationError:
            return cls()

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
        # Ten minutes is what an untouched connection waits. Nobody has reserved what lies further ahead: a clock was set back,
        # or somebody else has written there.
        longest = max(queue, 600.0) + SHARED_RETRY_AFTER_SECONDS + LONGEST_PAUSE_MOMENTS * MARGIN / rate
        if ahead > longest:
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
        # Within two moments after a pause somebody submits if anybody wants to: the next refusal begins a new row.
        if now - self.paused_until > 2 * MARGIN / rate:
            self.reach = 1.0
        self.reach = min(2 * self.reach, LONGEST_PAUSE_MOMENTS)
        asked = min(retry_after or 0.0, SHARED_RETRY_AFTER_SECONDS)
        self.paused_until = max(
            self.paused_until, now + asked + random.uniform(0, self.reach) * MARGIN / rate
        )

    def accepted(self) -> None:
        """Take the news that a submission did not."""
        self.reach = 1.0


class Pace:
    """The state that all share: all machines where there is a place, else this one.

    :param name: of the state.
    :param place: where all machines find it.
    """

    _missed_until: ClassVar[dict[str, float]] = {}

    def __init__(self, name: str, place: Store | None) -> None:
        self._name = name
        self._place = place
        self.shared_by = "this machine" if place is None else "this account"
        # Seconds. A write to S3 within a region takes a fifth, so a moment that was reserved so far ahead has not passed.
        self.lead = 0.0 if place is None else 0.25

    def update(self, change: Callable[[PaceState, float], T]) -> T:
        """Read, change and write the state; that of this machine if the shared one cannot be had.

        :param change: gets the state and the time, and changes the state; may be called several times, each with a new state.
        :return: what the last call of ``change`` has returned.
        """
        place = self._place
        if place is not None and time.monotonic() >= self._missed_until.get(place.url(), 0.0):
            # Many may be about it at the same time: five hundred processes that begin together need half of the five minutes.
            again = Retrying(
                retry=retry_if_exception_type(ConflictError),
                wait=wait_random_exponential(multiplier=0.1, max=20.0),
                stop=stop_after_delay(300.0),
                reraise=True,
            )
            try:
                result: T = again(_update, place, f"pace-{self._name}.json", change)
            except Exception as error:  # noqa: BLE001 - whatever the place raises, it must not stop a submission
                self._miss(place, error)
            else:
                self._missed_until.pop(place.url(), None)
                return result
        results: list[T] = []

        def change_file(body: bytes) -> bytes:
            state = PaceState.read(body)
            results.append(change(state, time.time()))
            return state.model_dump_json().encode()

        machine.update(self._name, change_file)
        return results[-1]

    def accepted(self) -> None:
        """Take the news that a submission was accepted.

        A place takes none: the submission has still to be recorded, and must not wait for anything else. A row of refusals ends
        there by the time that passes.
        """
        if self._place is None:
            self.update(lambda state, now: state.accepted())

    def _miss(self, place: Store, error: Exception) -> None:
        known = place.url() in self._missed_until
        for_good = isinstance(error, UnconditionalStoreError)
        self._missed_until[place.url()] = float("inf") if for_good else time.monotonic() + 60
        if known:
            return
        words = safe_words(str(error)).rstrip(".")
        logger.log(
            logging.INFO if for_good else logging.WARNING,
            "Submissions keep to the pace of this machine alone, because the one that all machines share cannot be kept in "
            "%s: %s. This does no harm: what the service refuses for the rate is submitted again.%s",
            place.url(),
            words if isinstance(error, ProviderError) else f"{type(error).__name__}: {words}",
            "" if for_good else " The place is tried again every 60 seconds.",
        )


def _update(store: Store, name: str, change: Callable[[PaceState, float], T]) -> T:
    before = time.time()
    seen = store.read(name)
    state = PaceState.read(seen.body)
    ahead = 0.0
    if seen.time is not None:
        # Only what the whole seconds of the store's clock prove is corrected: machines agree within a second however wrong
        # their clocks are, and no clock that is right is touched.
        ahead = min(max(0.0, seen.time - time.time()), seen.time + 1 - before)
    result = change(state, time.time() + ahead)
    body = state.model_dump_json().encode()
    if body != seen.body:
        store.write(name, body, replacing=seen.etag)
    return result
