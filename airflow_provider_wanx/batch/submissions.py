"""Submit the images of a batch, one after the other, each with its row of the ledger as the record of its submission."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.batch.outcomes import concerns_one_image, failed, note, reason
from airflow_provider_wanx.batch.policy import (
    LONGEST_WAIT_SECONDS,
    MOST_FAILURES,
    RECENT_SECONDS,
    RETRIES,
    SLOW_SECONDS,
    THREADS,
)
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS
from airflow_provider_wanx.dashscope.errors import (
    BatchStoppedError,
    ProviderError,
    UnconfirmedSubmissionError,
)
from airflow_provider_wanx.dashscope.models import Submission
from airflow_provider_wanx.jobs.submitting.lost_submissions import settled_at
from airflow_provider_wanx.jobs.submitting.submission_record import Phase, Record, SubmissionRecord
from airflow_provider_wanx.jobs.submitting.submitter import OnUnconfirmed, Submitter, TaskRequest, given_up
from airflow_provider_wanx.metrics.tracing import name_tasks, span

if TYPE_CHECKING:
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook
    from airflow_provider_wanx.jobs.protocols import Log

_Answer = tuple[Record, Submission | ProviderError]
"""The intent, and what came of it."""


class RowRecord(SubmissionRecord):
    """The record of one row's submission, which is a line of the ledger's journal.

    Only the intent has to be written at once. That the submission was accepted is written along with the next intent: if
    a worker dies before, the service's task list tells.
    """

    def __init__(self, ledger: Ledger, row: Row, *, begin_sending: Callable[[Row], None]) -> None:
        super().__init__(None)
        self._ledger = ledger
        self._row = row
        self._begin_sending = begin_sending
        self._sent_at = float("inf")

    @property
    def is_slow(self) -> bool:
        """Whether it was sent some time ago."""
        return time.monotonic() - self._sent_at > SLOW_SECONDS

    def read(self) -> Record:
        """Return the record of a row that may have been submitted."""
        where = f"row {self._row.row} of the ledger {self._ledger.url}"
        is_intent = (self._row.submission or {}).get("phase") == Phase.INTENT
        # A row whose submission is known to be accepted has the id itself.
        return Record.from_json(self._row.submission if is_intent else None, where=where)

    def write(self, record: Record) -> None:
        """Keep the record.

        :raises ProviderError: the intent is not kept; nothing may be sent then.
        """
        if record.phase is Phase.INTENT:
            self._begin_sending(self._row)
            self._ledger.update(self._row, status=RowStatus.INTENT, submission=record.to_json())
            self._ledger.flush()
            self._sent_at = time.monotonic()
            return
        self._ledger.update(
            self._row,
            status=RowStatus.SUBMITTED,
            submission=None,
            dashscope_task_id=record.dashscope_task_id,
            submit_time=record.time,
        )


class Submissions:
    """The submissions of one wake.

    One image is submitted after the other. A submission whose answer takes long does not hold up the next ones, and one that
    stays unconfirmed is set aside: the service's list tells later, with one look, what became of it.

    ``fatal`` is why the batch cannot go on; ``trouble`` is what went wrong since the service has accepted something.

    :param hook: the connection to submit with.
    :param ledger: the batch's ledger, acquired.
    :param pool: has :data:`THREADS` threads for submissions and whatever else is done before them.
    :param on_unconfirmed: what to do with an image whose submission may have been accepted.
    :param log: the task's log.
    """

    def __init__(
        self,
        *,
        hook: DashScopeHook,
        ledger: Ledger,
        pool: ThreadPoolExecutor,
        on_unconfirmed: OnUnconfirmed,
        log: Log,
    ) -> None:
        self.fatal: ProviderError | None = None
        self.trouble: ProviderError | None = None
        self._hook = hook
        self._ledger = ledger
        self._pool = pool
        self._on_unconfirmed = on_unconfirmed
        self._log = log
        self._failures = 0
        self._tried: set[int] = set()
        self._posts: dict[Future[_Answer], tuple[Row, Submitter]] = {}
        self._begun: set[int] = set()
        self._is_over = False
        self._beginning = Lock()

    @property
    def may_go_on(self) -> bool:
        """Whether more may be submitted for now."""
        return self.fatal is None and self._failures < MOST_FAILURES

    def candidates(self) -> Iterator[Row]:
        """Go through the rows to submit, each once, in their order; those that have met trouble before come last."""
        for met_trouble in (False, True):
            for row in self._ledger.rows.in_states(RowStatus.PLANNED):
                if row.row not in self._tried and bool(row.failed_tasks or row.code) is met_trouble:
                    yield row

    def reconcile(self) -> None:
        """Find out what became of submissions that were not confirmed, or during which a worker died."""
        rows = list(self._ledger.rows.in_states(RowStatus.INTENT))
        records = {row.row: self._record(row) for row in rows}
        unsettled = {number: record.read() for number, record in records.items()}
        for row in rows:
            intent = unsettled[row.row]
            if row.code and 0 < settled_at(intent) - time.time() < LONGEST_WAIT_SECONDS:
                # Set aside by this task: one look is enough later.
                continue
            rivals = [each for number, each in unsettled.items() if number != row.row]
            try:
                task_id = self._submitter(records[row.row], rivals=rivals).earlier_task(None)
            except UnconfirmedSubmissionError as error:
                self._note(row, failed(error))
                continue
            del unsettled[row.row]
            if task_id is not None:
                self._accepted()
                continue
            # If the service took others at about that time, or this one has met the same before, it is the picture's fault.
            in_order = intent.time - self._ledger.notes.accepted_at < RECENT_SECONDS
            is_own = bool(row.code) and (in_order or row.failed_tasks > 0)
            self._try_again(row, is_own=is_own, why={"code": row.code or "", "message": row.message})
        self._ledger.flush()

    def submit(self, row: Row, opened: Future[TaskRequest]) -> None:
        """Submit an image, and note what became of that, unless the answer takes long.

        :param opened: what is to be submitted, once its pictures are checked and the service can reach them.
        """
        self._tried.add(row.row)
        try:
            request = opened.result()
        except ProviderError as error:
            self._refused(row, error)
            return
        self.take_answers(at_most=THREADS // 2 - 1)
        record = self._record(row)
        submitter = self._submitter(record)
        future = self._pool.submit(copy_context().run, _post, submitter, request)
        self._posts[future] = row, submitter
        while not future.done() and not record.is_slow:
            wait([future], timeout=0.1)
        self.take_answers(at_most=THREADS // 2)

    def take_answers(self, *, at_most: int = 0) -> None:
        """Note what has become of submissions that were sent.

        :param at_most: how many may go on without an answer.
        """
        while len(self._posts) > at_most:
            wait(self._posts, return_when=FIRST_COMPLETED)
            self._note_answers()
        self._note_answers()

    def end(self) -> None:
        """Send nothing more, and note what has become of what was sent; what waits for its first turn is not waited for."""
        with self._beginning:
            self._is_over = True
        self._posts = {future: post for future, post in self._posts.items() if post[0].row in self._begun}
        self.take_answers()

    def _begin(self, row: Row) -> None:
        """Note that the submission of a row is about to be sent."""
        with self._beginning:
            if self._is_over:
                raise BatchStoppedError("The work on the batch has ended; this image was not submitted.")
            self._begun.add(row.row)

    def _note_answers(self) -> None:
        for future in [each for each in self._posts if each.done()]:
            row, submitter = self._posts.pop(future)
            intent, answer = future.result()
            if isinstance(answer, Submission):
                submitter.keep(intent, answer.task_id)
                self._accepted()
            elif answer.certainly_refused:
                self._refused(row, answer)
            else:
                self._log.warning(
                    "Row %s: it is not known whether the service accepted the submission; that is found out later. %s",
                    row.row,
                    answer,
                )
                self._note(row, {"submission": given_up(intent, time.time()).to_json(), **reason(answer)})
                self._count_failure(answer)

    def _accepted(self) -> None:
        self._failures = 0
        self.trouble = None
        self._ledger.notes.accepted_at = time.time()
        self._ledger.notes.troubles = 0

    def _refused(self, row: Row, error: ProviderError) -> None:
        """Decide about an image that was certainly not submitted."""
        is_own = concerns_one_image(error)
        if is_own and not error.retryable:
            self._note(row, {**failed(error), "submission": None})
            return
        self._try_again(row, is_own=is_own, why=reason(error))
        if error.retryable:
            self._count_failure(error, times=1 if is_own else MOST_FAILURES)
        else:
            self.fatal = self.fatal or error

    def _try_again(self, row: Row, *, is_own: bool, why: dict[str, Any]) -> None:
        """Let an image be submitted again, or give it up if it has failed too often.

        :param is_own: whether others may fare better.
        :param why: code and message of its last failure.
        """
        if is_own and row.failed_tasks >= RETRIES:
            self._note(row, {"status": RowStatus.FAILED, "submission": None, **why})
        else:
            again = {
                "status": RowStatus.PLANNED,
                "submission": None,
                "failed_tasks": row.failed_tasks + is_own,
            }
            self._note(row, again)

    def _count_failure(self, error: ProviderError, *, times: int = 1) -> None:
        self.trouble = error
        self._failures += times
        if self._failures >= MOST_FAILURES:
            self._log.warning("No more submissions for now: %s", error)

    def _note(self, row: Row, changes: dict[str, Any]) -> None:
        note(self._ledger, row, changes, log=self._log)

    def _record(self, row: Row) -> RowRecord:
        return RowRecord(self._ledger, row, begin_sending=self._begin)

    def _submitter(self, record: RowRecord, *, rivals: Sequence[Record] = ()) -> Submitter:
        return Submitter(
            client=self._hook.get_conn(),
            record=record,
            max_tries=0,
            on_unconfirmed=self._on_unconfirmed,
            claimed=lambda: self._ledger.rows.task_ids(since=time.time() - RESULT_LIFETIME_SECONDS),
            log=WarningsOnly(self._log),
            rivals=rivals,
        )


def _post(submitter: Submitter, request: TaskRequest) -> _Answer:
    with span("submit", model=request.model) as submission:
        intent, answer = submitter.post(request, request.build_input())
        if isinstance(answer, Submission):
            name_tasks(submission, [answer.task_id])
    return intent, answer


class WarningsOnly:
    """A log that leaves out what would be a line for every image."""

    def __init__(self, log: Log) -> None:
        self.warning: Callable[..., None] = log.warning

    def info(self, message: str, /, *args: Any) -> None:
        """Leave it out."""
