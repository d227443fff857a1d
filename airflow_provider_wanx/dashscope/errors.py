"""Everything that this package raises, as one tree.

::

    ProviderError
    ├── InvalidInputError              refused here, before anything was sent
    ├── ConfigurationError             the settings cannot be used as they are
    ├── DashScopeError                 the service: it cannot be reached, refuses, or did not do what was asked
    │   ├── TransportError             no complete answer
    │   │   └── LostAnswerError        … and the service may have acted on the request
    │   ├── InvalidResponseError       an answer that is not what the API promises
    │   │   └── NewStatusError         … because the task is in a state that this version does not know
    │   ├── ApiError                   the service said no, with a code
    │   │   ├── AuthenticationError
    │   │   ├── ThrottledError
    │   │   └── ResultExpiredError     a result's URL is past its time
    │   ├── SubmissionQueueError       too many submissions wait for their turn
    │   ├── UnconfirmedSubmissionError it is not known whether a submission was accepted
    │   ├── TaskNotSucceededError      the task has ended without a usable result
    │   ├── WaitTimeoutError           the deadline of a wait has passed
    │   ├── NoFileError                the task has succeeded and made nothing
    │   ├── ForbiddenHostError         an answer leads to where it may lead nobody
    │   └── DownloadError              a result did not arrive whole
    ├── S3Error                        S3 refused or cannot be reached
    │   └── ObjectTooLargeError        an object is larger than what it should hold
    ├── StoreError                     what is remembered between attempts: records, ledger, pace
    │   ├── ConflictError              somebody else has written since
    │   ├── UnconditionalStoreError    the store cannot keep two writers apart
    │   ├── UnreadableError            what is stored is not what was written
    │   ├── LedgerInUseError           another run owns the ledger of the batch
    │   └── RecordStoreError           the place that the user has named takes no record, or gives none
    ├── BatchStoppedError              a batch ends before all of its images are done
    └── ProblemError                   the gallery cannot show something

Service, S3 and stores are siblings: whoever expects an error of one does not catch another's. What Airflow sees of these
errors is made in :mod:`airflow_provider_wanx.exceptions`.

``retryable`` says whether doing the same again later can help. ``certainly_refused`` says whether it is certain that the
service did *not* act on the request: only then may a submission be repeated without risk of paying twice. ``final`` says
that a task has ended badly and stays so: only submitting its input again can help. ``kind`` says what sort of thing went wrong,
and so who can mend it, ``code`` the service's or S3's code, if it gave one, ``http_status`` the status of the answer,
``retry_after`` for how many seconds it asked to wait, and ``request_id`` what the service's support asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypedDict, Unpack

from airflow_provider_wanx.dashscope.error_codes import ErrorKind, classify
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.redaction import safe_words, without_secrets


class _Known(TypedDict, total=False):
    retryable: bool
    final: bool
    kind: str
    code: str
    http_status: int
    retry_after: float | None


class ProviderError(Exception):
    """Base of all errors of this package.

    :param message: what happened, to what, and what to do about it. Keys, passwords and signatures of URLs are cut out of it.
    :param known: what this error says of itself beside its class, by the names above.
    """

    retryable: bool = False
    certainly_refused: bool = True
    final: bool = False
    kind: str = ""
    code: str = ""
    request_id: str | None = None
    http_status: int | None = None
    retry_after: float | None = None

    def __init__(self, message: str = "", **known: Unpack[_Known]) -> None:
        super().__init__(without_secrets(message))
        for name, value in known.items():
            setattr(self, name, value)


class InvalidInputError(ProviderError, ValueError):
    """The input cannot succeed; found out before anything was sent and before money was spent."""

    kind = ErrorKind.INPUT


class ConfigurationError(ProviderError, ValueError):
    """A setting is wrong."""

    kind = "configuration"


class DashScopeError(ProviderError):
    """The service could not be reached, has refused, or has not done what was asked."""


class TransportError(DashScopeError):
    """The service could not be reached; nothing was sent."""

    retryable = True
    kind = ErrorKind.SERVICE


class LostAnswerError(TransportError):
    """The request went out and no complete answer came back: the service may have acted on it."""

    certainly_refused = False


class InvalidResponseError(DashScopeError):
    """The service answered, but not with what its API promises (HTML, an empty body, missing fields)."""

    retryable = True
    certainly_refused = False
    kind = ErrorKind.SERVICE


class NewStatusError(InvalidResponseError):
    """A task is in a state that no document of the service names. It may pass; a wait looks a few times before it gives up.

    :param task_id: the service's id.
    :param status: the state as the service calls it.
    """

    retryable = False

    def __init__(self, *, task_id: str, status: str, http_status: int) -> None:
        super().__init__(
            f"DashScope task {task_id} is in a state that this version does not know: {safe_words(status)!r}. It may still "
            "run and will be billed if it succeeds; its result can be had with the same id for 24 hours after its submission.",
            http_status=http_status,
        )
        self.status = status


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
        super().__init__(
            f"Could not {doing}: {said} (HTTP {http_status}{trace}). {advice}",
            code=safe_words(code),
            http_status=http_status,
            retry_after=retry_after,
            kind=verdict.kind,
            retryable=verdict.retryable,
        )
        self.service_message = service_message
        self.request_id = request_id
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


def api_error(*, code: str, service_message: str, http_status: int, **more: Any) -> ApiError:
    """Make the :class:`ApiError` of the right class; takes what that takes."""
    kind = classify(code=code, http_status=http_status, message=service_message).kind
    cls = {ErrorKind.AUTHENTICATION: AuthenticationError, ErrorKind.THROTTLING: ThrottledError}.get(
        kind, ApiError
    )
    return cls(code=code, service_message=service_message, http_status=http_status, **more)


class SubmissionQueueError(DashScopeError):
    """So many submissions are queued up that this one's turn is too far away; nothing was sent."""

    retryable = True


