"""Where this package's errors become Airflow's.

Permanent errors fail a task at once, whatever its retries, because a retry would only repeat them; transient ones leave
the decision to the task's retries. Either way Airflow sees one message, and no traceback through this package, which would
only push the message out of sight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
)

from airflow_provider_wanx.dashscope.errors import AuthenticationError, DashScopeError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def without_frames(method: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let what this package raises for Airflow leave a method that Airflow calls without the package's lines of code.

    The message of such an error says everything. Airflow would log the lines with it, and above it where logs are plain text.
    What others raise keeps its traceback.
    """

    @wraps(method)
    def call(*arguments: _Arguments.args, **more: _Arguments.kwargs) -> _Result:
        try:
            return method(*arguments, **more)
        except (AirflowException, AirflowTaskTimeout) as error:
            if _is_ours(error):
                error.__traceback__ = None
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


class RecordStoreError(AirflowException):
    """The record of a submission could not be read, written or deleted at the place that the user has named for it.

    Airflow's retries decide whether that is tried again.
    """


@contextmanager
def airflow_errors(*, again: Callable[[], str] | None = None) -> Iterator[None]:
    """Let every :class:`DashScopeError` leave the block as Airflow's.

    :param again: says how to submit again; asked for errors that nothing else can mend.
    """
    try:
        yield
    except DashScopeError as error:
        advice = f" {again()}" if again is not None and error.final else ""
        raise airflow_error(f"{error}{_advice(error)}{advice}", retryable=error.retryable) from None


def _advice(error: DashScopeError) -> str:
    """Say where in Airflow something can be done about an error, which the service's side knows nothing of."""
    from airflow_provider_wanx.dashscope.pacing.pacer import (
        SubmissionQueueError,
    )  # DAG parsing does not need it

    if isinstance(error, AuthenticationError):
        return " They are set in the Airflow connection."
    if isinstance(error, SubmissionQueueError):
        return " An Airflow pool keeps fewer tasks submitting at a time."
    return ""
