"""The record of one row's submission, which is the row itself: one line of the ledger's journal."""

from __future__ import annotations

import time
from threading import Lock

from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.errors import BatchStoppedError
from airflow_provider_wanx.jobs.record import Phase, Record, SubmissionRecord

SLOW_SECONDS = 5.0
"""After which the next image is submitted although the answer to the last one is missing; the service needs one second."""


class RowRecord(SubmissionRecord):
    """The record of one row's submission, kept in the ledger.

    Only the intent has to be written at once. That the submission was accepted is written along with the next intent: if
    a worker dies before, the service's task list tells.
    """

    def __init__(self, ledger: Ledger, row: Row) -> None:
        super().__init__(None)
        self._ledger = ledger
        self._row = row

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"row {self._row.row} of the ledger {self._ledger.url}"

    def read(self) -> Record | None:
        """Return the record."""
        submission = self._row.submission
        return None if submission is None else Record.from_json(submission, where=self.where)

    def write(self, record: Record) -> None:
        """Keep the record."""
        if record.phase is Phase.INTENT:
            self._ledger.update(self._row, status=RowStatus.INTENT, submission=record.to_json())
            self._ledger.flush()
        else:
            self._ledger.update(
                self._row,
                status=RowStatus.SUBMITTED,
                submission=None,
                dashscope_task_id=record.dashscope_task_id,
                submit_time=record.time,
            )

    def forget(self) -> None:
        """Drop the record of a submission that the service has certainly refused."""
        self._ledger.update(self._row, submission=None)


class WritersTurn:
    """Whose turn it is to write to the ledger, which takes one thread at a time."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.is_over = False


class SendingRecord(RowRecord):
    """The record of a row while a thread submits it.

    :param turn: the turn to write to the ledger.
    """

    def __init__(self, ledger: Ledger, row: Row, turn: WritersTurn) -> None:
        super().__init__(ledger, row)
        self._turn = turn
        self._sent_at = float("inf")

    @property
    def is_slow(self) -> bool:
        """Whether it was sent some time ago."""
        return time.monotonic() - self._sent_at > SLOW_SECONDS

    def write(self, record: Record) -> None:
        """Keep the intent.

        :raises ProviderError: it is not kept; nothing may be sent then.
        """
        with self._turn.lock:
            if self._turn.is_over:
                raise BatchStoppedError(
                    "The submission was not sent, because the work on the batch has ended."
                )
            super().write(record)
            self._sent_at = time.monotonic()
