"""What becomes of a row: read its task when that has ended, copy its result, and say what the ledger is to note of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.ledger.ledger import EXAMPLES, Ledger
from airflow_provider_wanx.batch.policy import MOST_FAILURES, RETRIES
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS
from airflow_provider_wanx.dashscope.error_codes import ErrorKind, classify
from airflow_provider_wanx.dashscope.errors import InvalidInputError, NoFileError, ProviderError, S3Error
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.redaction import without_query

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.result_keys import ResultKeys
    from airflow_provider_wanx.batch.threads import Turns
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook
    from airflow_provider_wanx.jobs.copying.copier import CopiedResult, ResultCopier
    from airflow_provider_wanx.jobs.protocols import Log

_OWN_KINDS = (ErrorKind.INPUT, ErrorKind.CONTENT)


@dataclass(frozen=True)
class Outcome:
    """What has become of a task, and where its result is now."""

    task: Task | None = None
    copied: CopiedResult | None = None
    error: ProviderError | None = None


def fetch(row: Row, *, hook: DashScopeHook, copier: ResultCopier, keys: ResultKeys, turns: Turns) -> Outcome:
    """Read a task that has ended, and copy its result. It may be called by several threads.

    :param hook: the connection that the task was submitted with.
    :param keys: makes the keys of results.
    :param turns: to read a task.
    """
    task = None
    try:
        turns.wait()
        task = hook.get_task(row.dashscope_task_id or "")
        if task.status is not TaskStatus.SUCCEEDED:
            return Outcome(task)
        if not task.results:
            raise NoFileError(task)
        copied = copier.copy(
            task,
            task.results[0],
            key_for=lambda extension: keys.key(row, extension=extension),
            metadata=row.metadata,
        )
    except ProviderError as error:
        return Outcome(task, error=error)
    return Outcome(task, copied)


def changes(row: Row, outcome: Outcome) -> dict[str, Any]:
    """Say what the ledger is to note; nothing of a task that has not ended.

    :raises ProviderError: the other images would fare no better.
    """
    task, error = outcome.task, outcome.error
    if error is not None:
        # The destination takes nothing, or the service answers nothing.
        if isinstance(error, S3Error) or (
            task is None and not error.retryable and not concerns_one_image(error)
        ):
            raise error
        if error.retryable and row.failed_copies < MOST_FAILURES:
            return {"failed_copies": row.failed_copies + 1}
        return failed(error) | {"billed": row.billed + (task is not None)}
    if task is None or not task.status.is_terminal:
        return {}
    times = {"submit_time": task.submit_time, "end_time": task.end_time}
    seconds = {name: value.timestamp() for name, value in times.items() if value is not None}
    if (copied := outcome.copied) is not None:
        return {
            **seconds,
            "status": RowStatus.SUCCEEDED,
            "key": copied.key,
            "bytes": copied.bytes,
            "sha256": copied.sha256,
            "content_type": copied.content_type,
            # Whatever is said to be billed, a budget counts no result as free.
            "billed": row.billed + max(1, (task.usage and task.usage.image_count) or 0),
            "code": None,
            "message": None,
        }
    if task.status is TaskStatus.UNKNOWN and not row.failed_copies:
        # Whoever waited for it saw it end. It is looked at again with the next ones: what it made may have been paid for.
        return {"failed_copies": 1}
    again = {"status": RowStatus.PLANNED, "dashscope_task_id": None}
    if task.status is TaskStatus.CANCELED:
        return again
    verdict = classify(code=task.code or "", http_status=None, message=task.message or "")
    if task.status is TaskStatus.FAILED and verdict.retryable and row.failed_tasks < RETRIES:
        return {**again, "failed_tasks": row.failed_tasks + 1}
    code, message = task.code or str(task.status), task.message or task.describe()
    return {**seconds, "status": RowStatus.FAILED, "code": code, "message": message}


def note(ledger: Ledger, row: Row, changes: dict[str, Any], *, log: Log) -> None:
    """Write into the ledger what has become of a row. Of many that fail alike, some go into the log."""
    if changes.get("status") is RowStatus.FAILED and len(ledger.examples.get(changes["code"], ())) < EXAMPLES:
        image, code = without_query(row.image)[:200], changes["code"]
        log.warning("Row %s (%s) has failed: %s: %s", row.row, image, code, changes["message"])
    ledger.update(row, **changes)


def failed(error: ProviderError) -> dict[str, Any]:
    """Say what the ledger is to note of an image that will not be repainted."""
    return {"status": RowStatus.FAILED, **reason(error)}


def reason(error: ProviderError) -> dict[str, Any]:
    """Say what went wrong: the service's code of it, or what this package calls it, and the words."""
    return {"code": error.code or type(error).__name__.removesuffix("Error"), "message": str(error)}


def concerns_one_image(error: ProviderError) -> bool:
    """Tell whether others may fare better; any other lasting error stops the batch, or every image would meet it."""
    if isinstance(error, S3Error):
        return error.concerns_one_object and not error.retryable
    return isinstance(error, InvalidInputError) or error.kind in _OWN_KINDS


def wanted_again(row: Row) -> dict[str, Any]:
    """How a failed row begins anew, without paying for what has been paid for."""
    anew = {"failed_tasks": 0, "failed_copies": 0, "code": None, "message": None}
    if row.submission is not None:
        # It stayed unconfirmed. The service's list may tell by now.
        return {**anew, "status": RowStatus.INTENT}
    is_there = time.time() - (row.submit_time or 0) < RESULT_LIFETIME_SECONDS
    if row.billed and row.dashscope_task_id and is_there:
        # Only its copy has failed, and the result is still there.
        return {**anew, "status": RowStatus.SUBMITTED, "billed": 0}
    return {**anew, "status": RowStatus.PLANNED, "dashscope_task_id": None}
