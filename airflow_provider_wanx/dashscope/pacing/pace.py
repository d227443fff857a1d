"""The pace that processes and machines share: a small object that they change by reading it and writing it on a condition.

To share the pace is a courtesy to the account, and no submission may fail for it: where the place cannot be had, a machine goes
by its own pace, as all did without such a place.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import ClassVar, TypeVar

from airflow_provider_wanx.dashscope.errors import ConflictError, ProviderError, UnconditionalStoreError
from airflow_provider_wanx.dashscope.pacing.machine import MachineStore
from airflow_provider_wanx.dashscope.pacing.state import PaceState
from airflow_provider_wanx.dashscope.redaction import safe_words
from airflow_provider_wanx.dashscope.store import Store, Version

T = TypeVar("T")

logger = logging.getLogger(__name__)

_MACHINE = MachineStore()

LEAD_SECONDS = 0.25
"""Seconds. A write to S3 within a region takes a fifth of that, so a moment that was reserved so far ahead has not passed."""

FIRST_PAUSE, LONGEST_CONFLICT_PAUSE = 0.1, 20.0
"""Seconds within which one tries again after somebody else was quicker: doubled each time, because many may be about it."""

LONGEST_UPDATE_SECONDS = 300.0
"""Seconds after which one goes on without. Five hundred processes that begin together need about half as long."""

RETRY_AFTER = 60.0
"""Seconds after which a place that could not be had is tried again."""


class Pace:
    """The state that all share who submit for one account and model: all machines where there is a place, else this one.

    :param name: of the state.
    :param place: where all machines find it.
    """

    _missed_until: ClassVar[dict[str, float]] = {}

    def __init__(self, name: str, place: Store | None) -> None:
        self._name = name
        self._place = place
        self.shared_by = "this machine" if place is None else "this account"
        self.lead = 0.0 if place is None else LEAD_SECONDS

    def update(self, change: Callable[[PaceState, float], T]) -> T:
        """Read, change and write the state; that of this machine if the shared one cannot be had.

        :param change: gets the state and the time, and changes the state; may be called several times, each with a new state.
        :return: what the last call of ``change`` has returned.
        """
        place = self._place
        if place is not None and time.monotonic() >= self._missed_until.get(place.url(), 0.0):
            try:
                result = _update(place, f"pace-{self._name}.json", change)
            except UnconditionalStoreError as error:
                self._miss(place, error, float("inf"))
            except Exception as error:  # noqa: BLE001 - whatever the place raises, it must not stop a submission
                self._miss(place, error, time.monotonic() + RETRY_AFTER)
            else:
                self._missed_until.pop(place.url(), None)
                return result
        return _update(_MACHINE, self._name, change)

    def accepted(self) -> None:
        """Take the news that a submission was accepted.

        A place takes none: the submission has still to be recorded, and must not wait for anything else. A row of refusals ends
        by the time that passes, see :data:`~airflow_provider_wanx.dashscope.pacing.state.QUIET_MOMENTS`.
        """
        if self._place is None:
            self.update(lambda state, now: state.accepted())

    def _miss(self, place: Store, error: Exception, until: float) -> None:
        known = place.url() in self._missed_until
        self._missed_until[place.url()] = until
        for_good = isinstance(error, UnconditionalStoreError)
        words = safe_words(str(error)).rstrip(".")
        if not isinstance(error, ProviderError):
            words = f"{type(error).__name__}: {words}"
        if not known:
            logger.log(
                logging.INFO if for_good else logging.WARNING,
                "Submissions keep to the pace of this machine alone, because the one that all machines share cannot be kept in "
                "%s: %s. This does no harm: what the service refuses for the rate is submitted again.%s",
                place.url(),
                words,
                "" if for_good else f" The place is tried again every {RETRY_AFTER:.0f} seconds.",
            )


def _update(store: Store, name: str, change: Callable[[PaceState, float], T]) -> T:
    began, window = time.monotonic(), FIRST_PAUSE
    while True:
        seen, ahead = _read(store, name)
        state = PaceState.from_bytes(seen.body)
        result = change(state, time.time() + ahead)
        body = state.to_bytes()
        if body == seen.body:
            return result
        try:
            store.write(name, body, replacing=seen.etag)
        except ConflictError:
            if time.monotonic() - began > LONGEST_UPDATE_SECONDS:
                raise TimeoutError("Too many processes write to it at the same time.") from None
        else:
            return result
        time.sleep(random.uniform(0, window))
        window = min(2 * window, LONGEST_CONFLICT_PAUSE)


def _read(store: Store, name: str) -> tuple[Version, float]:
    """Read the object, and find out how far the store's clock is ahead of this machine's.

    Only what its whole seconds prove is corrected: machines agree within a second however wrong their clocks are, and no
    clock that is right is touched.
    """
    before = time.time()
    seen = store.read(name)
    if seen.time is None:
        return seen, 0.0
    least, most = seen.time - time.time(), seen.time + 1 - before
    return seen, min(max(0.0, least), most)
