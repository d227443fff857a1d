"""Where this package's errors become Airflow's.

Permanent errors fail a task at once, whatever its retries, because a retry would only repeat them; transient ones leave
the decision to the task's retries. Either way Airflow sees one message and no traceback into the HTTP library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_wanx.dashscope.errors import AuthenticationError, DashScopeError


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
    from airflow_provider_wanx.dashscope.pacing import SubmissionQueueError  # DAG parsing does not need it

    if isinstance(error, AuthenticationError):
        return " They are set in the Airflow connection."
    if isinstance(error, SubmissionQueueError):
        return " An Airflow pool keeps fewer tasks submitting at a time."
    return ""
