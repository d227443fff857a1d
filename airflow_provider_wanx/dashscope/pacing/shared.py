"""The pace of all machines: a small object that they change by reading it and writing it on a condition.

To share the pace is a courtesy to the account, and no submission may fail for it: where the place cannot be had, a machine goes
by its own pace, as all did without such a place.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import ClassVar, TypeVar

from airflow_provider_wanx.dashscope.errors import ProviderError, UnconditionalStoreError
from airflow_provider_wanx.dashscope.pacing.state import PaceState, PaceStore
from airflow_provider_wanx.dashscope.redaction import safe_words
from airflow_provider_wanx.dashscope.sharing import Seen, SharedPlace

T = TypeVar("T")

logger = logging.getLogger(__name__)

LEAD = 0.25
"""Seconds. A write to S3 within a region takes a fifth of that, so a moment that was reserved so far ahead has not passed."""

FIRST_PAUSE, LONGEST_CONFLICT_PAUSE = 0.1, 20.0
"""Seconds within which one tries again after somebody else was quicker: doubled each time, because many may be about it."""

LONGEST_UPDATE = 300.0
"""Seconds after which one goes on without. Five hundred processes that begin together need about half as long."""

RETRY_AFTER = 60.0
"""Seconds after which a place that could not be had is tried again."""


class SharedStore:
    """Keeps a state where all machines find it.

    :param place: the place.
    :param name: of the state.
    :param otherwise: what is used where the place cannot be had.
    """

    shared_by, lead = "this account", LEAD

    _missed_until: ClassVar[dict[str, float]] = {}

    def __init__(self, place: SharedPlace, name: str, *, otherwise: PaceStore) -> None:
        self._place = place
        self._name = f"pace-{name}.json"
        self._otherwise = otherwise

    def update(self, change: Callable[[PaceState, float], T]) -> T:
        """Read, change and write the state; at the machine's own place if the shared one cannot be had."""
        if time.monotonic() >= self._missed_until.get(self._place.where, 0.0):
            try:
                result = self._update(change)
            except UnconditionalStoreError as error:
                self._miss(error, float("inf"))
            except Exception as error:  # noqa: BLE001 - whatever the place raises, it must not stop a submission
                self._miss(error, time.monotonic() + RETRY_AFTER)
            else:
                self._missed_until.pop(self._place.where, None)
                return result
        return self._otherwise.update(change)

    def accepted(self) -> None:
        """Take no news: its submission has still to be recorded, and must not wait for anything else.

        A row of refusals ends by the time that passes, see :data:`~airflow_provider_wanx.dashscope.pacing.state.QUIET`.
        """

    def _update(self, change: Callable[[PaceState, float], T]) -> T:
        began, window = time.monotonic(), FIRST_PAUSE
        while True:
            seen, ahead = self._read()
            state = PaceState.from_bytes(seen.body)
            result = change(state, time.time() + ahead)
            body = state.to_bytes()
            if body == seen.body or self._place.write(self._name, body, replacing=seen):
                return result
            if time.monotonic() - began > LONGEST_UPDATE:
                raise TimeoutError("Too many processes write to it at the same time.")
            time.sleep(random.uniform(0, window))
            window = min(2 * window, LONGEST_CONFLICT_PAUSE)

    def _read(self) -> tuple[Seen, float]:
        """Read the object, and find out how far the place's clock is ahead of this machine's.

        Only what its whole seconds prove is corrected: machines agree within a second however wrong their clocks are, and no
        clock that is right is touched.
        """
        before = time.time()
        seen = self._place.read(self._name)
        if seen.time is None:
            return seen, 0.0
        least, most = seen.time - time.time(), seen.time + 1 - before
        return seen, min(max(0.0, least), most)

    def _miss(self, error: Exception, until: float) -> None:
        known = self._place.where in self._missed_until
        self._missed_until[self._place.where] = until
        for_good = isinstance(error, UnconditionalStoreError)
        words = safe_words(str(error)).rstrip(".")
        if not isinstance(error, UnconditionalStoreError | ProviderError):
            words = f"{type(error).__name__}: {words}"
        if not known:
            logger.log(
                logging.INFO if for_good else logging.WARNING,
                "Submissions keep to the pace of this machine alone, because the one that all machines share cannot be kept in "
                "%s: %s. This does no harm: what the service refuses for the rate is submitted again.%s",
                self._place.where,
                words,
                "" if for_good else f" The place is tried again every {RETRY_AFTER:.0f} seconds.",
            )
