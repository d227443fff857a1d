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
from traceback import walk_tb
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
    known = provider_error(error) or error
    kind_of_airflows = (
        "timeout" if isinstance(error, AirflowTaskTimeout | AirflowSensorTimeout) else "service"
    )
    return {
        "code": str(getattr(known, "code", "") or type(known).__name__.removesuffix("Error")),
        "kind": str(getattr(known, "kind", "") or kind_of_airflows),
        "request_id": getattr(known, "request_id", None),
        "retryable": not isinstance(error, AirflowFailException),
        "message": str(error),
    }


def provider_error(error: BaseException | None) -> ProviderError | None:
    """Find this package's error in whose place one of Airflow's was raised; None if there is none."""
    seen: set[int] = set()  # An error may be its own cause.
    while error is not None and id(error) not in seen:
        if isinstance(error, ProviderError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def reports_failure(method: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let a method that Airflow calls end in an error that says by itself what is to be known.

    What :func:`failure` says of it is put onto it, and into an XCom. If this package has raised it, Airflow logs its message
    without the package's lines of code; what others raise keeps its traceback.
    """

    @wraps(method)
    def call(*arguments: _Arguments.args, **more: _Arguments.kwargs) -> _Result:
        try:
            return method(*arguments, **more)
        except (AirflowException, AirflowTaskTimeout) as error:
            *_, (frame, _) = walk_tb(error.__traceback__)
            is_ours = str(frame.f_globals.get("__name__")).startswith(f"{__package__}.")
            if is_ours:
                error.__traceback__ = None
            if is_ours or provider_error(error) is not None:
                _tell(error, (*arguments, *more.values()))
            # Bare, because only so Python does not add this line either.
            raise

    return call


def _tell(error: BaseException, arguments: Iterable[Any]) -> None:
    told = failure(error)
    vars(error).update({name: told[name] for name in ("code", "kind", "request_id")})
    for context in arguments:
        if isinstance(context, Mapping) and "ti" in context:
            try:
                context["ti"].xcom_push(key=FAILURE_KEY, value=told)
            except Exception:  # noqa: BLE001 - whatever Airflow has against it: what is to be told is the failure itself
                _log.warning(
                    "The reason of the failure could not be stored as XCom %s.", FAILURE_KEY, exc_info=True
                )


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
        # What the service's side knows nothing of: where in Airflow something can be done about an error.
        advice = ""
        if isinstance(error, AuthenticationError):
            advice = " They are set in the Airflow connection."
        elif isinstance(error, SubmissionQueueError):
            advice = " An Airflow pool keeps fewer tasks submitting at a time."
        if again is not None and error.final:
            advice += f" {again()}"
        raise airflow_error(f"{error}{advice}", retryable=error.retryable) from None
