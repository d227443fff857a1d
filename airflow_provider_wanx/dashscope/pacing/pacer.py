"""Submissions at the account's rate, from however many processes.

Each process that wants to submit reserves the next free moment where all of them find it, and sends then: so they queue up
instead of running into the limit together. A refusal pauses all that share a pace for a random time, which may be twice as long
with each further refusal in a row.

Ready-made limiters were looked at first: those that work across processes need a common parent or a database, let each process
try again and again instead of giving it a place in a queue, and keep to one rate however often the service refuses.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NoReturn

from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import ProviderError, SubmissionQueueError, ThrottledError
from airflow_provider_wanx.dashscope.measures import HELD_BACK, SUBMISSION_TIME, SUBMISSIONS
from airflow_provider_wanx.dashscope.pacing.pace import Pace, PaceState


class Pacer:
    """Holds back one submission until its turn has come.

    :param call: the submission.
    :param config: the account and its limits.
    :param before_sending: called each time right before the submission is sent.
    """

    def __init__(
        self, call: Call[Any], config: ClientConfig, before_sending: Callable[[], object] | None = None
    ) -> None:
        self._before_sending = before_sending
        self._model = str((call.json or {}).get("model", ""))
        self._observe = config.observe
        self._rate = config.limits.submissions_per_second
        self._retry_for = config.retry_for
        # For so long a submission may be held back or throttled: it was certainly not accepted, and costs nothing.
        self._patience = 10 * config.retry_for
        account = hashlib.sha256(f"{config.base_url}|{config.api_key}|{self._model}".encode())
        self._pace = Pace(account.hexdigest()[:40], config.shared_place)
        self._lead = min(self._pace.lead, 0.5 / self._rate)
        # Before a moment at which one looks a second time whether it has fallen into a pause.
        self._look_ahead = 2 * self._pace.lead
        self._began = time.monotonic()
        self._held_back = 0.0
        self._refusal: ThrottledError | None = None
        self._given_up = self._is_certain = False
        self._moment: float | None = None
        self._news: Callable[[], None] | None = None

    def turn(self) -> float:
        """Reserve the next free moment, wait for it, or take it.

        :return: 0 when it is time to :meth:`prepare`; else seconds after which to ask again.
        :raises SubmissionQueueError: it is too far away.
        :raises ThrottledError: it is too far away for one more try.
        """
        if self._is_certain:
            return self._until_prepared()
        began = time.monotonic()
        left = max(self._patience - (began - self._began), 0.0)
        held, asked_at = self._moment, began

        def reserve(state: PaceState, now: float) -> float:
            nonlocal asked_at
            asked_at = time.monotonic()
            return state.reserve(
                rate=self._rate,
                now=now,
                patience=left,
                queue=self._patience,
                held=None if held is None else held - asked_at,
                lead=self._lead,
            )

        wait = self._pace.update(reserve)
        self._held_back += time.monotonic() - began
        if wait > left:
            self._moment = None
            if self._patience:
                self._give_up(wait)
            return 0.0
        self._moment = asked_at + wait
        was_kept = held is not None and self._moment <= max(held, asked_at)
        if was_kept or wait <= 2 * self._look_ahead:
            self._is_certain = True
            return self._until_prepared()
        self._held_back += wait - self._look_ahead
        return wait - self._look_ahead

    def _give_up(self, wait: float) -> NoReturn:
        self._given_up = True
        if self._refusal is not None:
            self._refusal.retry_after = max(wait, self._refusal.retry_after or 0.0)
            raise self._refusal
        raise SubmissionQueueError(
            f"Could not submit a task of model {self._model}: the submissions already queued on {self._pace.shared_by} "
            f"take another {wait:.0f} s at {self._rate:g} a second. Nothing was sent. Trying again later can succeed.",
            retry_after=wait,
        )

    def _until_prepared(self) -> float:
        # What prepares a submission takes about as long as reserving its moment, and no longer than needed ahead of it: a
        # process that dies between leaves a record of something that may have been sent.
        return self._until(self._moment, self._lead)

    def _until(self, moment: float | None, ahead: float) -> float:
        wait = 0.0 if moment is None else max(moment - ahead - time.monotonic(), 0.0)
        self._held_back += wait
        return wait

    def prepare(self) -> float:
        """Do what has to be done before the submission is sent.

        :return: seconds until it is to be sent.
        """
        moment, self._moment, self._is_certain = self._moment, None, False
        if self._before_sending is not None:
            self._before_sending()
        return self._until(moment, 0.0)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Note how a submission ends that is sent inside; :meth:`tell_others` is to be called afterwards."""
        began = time.monotonic()
        try:
            yield
        except ThrottledError as error:
            self._tell("throttled")
            if is_rate_limited(error):
                self._refusal, self._news = error, self._refused
            raise
        except ProviderError as error:
            self._tell("refused" if error.certainly_refused else "unconfirmed")
            raise
        self._news = self._pace.accepted
        self._tell("accepted")
        self._observe(SUBMISSION_TIME, time.monotonic() - began, {"model": self._model})
        self._observe(HELD_BACK, self._held_back, {"model": self._model})

    def tell_others(self) -> None:
        """Tell the others how the submission has ended."""
        news, self._news = self._news, None
        if news is not None:
            news()

    def _refused(self) -> None:
        retry_after = self._refusal.retry_after if self._refusal is not None else None
        self._pace.update(lambda state, now: state.refused(rate=self._rate, now=now, retry_after=retry_after))

    def _tell(self, outcome: str) -> None:
        self._observe(SUBMISSIONS, 1, {"model": self._model, "outcome": outcome})

    def may_go_on(self, error: BaseException | None, *, elapsed: float) -> bool:
        """Tell whether there is time for another try.

        :param error: how the last one ended.
        :param elapsed: seconds since the first one began, and until the next.
        """
        if self._given_up:
            return False
        if is_rate_limited(error):
            return elapsed < self._patience
        return elapsed - self._held_back < self._retry_for


def is_rate_limited(error: BaseException | None) -> bool:
    """Tell whether a submission was refused for the rate; a service that is overloaded is another matter."""
    return isinstance(error, ThrottledError) and error.http_status == HTTPStatus.TOO_MANY_REQUESTS
