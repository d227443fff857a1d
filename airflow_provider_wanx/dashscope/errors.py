"""Everything that this package raises, as one tree.

::

    DashScopeError
    ├── InvalidInputError          refused here, before anything was sent
    ├── ConfigurationError         the connection cannot be used as it is
    ├── TransportError             no complete answer
    │   └── LostAnswerError        … and the service may have acted on the request
    ├── InvalidResponseError       an answer that is not what the API promises
    ├── ApiError                   the service said no, with a code
    │   ├── AuthenticationError
    │   ├── ThrottledError
    │   └── ResultExpiredError     a result's URL is past its time
    ├── TaskNotSucceededError      the task has ended without a usable result
    ├── WaitTimeoutError           the deadline of a wait has passed
    └── DownloadError              a result did not arrive whole

``retryable`` says whether doing the same again later can help. ``certainly_refused`` says whether it is certain that the
service did *not* act on the request: only then may a submission be repeated without risk of paying twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow_provider_wanx.dashscope.error_table import ErrorKind, classify

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.models import Task


class DashScopeError(Exception):
    """Base of all errors of this package.

    :param message: what happened, to what, and what to do about it; free of keys and of URL signatures.
    """

    retryable: bool = False
    certainly_refused: bool = True


_MAX_WORDS = 500

_SECRETS = (
    (re.compile(r"\?\S+"), "?…"),
    (re.compile(r"(?<=://)[^/\s@]+@"), ""),
    (re.compile(r"\bsk-[\w-]{6,}"), "sk-…"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{8,}"), r"\1 …"),
    (re.compile(r"(?i)(signature\w*|accesskeyid|security-?token)(\W{1,4})[\w+/=%-]{6,}"), r"\1\2…"),
)


def safe_words(text: str) -> str:
    """Make someone else's words fit for logs and messages: one line, not endless, without URL queries and keys.

    :param text: from the service, a gateway or a library; may quote what was sent to it.
    """
    line = " ".join(text[: 8 * _MAX_WORDS].split())
    if not line.isprintable():
        line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line if len(line) <= _MAX_WORDS else f"{line[:_MAX_WORDS]}…"


class InvalidInputError(DashScopeError, ValueError):
    """The input cannot succeed; found out before anything was sent and before money was spent."""


class ConfigurationError(DashScopeError, ValueError):
    """The connection or an option is wrong."""


class TransportError(DashScopeError):
    """The service could not be reached; nothing was sent."""

    retryable = True


class LostAnswerError(TransportError):
    """The request went out and no complete answer came back: the service may have acted on it."""

    certainly_refused = False


class InvalidResponseError(DashScopeError):
    """The service answered, but not with what its API promises (HTML, an empty body, missing fields).

    :param http_status: status of the answer.
    """

    retryable = True
    certainly_refused = False

    def __init__(self, message: str, *, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class ApiError(DashScopeError):
    """The service refused a request.

    :param code: the service's error code, for example ``InvalidParameter``; empty where it sent none.
    :param service_message: the service's own words.
    :param http_status: HTTP status of the answer.
    :param request_id: the service's id of the call, which its support asks for.
    :param doing: what was being done, for the message: ``"submit a task of model …"``.
    :param retry_after: seconds that the service asked to wait, if it did.
    """

    _advice: ClassVar[str | None] = None

    def __init__(
        self,
        *,
        code: str,
        service_message: str,
        http_status: int,
        request_id: str | None = None,
        doing: str = "call the service",
        retry_after: float | None = None,
    ) -> None:
        service_message = safe_words(service_message)
        verdict = classify(code=code, http_status=http_status, message=service_message)
        said = f"{safe_words(code)}: {service_message}".strip(": ") or "no reason given"
        trace = f", request id {safe_words(request_id)}" if request_id else ""
        advice = self._advice or verdict.advice
        super().__init__(f"Could not {doing}: {said} (HTTP {http_status}{trace}). {advice}")
        self.code = code
        self.service_message = service_message
        self.http_status = http_status
        self.request_id = request_id
        self.retry_after = retry_after
        self.kind: ErrorKind = verdict.kind
        self.retryable = verdict.retryable
        self.certainly_refused = verdict.certainly_refused


class AuthenticationError(ApiError):
    """The API key, the workspace or the host they belong to is wrong."""


class ThrottledError(ApiError):
    """Too many requests, or no capacity at the moment; the service did not act on the request."""


class ResultExpiredError(ApiError):
    """The URL of a result is past its time; the task may still know a fresh one."""

    _advice = "Read the task again for a fresh URL; 24 hours after its submission the task and its results are gone."

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        # Whatever the store's code stands for in the service's own table, which is not the store's.
        self.retryable = True


def api_error(
    *,
    code: str,
    service_message: str,
    http_status: int,
    request_id: str | None = None,
    doing: str = "call the service",
    retry_after: float | None = None,
) -> ApiError:
    """Make the :class:`ApiError` of the right class; takes what that takes."""
    kind = classify(code=code, http_status=http_status, message=service_message).kind
    cls = {ErrorKind.AUTHENTICATION: AuthenticationError, ErrorKind.THROTTLING: ThrottledError}.get(
        kind, ApiError
    )
    return cls(
        code=code,
        service_message=service_message,
        http_status=http_status,
        request_id=request_id,
        doing=doing,
        retry_after=retry_after,
    )


class TaskNotSucceededError(DashScopeError):
    """One or more tasks have ended, and not well.

    :param tasks: the snapshots of the tasks that did not succeed.
    :param succeeded: how many of the same wait did.
    """

    def __init__(self, tasks: Sequence[Task], *, succeeded: int = 0) -> None:
        self.tasks = tuple(tasks)
        verdicts = [
            classify(code=task.code or "", http_status=None, message=task.message or "")
            for task in self.tasks
        ]
        # One hopeless task makes the whole wait hopeless: trying again would only repeat its failure.
        self.retryable = all(
            task.status.name == "FAILED" and verdict.retryable
            for task, verdict in zip(self.tasks, verdicts, strict=True)
        )
        shown = [
            f"{task.describe()} {_advice(task, v.advice)}"
            for task, v in zip(self.tasks[:5], verdicts, strict=False)
        ]
        more = f" (and {len(self.tasks) - 5} more)" if len(self.tasks) > 5 else ""
        good = f" {succeeded} other task(s) succeeded." if succeeded else ""
        super().__init__(" ".join(shown) + more + good)


def _advice(task: Task, advice: str) -> str:
    match task.status.name:
        case "UNKNOWN":
            return (
                "The service does not know this id: it is wrong, belongs to another account, or the task and its "
                "results were deleted 24 hours after they were made. Submit the input again to get new results."
            )
        case "CANCELED":
            return "It was canceled before it ran and is not billed."
        case "FAILED":
            return f"{advice} A failed task is not billed."
        case _:
            return ""


class WaitTimeoutError(DashScopeError):
    """The deadline passed before every task had ended."""

    retryable = True


class DownloadError(DashScopeError):
    """A result could not be read whole."""

    retryable = True


def without_query(url: str) -> str:
    """Cut a URL's query and user info, which may carry a signature or a secret, for logs and messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return safe_words(url)
    if parts.scheme == "data":
        return f"data:{parts.path.partition(',')[0][:100]},…"
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()
