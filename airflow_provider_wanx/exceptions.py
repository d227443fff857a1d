"""Where this package's errors become Airflow's.

Permanent errors fail a task at once, whatever its retries, because a retry would only repeat them; transient ones leave
the decision to the task's retries. Either way Airflow sees one message, and no traceback through this package, which would
only push the message out of sight. What programs want to know of it are attributes of the exception, for callbacks, and an
XCom, for later tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
)

from airflow_provider_wanx.dashscope.errors import AuthenticationError, ProviderError, SubmissionQueueError

_log = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


FAILURE_KEY = "dashscope_failure"
"""XCom of a failed task: see :func:`failure`."""


def failure(error: BaseException) -> dict[str, Any]:
    """Say of an exception that ends a task what callbacks and later tasks decide by.

    :return: ``code``: the service's, S3's, or this package's name for the error; ``kind``: what sort of thing went wrong, and
        so who can mend it; ``request_id``: the service's id of the call or of the look at the task, if there was one;
        ``retryable``: whether the same can succeed later; ``message``.
    """
    known = _cause(error) or error
    return {
        "code": str(getattr(known, "code", "") or type(known).__name__.removesuffix("Error")),
        "kind": str(getattr(known, "kind", "") or _kind_of_airflows(error)),
        "request_id": getattr(known, "request_id", None),
        "retryable": not isinstance(error, AirflowFailException),
        "message": str(error),
    }


def _kind_of_airflows(error: BaseException) -> str:
    is_timeout = isinstance(error, AirflowTaskTimeout | AirflowSensorTimeout)
    return "timeout" if is_timeout else "service"


def _cause(error: BaseException) -> ProviderError | None:
    return next((each for each in causes(error) if isinstance(each, ProviderError)), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Go through an exception and what it was raised for: Airflow's are raised in place of this package's."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _tell(error: BaseException, arguments: Iterable[Any]) -> None:
    """Put what :func:`failure` says onto the exception and into an XCom."""
    told = failure(error)
    vars(error).update({name: told[name] for name in ("code", "kind", "request_id")})
    context = next((each for each in arguments if isinstance(each, Mapping) and "ti" in each), None)
    if context is None:
        return
    try:
        context["ti"].xcom_push(key=FAILURE_KEY, value=told)
    except Exception:  # noqa: BLE001 - whatever Airflow has against it: what is to be told is the failure itself
        _log.warning("The reason of the failure could not be stored as XCom %s.", FAILURE_KEY, exc_info=True)


def without_frames(method: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let what this package raises for Airflow leave a method that Airflow calls without the package's lines of code.

    The message of such an error says everything. Airflow would log the lines with it, and above it where logs are plain text.
    What others raise keeps its traceback. What :func:`failure` says of the error is put onto it and into an XCom.
    """

    @wraps(method)
    def call(*arguments: _Arguments.args, **more: _Arguments.kwargs) -> _Result:
        try:
            return method(*arguments, **more)
        except (AirflowException, AirflowTaskTimeout) as error:
            is_ours = _is_ours(error)
            if is_ours:
                error.__traceback__ = None
            if is_ours or _cause(error) is not None:
                _tell(error, (*arguments, *more.values()))
            # Bare, because only so Python does not add this line either.
            raise

    return call


def _is_ours(error: BaseException) -> bool:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] == __name__.partition(".")[0]


def airflow_error(message: str, *, retryable: bool) -> AirflowException:
    """Make the exception that a task should end with.

    :param message: what happened and what to do.
    :param retryable: whether a retry may help; if not, the task's retries are skipped.
    """
    if retryable:
        return AirflowException(message)
    failure: AirflowException = AirflowFailException(f"{message} Retries are skipped.")
    return failure


@contextmanager
def airflow_errors(*, again: Callable[[], str] | None = None) -> Iterator[None]:
    """Let every :class:`ProviderError` leave the block as Airflow's.

    :param again: says how to submit again; asked for errors that nothing else can mend.
    """
    try:
        yield
    except ProviderError as error:
        advice = f" {again()}" if again is not None and error.final else ""
        raise airflow_error(f"{error}{_advice(error)}{advice}", retryable=error.retryable) from None


def _advice(error: ProviderError) -> str:
    """Say where in Airflow something can be done about an error, which the service's side knows nothing of."""
    if isinstance(error, AuthenticationError):
        return " They are set in the Airflow connection."
    if isinstance(error, SubmissionQueueError):
        return " An Airflow pool keeps fewer tasks submitting at a time."
    return ""
