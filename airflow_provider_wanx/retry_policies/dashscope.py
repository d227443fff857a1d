"""The policy that knows when a refused submission may go, and what no retry can help."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT_SECONDS
from airflow_provider_wanx.dashscope.errors import SubmissionQueueError, ThrottledError
from airflow_provider_wanx.exceptions import provider_error
from airflow_provider_wanx.version_compat import AIRFLOW_V_3_3_PLUS

if not AIRFLOW_V_3_3_PLUS:
    raise ImportError(
        "DashScopeRetryPolicy needs Airflow 3.3 or later: earlier versions have no retry policies."
    )

from airflow.sdk import RetryDecision, RetryPolicy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

RECOVERY = timedelta(minutes=1)
"""After which the service accepts again, by its own documentation, when it has refused for the rate."""


class DashScopeRetryPolicy(RetryPolicy):
    """Try again when the account's rate allows it, and not at all where that cannot help.

    What was refused for the rate, by the service or because too many submissions are queued up before it, is tried again
    when it may go: after the time that the refusal names, else after a minute or two. From Airflow 3.4 on that uses up no
    retry; 3.3 has only retries. An error that no retry can mend (a bad picture, key or bill) fails the task at once, also
    in a ``@task`` that calls the hook; the operators do so by themselves. All else is left to the task's ``retries`` and
    ``retry_delay``.

    .. seealso:: the guide :doc:`/operators`.

    :param reschedule_timeout: how long one try may be put off before it uses up a retry.
    """

    def __init__(self, *, reschedule_timeout: timedelta = timedelta(seconds=QUEUE_TIMEOUT_SECONDS)) -> None:
        if reschedule_timeout <= timedelta(0):
            raise ValueError(f"reschedule_timeout must be positive, not {reschedule_timeout!r}.")
        self.reschedule_timeout = reschedule_timeout

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide what follows a failed try; called by Airflow."""
        error = provider_error(exception)
        if error is None:
            return RetryDecision.default()
        if not error.retryable:
            return RetryDecision.fail(reason=str(error))
        if not isinstance(error, ThrottledError | SubmissionQueueError):
            return RetryDecision.default()
        wait = RECOVERY if error.retry_after is None else timedelta(seconds=error.retry_after)
        # Tasks that were refused together must not come back together.
        delay = wait + random.uniform(0, 1) * max(wait, RECOVERY)
        reschedule: Any = getattr(RetryDecision, "reschedule", None)
        # Airflow 3.3 can only retry.
        if reschedule is None:
            return RetryDecision.retry(delay=delay, reason=str(error))
        later: RetryDecision = reschedule(
            delay, reschedule_timeout=self.reschedule_timeout, reason=str(error)
        )
        return later
