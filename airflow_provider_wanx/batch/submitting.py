"""Submit the images of a batch, one after the other, each with its row of the ledger as the record of its submission."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.batch.outcomes import OWN_KINDS, Outcomes, code_of
from airflow_provider_wanx.batch.policy import IMAGE_RETRIES
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.batch.row_record import RowRecord, SendingRecord, WritersTurn
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS
from airflow_provider_wanx.dashscope.errors import (
    InvalidInputError,
    ProviderError,
    S3Error,
    UnconfirmedSubmissionError,
)
from airflow_provider_wanx.dashscope.models import Submission
from airflow_provider_wanx.jobs.record import Record, SubmissionRecord
from airflow_provider_wanx.jobs.search import settled_at
from airflow_provider_wanx.jobs.submitter import OnUnconfirmed, Submitter, TaskRequest, given_up
from airflow_provider_wanx.metrics.tracing import name_tasks, span

if TYPE_CHECKING:
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log

MOST_POSTS = 4
"""Pictures that are opened at a time, and submissions that may be without an answer."""

LONGEST_WAVE_SECONDS = 1800.0
"""Seconds after which a worker is woken whatever has ended, to stay the ledger's owner: half of what a lease may last."""

RECENT_SECONDS = 300.0
"""Seconds after an accepted submission for which the service counts as being in order."""

MOST_MISSES = 5
"""How often in a row something may fail for a transient reason: an image's submission, or the wait of a triggerer."""

UNCERTAIN = "UnconfirmedSubmission"
"""Code of an image whose submission may or may not have been accepted."""

_Answer = tuple[Record, Submission | ProviderError]
"""The intent, and what came of it."""


