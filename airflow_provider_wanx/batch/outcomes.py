"""What has become of tasks that have ended: read the task, copy its result, and write the outcome into the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.ledger.ledger import EXAMPLES
from airflow_provider_wanx.batch.policy import IMAGE_RETRIES
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.error_codes import ErrorKind, classify
from airflow_provider_wanx.dashscope.errors import InvalidInputError, NoFileError, ProviderError, S3Error
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.origin import Origin, source_address
from airflow_provider_wanx.dashscope.redaction import without_query
from airflow_provider_wanx.jobs.keys import MAX_KEY_BYTES

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.ledger.ledger import Ledger
    from airflow_provider_wanx.batch.result_keys import ResultKeys
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log
    from airflow_provider_wanx.jobs.copying import CopiedResult, ResultCopier

LOOKS_SHARE = 0.3
"""Part of the account's rate at which ended tasks are read; whoever waits uses the rest."""

MOST_COPIES = 5
"""Wakes that try to copy one result."""

OWN_KINDS = (ErrorKind.INPUT, ErrorKind.CONTENT)
"""What is wrong with one image; any other lasting error stops the batch, or every image would meet it."""


@dataclass(frozen=True)
class Outcome:
    """What has become of a task, and where its result is now."""

    task: Task | None = None
    copied: CopiedResult | None = None
    error: ProviderError | None = None

    @property
    def is_news(self) -> bool:
        """Whether more is known than before."""
        return self.error is not None or (self.task is not None and self.task.status.is_terminal)


class Outcomes:
    """The outcomes of a batch's tasks. Threads may :meth:`fetch` one; the ledger's own thread does everything else.

    ``fatal`` is why the batch cannot go on.

    :param hook: the connection that the tasks were submitted with.
    :param ledger: the batch's ledger.
    :param copier: copies results.
    :param keys: makes the keys of results.
    :param prefix: what the keys of all results begin with.
    :param log: the task's log.
    """

    def __init__(
        self,
        *,
        hook: DashScopeHook,
        ledger: Ledger,
        copier: ResultCopier,
        keys: ResultKeys,
        prefix: str,
        log: Log,
    ) -> None:
        self.fatal: ProviderError | None = None
        self.turns = Turns(hook.get_conn().config.limits.requests_per_second * LOOKS_SHARE)
        self._hook = hook
        self._ledger = ledger
        self._copier = copier
        self._keys = keys
        self._prefix = prefix
        self._log = log

    def fetch(self, row: Row) -> Outcome:
        """Read a task that has ended, and copy its result; runs beside the submissions and changes nothing here."""
        self.turns.wait()
        task = None
        try:
            task = self._hook.get_task(row.dashscope_task_id or "")
            if task.status is not TaskStatus.SUCCEEDED:
                return Outcome(task)
            if not task.results:
                raise NoFileError(task)
            copied = self._copier.copy(
                task,
                task.results[0],
                key_for=lambda extension: self._prefix + self._keys.key(row, extension=extension),
                metadata=Origin(source=source_address(row.image), style=row.style).metadata(),
            )
        except ProviderError as error:
            return Outcome(task, error=error)
        return Outcome(task, copied)

    def record(self, row: Row, outcome: Outcome) -> None:
        """Write an outcome into the ledger."""
        task, error = outcome.task, outcome.error
        if error is not None:
            self._record_error(row, task, error)
        elif task is not None and outcome.copied is not None:
            self._record_success(row, task, outcome.copied)
        elif task is not None and task.status.is_terminal:
            self._record_bad_end(row, task)

    def _record_success(self, row: Row, task: Task, copied: CopiedResult) -> None:
        # Whatever is said to be billed, a budget counts no result as free.
        billed = max(1, (task.usage and task.usage.image_count) or 0)
        self._ledger.update(
            row,
            status=RowStatus.SUCCEEDED,
            key=copied.key,
            bytes=copied.bytes,
            sha256=copied.sha256,
            content_type=copied.content_type,
            billed=row.billed + billed,
            code=None,
            message=None,
            **_times(task),
        )
        self._count_end()

    def _record_bad_end(self, row: Row, task: Task) -> None:
        verdict = classify(code=task.code or "", http_status=None, message=task.message or "")
        if task.status is TaskStatus.UNKNOWN and not row.failed_copies:
            # Whoever waited for it saw it end. It is looked at again with the next ones: what it made may have been paid for.
            self._ledger.update(row, failed_copies=1)
            return
        self._count_end()
        if task.status is TaskStatus.CANCELED:
            self._ledger.update(row, status=RowStatus.PLANNED, dashscope_task_id=None)
        elif task.status is TaskStatus.FAILED and verdict.retryable and row.failed_tasks < IMAGE_RETRIES:
            self._log.info("%s Submitting the image of row %s again.", task.describe(), row.row)
            self._ledger.update(
                row,
                status=RowStatus.PLANNED,
                dashscope_task_id=None,
                failed_tasks=row.failed_tasks + 1,
            )
        else:
            self.fail(row, task.code or str(task.status), task.message or task.describe(), **_times(task))

    def _record_error(self, row: Row, task: Task | None, error: ProviderError) -> None:
        self._log.warning("Row %s: %s", row.row, error)
        kind = getattr(error, "kind", None)
        if isinstance(error, S3Error) or (task is None and not error.retryable and kind not in OWN_KINDS):
            # The destination takes nothing, or the service answers nothing: the other images would fare no better.
            self.fatal = self.fatal or error
        elif error.retryable and row.failed_copies < MOST_COPIES:
            self._ledger.update(row, failed_copies=row.failed_copies + 1)
        else:
            self.fail(row, code_of(error), str(error), billed=row.billed + (1 if task else 0))

    def check_key(self, row: Row) -> None:
        """Find out before an image is paid for whether there is a key for its result.

        :raises InvalidInputError: there is none.
        """
        # No id of the service and no extension is longer.
        longest = replace(row, dashscope_task_id="0" * 36)
        key = self._prefix + self._keys.key(longest, extension=".jpeg")
        if len(key.encode()) > MAX_KEY_BYTES:
            raise InvalidInputError(
                f"The key of its result, {key!r}, is longer than S3's {MAX_KEY_BYTES} bytes."
            )

    def fail(self, row: Row, code: str, message: str, **more: Any) -> None:
        """Put into the ledger that an image will not be repainted.

        :param code: the service's code, or one of this package.
        """
        if len(self._ledger.examples.get(code, ())) < EXAMPLES:
            # Many that fail alike would fill the log.
            self._log.warning(
                "Row %s (%s) has failed: %s: %s", row.row, without_query(row.image)[:200], code, message
            )
        self._ledger.update(row, status=RowStatus.FAILED, code=code, message=message, **more)

    def _count_end(self) -> None:
        self._ledger.notes.ended += 1


def _times(task: Task) -> dict[str, float]:
    times = {"submit_time": task.submit_time, "end_time": task.end_time}
    return {name: value.timestamp() for name, value in times.items() if value is not None}


def code_of(error: ProviderError) -> str:
    """Return the service's code of an error, or what this package calls it."""
    return str(getattr(error, "code", "") or type(error).__name__.removesuffix("Error"))


class Turns:
    """Lets threads go on one after the other, so many a second."""

    def __init__(self, rate: float) -> None:
        self._spacing = 1 / rate
        self._lock = Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for the next turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + self._spacing
        time.sleep(turn - now)
