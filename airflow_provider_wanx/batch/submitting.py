"""Submit the images of a batch, one after the other, each with its row of the ledger as the record of its submission."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.flow import Rules
from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.batch.ledger.rows import LedgerRow, RowStatus
from airflow_provider_wanx.batch.settling import OWN_KINDS, Settler, code_of
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME
from airflow_provider_wanx.dashscope.errors import DashScopeError, InvalidInputError
from airflow_provider_wanx.s3.errors import S3Error
from airflow_provider_wanx.submission.record import Phase, SubmissionRecord
from airflow_provider_wanx.submission.submitter import Submitter, TaskRequest, UnconfirmedSubmissionError

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.input.rows import ImageRow
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log

MOST_MISSES = 10
"""Images in a row that fail for a passing reason of their own, after which it is taken for a reason of all."""

UNCERTAIN = "UnconfirmedSubmission"
"""Code of an image whose submission may or may not have been accepted."""


class Submitting:
    """Submits rows of a ledger.

    ``trouble`` is why no more are submitted for now, ``later`` has the rows that wait for the next wave.

    :param hook: the connection to submit with.
    :param ledger: the batch's ledger, acquired.
    :param settler: takes note of images that will not be repainted.
    :param request: makes what is submitted for an image, and checks it.
    :param rules: what the user has decided.
    :param log: the task's log.
    """

    def __init__(
        self,
        *,
        hook: DashScopeHook,
        ledger: Ledger,
        settler: Settler,
        request: Callable[[ImageRow], TaskRequest],
        rules: Rules,
        log: Log,
    ) -> None:
        self.trouble: DashScopeError | None = None
        self.later: set[int] = set()
        self._hook = hook
        self._ledger = ledger
        self._settler = settler
        self._request = request
        self._rules = rules
        self._log = log
        self._misses = 0

    def settle_intents(self) -> None:
        """Find out what became of a submission during which a worker died."""
        for row in list(self._ledger.rows_in(RowStatus.INTENT)):
            try:
                task_id = self._submitter(row).earlier_task(None)
            except UnconfirmedSubmissionError as error:
                self._settler.fail(row, UNCERTAIN, str(error))
                continue
            if task_id is None:
                self._ledger.update(row, status=RowStatus.PLANNED, submission=None)
        self._ledger.flush()

    def open(self, row: LedgerRow) -> TaskRequest:
        """Check a picture and make it reachable for the service."""
        self._settler.check_key(row)
        request = self._request(row.wish)
        content = request.build_input()
        return replace(request, build_input=lambda: content)

    def submit(self, row: LedgerRow, opened: Future[TaskRequest]) -> None:
        """Submit an image, and note what became of that."""
        try:
            request = opened.result()
        except S3Error as error:
            own = error.concerns_one_object and not error.retryable
            self._not_submitted(row, error, own=own)
            return
        except DashScopeError as error:
            self._not_submitted(row, error, own=_concerns_one_image(error))
            return
        try:
            self._submitter(row).submit(request)
        except UnconfirmedSubmissionError as error:
            self._settler.fail(row, UNCERTAIN, str(error))
        except DashScopeError as error:
            self._not_submitted(row, error, own=_concerns_one_image(error))
        else:
            self._misses = 0

    def _not_submitted(self, row: LedgerRow, error: DashScopeError, *, own: bool) -> None:
        """Decide about an image that was certainly not submitted.

        :param own: whether others may fare better.
        """
        again = own and error.retryable and row.failed_tasks < self._rules.image_retries
        if own and not again:
            self._settler.fail(row, code_of(error), str(error))
            return
        self._ledger.update(
            row, status=RowStatus.PLANNED, submission=None, failed_tasks=row.failed_tasks + again
        )
        if again:
            # The next wave is time enough for a passing reason to pass.
            self.later.add(row.row)
            self._misses += 1
        if not error.retryable:
            self._settler.fatal = self._settler.fatal or error
        elif not own or self._misses >= MOST_MISSES:
            self._log.warning("No more submissions for now: %s", error)
            self.trouble = error

    def _submitter(self, row: LedgerRow) -> Submitter:
        return Submitter(
            hook=self._hook,
            record=SubmissionRecord(_RowRecord(self._ledger, row)),
            max_tries=0,
            on_unconfirmed=self._rules.on_unconfirmed,
            claimed=lambda: self._ledger.task_ids(since=time.time() - RESULT_LIFETIME),
            log=WarningsOnly(self._log),
        )


def _concerns_one_image(error: DashScopeError) -> bool:
    return isinstance(error, InvalidInputError) or getattr(error, "kind", None) in OWN_KINDS


class _RowRecord:
    """The record of one row's submission, kept in the ledger.

    Only the intent has to be written at once. That the submission was accepted is written along with the next intent: if
    a worker dies before, the service's task list tells.
    """

    def __init__(self, ledger: Ledger, row: LedgerRow) -> None:
        self._ledger = ledger
        self._row = row

    def get(self, key: str, default: Any = None) -> Any:
        """Return the record."""
        return default if self._row.submission is None else self._row.submission

    def set(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep the record."""
        if value["phase"] == Phase.INTENT:
            self._ledger.update(self._row, status=RowStatus.INTENT, submission=value)
            self._ledger.flush()
        else:
            self._ledger.update(
                self._row,
                status=RowStatus.SUBMITTED,
                submission=None,
                dashscope_task_id=value["dashscope_task_id"],
                submit_time=value["time"],
            )

    def delete(self, key: str) -> None:
        """Drop the record of a submission that the service has certainly refused."""
        self._ledger.update(self._row, submission=None)


class WarningsOnly:
    """A log that leaves out what would be a line for every image."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def info(self, message: str, /, *args: Any) -> None:
        """Leave it out."""

    def warning(self, message: str, /, *args: Any) -> None:
        """Pass it on."""
        self._log.warning(message, *args)