class Submitting:
    """Submits rows of a ledger.

    One image is submitted after the other. A submission whose answer takes long does not hold up the next ones, and one that
    stays unconfirmed is set aside: the service's list tells later, with one look, what became of it.

    ``trouble`` is why no more are submitted for now, ``later`` has the rows that wait for the next wave.

    :param hook: the connection to submit with.
    :param ledger: the batch's ledger, acquired.
    :param outcomes: takes note of images that will not be repainted.
    :param request: makes what is submitted for an image, and checks it.
    :param on_unconfirmed: what to do with an image whose submission may have been accepted.
    :param log: the task's log.
    """

    def __init__(
        self,
        *,
        hook: DashScopeHook,
        ledger: Ledger,
        outcomes: Outcomes,
        request: Callable[[Row], TaskRequest],
        on_unconfirmed: OnUnconfirmed,
        log: Log,
    ) -> None:
        self.trouble: ProviderError | None = None
        self.later: set[int] = set()
        self._hook = hook
        self._ledger = ledger
        self._outcomes = outcomes
        self._request = request
        self._on_unconfirmed = on_unconfirmed
        self._log = log
        self._misses = 0
        self._missed: ProviderError | None = None
        self._posts: dict[Future[_Answer], Row] = {}
        self._turn = WritersTurn()

    def candidates(self) -> Iterator[Row]:
        """Go through the rows that are wanted, in their order; those that have met trouble before come last."""
        for met_trouble in (False, True):
            for row in self._ledger.rows.in_states(RowStatus.PLANNED):
                if row.row not in self.later and bool(row.failed_tasks or row.code) is met_trouble:
                    yield row

    def reconcile(self) -> None:
        """Find out what became of submissions that were not confirmed, or during which a worker died."""
        rows = list(self._ledger.rows.in_states(RowStatus.INTENT))
        records = {row.row: record for row in rows if (record := self._record(row).read())}
        for row in rows:
            record = records.get(row.row)
            if (
                row.code
                and record is not None
                and 0 < settled_at(record) - time.time() < LONGEST_WAVE_SECONDS
            ):
                # Set aside by this task: one look is enough later.
                continue
            rivals = [each for number, each in records.items() if number != row.row]
            try:
                task_id = self._submitter(row, rivals=rivals).earlier_task(None)
            except UnconfirmedSubmissionError as error:
                self._outcomes.fail(row, UNCERTAIN, str(error))
                continue
            records.pop(row.row, None)
            if task_id is None:
                self._not_accepted(row, record)
            else:
                self._accepted()
        self._ledger.flush()

    def reconciled_at(self) -> float | None:
        """From when on the list tells about all unconfirmed submissions, in seconds since 1970; None if there are none."""
        records = [self._record(row).read() for row in self._ledger.rows.in_states(RowStatus.INTENT)]
        return max((settled_at(record) for record in records if record), default=None)

    def _not_accepted(self, row: Row, record: Record | None) -> None:
        """Decide about an image of which the service has no task although it was submitted.

        If the service took others at about that time, or this one has met the same before, it is the picture's fault.
        """
        sent = record.time if record is not None else time.time()
        in_order = sent - self._ledger.notes.accepted_at < RECENT_SECONDS
        own = bool(row.code) and (in_order or row.failed_tasks > 0)
        if own and row.failed_tasks >= IMAGE_RETRIES:
            self._outcomes.fail(row, row.code or "", row.message or "", submission=None)
            return
        self._ledger.update(
            row, status=RowStatus.PLANNED, submission=None, failed_tasks=row.failed_tasks + own
        )

    def open(self, row: Row) -> TaskRequest:
        """Check a picture and make it reachable for the service."""
        self._outcomes.check_key(row)
        request = self._request(row)
        content = request.build_input()
        return replace(request, build_input=lambda: content)

    def submit(self, row: Row, opened: Future[TaskRequest], posting: ThreadPoolExecutor) -> None:
        """Submit an image, and note what became of that, unless the answer takes long.

        :param posting: has a thread for each of :data:`MOST_POSTS`.
        """
        try:
            request = opened.result()
        except ProviderError as error:
            self._not_submitted(row, error, own=_concerns_one_image(error))
            return
        self.take_answers(at_most=MOST_POSTS - 1)
        post = SendingRecord(self._ledger, row, self._turn)
        future = posting.submit(copy_context().run, _send, self._submitter(row, post), request)
        self._posts[future] = row
        with self.waiting():
            while not future.done() and not post.is_slow:
                wait([future], timeout=0.1)
        self.take_answers(at_most=MOST_POSTS)

    def take_answers(self, *, at_most: int = 0) -> None:
        """Note what has become of submissions that were sent.

        :param at_most: how many may go on without an answer.
        """
        while len(self._posts) > at_most:
            with self.waiting():
                wait(self._posts, return_when=FIRST_COMPLETED)
            self._take_done()
        self._take_done()
        if not at_most and self._missed is not None and not self._ledger.totals.counts[RowStatus.SUBMITTED]:
            # Nothing shows that the service takes anything at the moment.
            self.trouble = self.trouble or self._missed

    def _take_done(self) -> None:
        for future in [each for each in self._posts if each.done()]:
            row = self._posts.pop(future)
            intent, answer = future.result()
            if isinstance(answer, Submission):
                self._submitter(row).keep(intent, answer.task_id)
                self._accepted()
            elif answer.certainly_refused:
                self._not_submitted(row, answer, own=_concerns_one_image(answer))
            else:
                self._set_aside(row, intent, answer)

    def cancel_queued(self) -> None:
        """Take back what the service has not begun with; it costs nothing then."""
        for row in list(self._ledger.rows.in_states(RowStatus.SUBMITTED)):
            self._outcomes.turns.wait()
            try:
                canceled = self._hook.cancel_task(row.dashscope_task_id or "")
            except ProviderError as error:
                self._log.warning("DashScope task %s could not be canceled: %s", row.dashscope_task_id, error)
                continue
            if canceled:
                self._ledger.update(row, status=RowStatus.PLANNED, dashscope_task_id=None)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let this thread be the one that writes to the ledger. When an error ends that, nothing more is sent."""
        with self._turn.lock:
            try:
                yield
            except BaseException:
                self._turn.is_over = True
                raise

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the threads that submit write their intents while this one waits."""
        self._turn.lock.release()
        try:
            yield
        finally:
            self._turn.lock.acquire()

    def _accepted(self) -> None:
        self._misses = 0
        self._missed = None
        self._ledger.notes.accepted_at = time.time()
        self._ledger.notes.troubles = 0

    def _set_aside(self, row: Row, intent: Record, error: ProviderError) -> None:
        """Keep an unconfirmed submission for the next wave, and what was said instead of an answer."""
        self._log.warning(
            "Row %s: it is not known whether the service accepted the submission; that is found out later. %s",
            row.row,
            error,
        )
        record = given_up(intent, time.time()).to_json()
        self._ledger.update(row, submission=record, code=code_of(error), message=str(error))
        self._misses += 1
        self._missed = error
        if self._misses >= MOST_MISSES:
            self._stop_for_now(error)

    def _not_submitted(self, row: Row, error: ProviderError, *, own: bool) -> None:
        """Decide about an image that was certainly not submitted.

        :param own: whether others may fare better.
        """
        again = own and error.retryable and row.failed_tasks < IMAGE_RETRIES
        if own and not again:
            self._outcomes.fail(row, code_of(error), str(error), submission=None)
            return
        self._ledger.update(
            row, status=RowStatus.PLANNED, submission=None, failed_tasks=row.failed_tasks + again
        )
        if again:
            # The next wave is soon enough for what is transient.
            self.later.add(row.row)
            self._misses += 1
        if not error.retryable:
            self._outcomes.fatal = self._outcomes.fatal or error
        elif not own or self._misses >= MOST_MISSES:
            self._stop_for_now(error)

    def _stop_for_now(self, error: ProviderError) -> None:
        self._log.warning("No more submissions for now: %s", error)
        self.trouble = error

    def _submitter(
        self, row: Row, post: SendingRecord | None = None, *, rivals: Sequence[Record] = ()
    ) -> Submitter:
        return Submitter(
            hook=self._hook,
            record=self._record(row, post),
            max_tries=0,
            on_unconfirmed=self._on_unconfirmed,
            claimed=lambda: self._ledger.rows.task_ids(since=time.time() - RESULT_LIFETIME_SECONDS),
            log=WarningsOnly(self._log),
            rivals=rivals,
        )

    def _record(self, row: Row, post: SendingRecord | None = None) -> SubmissionRecord:
        return post or RowRecord(self._ledger, row)


def _send(submitter: Submitter, request: TaskRequest) -> _Answer:
    with span("submit", model=request.model) as submission:
        intent, answer = submitter.post(request, request.build_input())
        if isinstance(answer, Submission):
            name_tasks(submission, [answer.task_id])
    return intent, answer


def _concerns_one_image(error: ProviderError) -> bool:
    if isinstance(error, S3Error):
        return error.concerns_one_object and not error.retryable
    return isinstance(error, InvalidInputError) or error.kind in OWN_KINDS


class WarningsOnly:
    """A log that leaves out what would be a line for every image."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def info(self, message: str, /, *args: Any) -> None:
        """Leave it out."""

    def warning(self, message: str, /, *args: Any) -> None:
        """Pass it on."""
        self._log.warning(message, *args)