class UnconfirmedSubmissionError(DashScopeError):
    """A submission's answer was lost, and the service's task list does not settle whether it was accepted."""


class TaskNotSucceededError(DashScopeError):
    """One or more tasks have ended, and not well. Their state is final: waiting again cannot help.

    ``resubmission_may_help`` says whether submitting the same input again can; one hopeless task makes it False.

    :param tasks: the snapshots of the tasks that did not succeed.
    :param succeeded: how many of the same wait did.
    """

    final = True

    def __init__(self, tasks: Sequence[Task], *, succeeded: int = 0) -> None:
        self.tasks = tuple(tasks)
        judged = [
            (task, classify(code=task.code or "", http_status=None, message=task.message or ""))
            for task in self.tasks
        ]
        self.resubmission_may_help = all(
            task.status is TaskStatus.FAILED and verdict.retryable for task, verdict in judged
        )
        worst, verdict = judged[0]
        self.code = worst.code or str(worst.status)
        self.kind = verdict.kind if worst.status is TaskStatus.FAILED else _ENDS.get(worst.status, "")
        self.request_id = worst.request_id
        shown = [f"{task.describe()} {_advice(task, verdict.advice)}" for task, verdict in judged[:5]]
        more = f" (and {len(self.tasks) - 5} more)" if len(self.tasks) > 5 else ""
        good = f" {succeeded} other task(s) succeeded." if succeeded else ""
        super().__init__(" ".join(shown) + more + good)


_ENDS = {TaskStatus.UNKNOWN: ErrorKind.NOT_FOUND, TaskStatus.CANCELED: "canceled"}
"""Kinds of those ends that have no code."""


def _advice(task: Task, advice: str) -> str:
    match task.status:
        case TaskStatus.UNKNOWN:
            return (
                "The service does not know this id: it is wrong, belongs to another account, or the task and its "
                "results were deleted 24 hours after they were made."
            )
        case TaskStatus.CANCELED:
            return "It was canceled before it ran and is not billed."
        case TaskStatus.FAILED:
            asked = (
                ""
                if task.code or not task.request_id
                else f" Its support can look up request {task.request_id}."
            )
            return f"{advice}{asked} A failed task is not billed."
        case _:
            return ""


class WaitTimeoutError(DashScopeError):
    """The deadline passed before every task had ended."""

    retryable = True
    kind = "timeout"


class NoFileError(DashScopeError):
    """A task has succeeded without making anything; reading it again would not change that.

    :param task: its snapshot.
    """

    def __init__(self, task: Task) -> None:
        failures = " ".join(failure.reason for failure in task.failures)
        said = task.message or failures or "nothing about the reason"
        super().__init__(
            f"DashScope task {task.task_id} has succeeded, yet its answer holds no result URL. The service says: {said}"
        )


class ForbiddenHostError(DashScopeError):
    """An answer names a host that this machine must not reach at its word; nothing was sent."""


class DownloadError(DashScopeError):
    """A result could not be read whole."""

    retryable = True
    kind = ErrorKind.SERVICE


class S3Error(ProviderError):
    """S3 refused or could not be reached."""

    kind = "storage"

    @property
    def concerns_one_object(self) -> bool:
        """Whether other objects may fare better. S3 says AccessDenied of a missing object too, to those who may not list."""
        return self.code in ("NoSuchKey", "404", "InvalidRange", "AccessDenied", "403")


class ObjectTooLargeError(S3Error):
    """An object is larger than what it should hold ever is, and was not read.

    :param url: the object's URL.
    :param limit: how many bytes would have been read.
    """

    def __init__(self, url: str, *, limit: int) -> None:
        super().__init__(
            f"{url} has more than {limit:,} bytes, so it is not what is kept there, and it was not read. "
            "Find out who has written it.",
            retryable=False,
        )


class StoreError(ProviderError):
    """What is remembered between attempts cannot be had: a submission's record, a batch's ledger, the account's pace."""

    kind = "storage"


class ConflictError(StoreError):
    """Somebody else has written the object since it was read."""

    retryable = True


class UnconditionalStoreError(StoreError):
    """The store does not know conditional writes, so two writers cannot be kept apart, now or later."""


class UnreadableError(StoreError):
    """What is stored is not what this version would have written, so it is not known what was paid for."""


class LedgerInUseError(StoreError):
    """Another run or attempt owns the ledger, or has taken it over, so this one must not go on.

    A retry may: it takes the ledger again, if it is the owner's.
    """

    retryable = True


class RecordStoreError(StoreError):
    """The record of a submission could not be read, written or deleted at the place that the user has named for it.

    Airflow's retries decide whether that is tried again.
    """

    retryable = True


class BatchStoppedError(ProviderError):
    """The batch ended before all images were done; the ledger goes on from there."""


class ProblemError(ProviderError):
    """The gallery cannot show something.

    :param problem: the reason, one of those in :mod:`airflow_provider_wanx.plugins.gallery.problems`.
    """

    def __init__(self, problem: Any) -> None:
        super().__init__(problem.title)
        self.problem = problem
