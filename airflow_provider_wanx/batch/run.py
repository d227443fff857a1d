"""Work on a batch: fetch what has ended, submit what is wanted, and say what to wait for next.

One thread keeps the ledger. Others open pictures, submit them one after the other, and copy results beside it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.batch.outcomes import Outcome, Outcomes
from airflow_provider_wanx.batch.policy import (
    RESULTS_WITHIN_SECONDS,
    Ceiling,
    Pace,
    Sample,
    duration,
    most_in_flight,
    wake_when_left,
)
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.batch.submitting import LONGEST_WAVE_SECONDS, MOST_POSTS, Submitting
from airflow_provider_wanx.dashscope.errors import BatchStoppedError, DashScopeError
from airflow_provider_wanx.jobs.submitter import TaskRequest

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.account import Account
    from airflow_provider_wanx.hooks.dashscope import Log

COPIES = 8
"""Results that are copied at a time."""

TROUBLE_PAUSE_SECONDS = 120.0
"""Seconds until the next try when the service takes nothing and nothing is in flight."""

MOST_TROUBLE = 15
"""Such pauses in a row after which the Airflow task fails, and its retries decide."""

LINE_EVERY_SECONDS = 60.0
"""Seconds between two lines of the log about the progress."""


@dataclass(frozen=True, kw_only=True)
class Wave:
    """What to wait for until a worker is needed again.

    :param dashscope_task_ids: the service's ids of all tasks in flight.
    :param wake_when_left: how few of them may be unfinished when a worker is woken.
    :param wake_within: seconds after the first end at which it is woken in any case.
    :param wake_at: when it is woken whatever happens, in seconds since 1970.
    """

    dashscope_task_ids: list[str]
    wake_when_left: int
    wake_within: float
    wake_at: float

    def until(self, end_time: float | None) -> Wave:
        """Return the same wave, ending at some time at the latest."""
        return self if end_time is None else replace(self, wake_at=min(self.wake_at, end_time))

    @property
    def conditions(self) -> dict[str, Any]:
        """When to wake a worker, as arguments of whoever waits."""
        return {
            "wake_when_left": self.wake_when_left,
            "wake_within": self.wake_within,
            "wake_at": self.wake_at,
        }

    @property
    def seconds(self) -> float:
        """Seconds from now until it ends in any case."""
        return max(0.0, self.wake_at - time.time())


class BatchRun:
    """One worker's work on a batch.

    :param ledger: the batch's ledger, acquired.
    :param submitting: submits what is wanted.
    :param outcomes: fetches what has ended.
    :param ceiling: what ends the batch early.
    :param account: what the service tells of the account.
    :param log: the task's log.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        submitting: Submitting,
        outcomes: Outcomes,
        ceiling: Ceiling,
        account: Account,
        log: Log,
    ) -> None:
        self._ledger = ledger
        self._submitting = submitting
        self._outcomes = outcomes
        self._ceiling = ceiling
        self._account = account
        self._log = log
        self._is_news = False
        self._line_at = 0.0

    def step(self, ended: Collection[str]) -> Wave | None:
        """Do all that can be done now.

        :param ended: ids of the tasks that have ended.
        :return: what to wait for, None if every image is done.
        :raises ProviderError: the batch cannot go on; the ledger is up to date.
        """
        self._is_news = False
        with (
            _pool(COPIES) as copying,
            _pool(MOST_POSTS) as opening,
            _pool(MOST_POSTS) as posting,
            self._submitting.working(),
        ):
            self._submitting.reconcile()
            fetching = {
                copying.submit(copy_context().run, self._outcomes.fetch, row): row
                for row in self._ledger.rows.in_states(RowStatus.SUBMITTED)
                if row.dashscope_task_id in ended
            }
            again = True
            while again:
                self._submit(opening, posting, fetching)
                while fetching:
                    self._take_outcomes(fetching, timeout=LINE_EVERY_SECONDS)
                # Images whose tasks have failed for a transient reason are wanted again.
                again = self._may_submit() and self._has_room()
            self._submitting.take_answers()
        self._note_pace()
        try:
            return self._next_wave(is_misled=bool(ended) and not self._is_news)
        finally:
            self._ledger.compact()

    def _submit(
        self,
        opening: ThreadPoolExecutor,
        posting: ThreadPoolExecutor,
        fetching: dict[Future[Outcome], Row],
    ) -> None:
        """Submit one image after the other, as many as may be in flight."""
        most = self._most_in_flight()
        rows = self._submitting.candidates()
        opened: deque[tuple[Row, Future[TaskRequest]]] = deque()
        while self._may_submit():
            self._take_outcomes(fetching, timeout=0)
            # What has ended and is still being copied is in the service's queue no more.
            room = most - (self._ledger.totals.in_flight - len(fetching))
            while len(opened) < min(2 * MOST_POSTS, room) and (row := next(rows, None)) is not None:
                opened.append((row, opening.submit(self._submitting.open, row)))
            if room <= 0 or not opened:
                break
            self._submitting.submit(*opened.popleft(), posting)
        for _, future in opened:
            future.cancel()
        # What was submitted last has been written in no intent.
        self._ledger.flush()

    def _has_room(self) -> bool:
        totals = self._ledger.totals
        wanted = totals.counts[RowStatus.PLANNED] > len(self._submitting.later)
        return wanted and totals.in_flight < self._most_in_flight()

    def _may_submit(self) -> bool:
        totals, ceiling = self._ledger.totals, self._ceiling
        stopped = self._outcomes.fatal or self._submitting.trouble or ceiling.too_many_failures(totals)
        return not stopped and ceiling.affords_one_more(totals)

    def _take_outcomes(self, fetching: dict[Future[Outcome], Row], *, timeout: float) -> None:
        """Record what has been fetched in the meantime."""
        if fetching:
            with self._submitting.waiting():
                done, _ = wait(fetching, timeout=timeout, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = future.result()
                self._is_news = self._is_news or outcome.is_news
                self._outcomes.record(fetching.pop(future), outcome)
        self._ledger.renew()
        self._tell_progress()

    def begin_pace(self) -> None:
        """Measure the account's pace from now on: nobody may have worked on the batch for days."""
        self._ledger.notes.pace = [(time.time(), self._ledger.notes.ended)]
        self._ledger.notes.troubles = 0

    def _note_pace(self) -> None:
        sample = Sample(time.time(), self._ledger.notes.ended)
        self._ledger.notes.pace = [(each.time, each.ended) for each in self.pace.after(sample).samples]

    @property
    def pace(self) -> Pace:
        """How fast the account works."""
        samples = tuple(Sample(*each) for each in self._ledger.notes.pace)
        return Pace(samples, self._account.concurrency)

    def _most_in_flight(self) -> int:
        return most_in_flight(self.pace, queue_limit=self._account.queue_limit)

    def _next_wave(self, *, is_misled: bool) -> Wave | None:
        """Decide what to wait for.

        :param is_misled: whether somebody has reported ends that have not come, for example a triggerer with another key: it
            shall not wake one worker after the other.
        """
        totals, ceiling = self._ledger.totals, self._ceiling
        if self._outcomes.fatal is not None:
            raise self._outcomes.fatal
        if ceiling.too_many_failures(totals):
            self._submitting.cancel_queued()
            raise BatchStoppedError(
                f"{totals.counts[RowStatus.FAILED]} of {totals.images} images have failed, more than max_failures="
                f"{ceiling.max_failures} allows."
            )
        if not totals.open:
            if ceiling.all_failed(totals):
                codes = ", ".join(code or "no code" for code, _ in totals.failures.most_common(3))
                raise BatchStoppedError(
                    f"All images have failed ({totals.counts[RowStatus.FAILED]}): {codes}."
                )
            return None
        ids = [
            row.dashscope_task_id
            for row in self._ledger.rows.in_states(RowStatus.SUBMITTED)
            if row.dashscope_task_id
        ]
        affordable = ceiling.affords_one_more(totals)
        if not ids and not affordable:
            raise BatchStoppedError(
                f"{totals.counts[RowStatus.PLANNED]} of {totals.images} images are left, and one more could cost more than "
                f"max_cost={ceiling.max_cost}."
            )
        more = bool(totals.counts[RowStatus.PLANNED]) and affordable
        if is_misled:
            return Wave(
                dashscope_task_ids=[],
                wake_when_left=0,
                wake_within=RESULTS_WITHIN_SECONDS,
                wake_at=time.time() + TROUBLE_PAUSE_SECONDS,
            )
        return Wave(
            dashscope_task_ids=ids,
            wake_when_left=wake_when_left(len(ids), more_to_submit=more),
            wake_within=RESULTS_WITHIN_SECONDS,
            wake_at=time.time() + (LONGEST_WAVE_SECONDS if ids else self._pause()),
        )

    def _pause(self) -> float:
        """Seconds until the next try when nothing is in flight."""
        reconciled_at = self._submitting.reconciled_at()
        if reconciled_at is None or self._submitting.trouble is not None:
            return self._pause_for_trouble()
        return min(max(reconciled_at - time.time(), 0.0), LONGEST_WAVE_SECONDS)

    def _pause_for_trouble(self) -> float:
        troubles = self._ledger.notes.troubles + 1
        if troubles > MOST_TROUBLE and self._submitting.trouble is not None:
            minutes = MOST_TROUBLE * TROUBLE_PAUSE_SECONDS / 60
            raise DashScopeError(
                f"The service has taken no submission for {minutes:.0f} minutes. {self._submitting.trouble}",
                retryable=True,
            )
        self._ledger.notes.troubles = troubles
        return TROUBLE_PAUSE_SECONDS

    def _tell_progress(self) -> None:
        if time.monotonic() < self._line_at:
            return
        self._line_at = time.monotonic() + LINE_EVERY_SECONDS
        self._log.info("%s", progress_line(self._ledger, self._ceiling, self.pace))


def progress_line(ledger: Ledger, ceiling: Ceiling, pace: Pace) -> str:
    """Say in one line how far a batch has come."""
    totals = ledger.totals
    left = totals.open * pace.seconds_per_image
    return (
        f"{totals.counts[RowStatus.SUCCEEDED]} of {totals.images} images done, {totals.counts[RowStatus.FAILED]} failed, "
        f"{totals.in_flight} in flight, {3600 / pace.seconds_per_image:.0f} an hour, about {duration(left)} left, "
        f"{ceiling.cost(totals.billed)} CNY so far."
    )


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that finish what they have begun; if an error ends the work, they begin nothing more."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
