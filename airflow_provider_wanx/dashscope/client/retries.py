"""When a call is sent again: only where that can help and can do no harm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.error_codes import ErrorKind
from airflow_provider_wanx.dashscope.errors import ApiError, ProviderError
from airflow_provider_wanx.dashscope.pacing.pacer import Pacer, is_rate_limited

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

_JITTER = wait_random_exponential(multiplier=0.5, max=20.0)
"""Full jitter in seconds, growing, beside what the service asks for."""


def _may_repeat(call: Call[Any], error: BaseException) -> bool:
    """Tell whether one more try of the same call can help and can do no harm."""
    if not isinstance(error, ProviderError) or not error.retryable:
        return False
    if isinstance(error, ApiError) and error.kind not in (ErrorKind.THROTTLING, ErrorKind.SERVICE):
        return False
    return call.repeatable or error.certainly_refused


def at_other_address(call: Call[T], error: ApiError) -> Call[T]:
    """Make the call to the endpoint's other address if the service does not know the first one; else raise the error."""
    if call.other_url is None or error.kind not in (ErrorKind.NOT_FOUND, ErrorKind.INPUT):
        raise error
    return replace(call, url=call.other_url, other_url=None)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _pause(state: RetryCallState) -> float:
    return float(getattr(_error(state), "retry_after", None) or 0.0) + _JITTER(state)


def repeating(call: Call[Any] | None, config: ClientConfig, *, sleep: Sleep) -> AsyncRetrying:
    """Repeat a call for up to ``retry_for`` seconds where that is safe.

    :param call: None for what is safe in any case, and of which three tries are enough.
    """

    def may_repeat(error: BaseException) -> bool:
        if call is None:
            return isinstance(error, ProviderError) and error.retryable
        return _may_repeat(call, error)

    in_time = stop_before_delay(config.retry_for)
    return AsyncRetrying(
        sleep=sleep,
        retry=retry_if_exception(may_repeat),
        wait=_pause,
        stop=in_time if call else in_time | stop_after_attempt(3),
        reraise=True,
    )


def repeating_submission(
    call: Call[Any], config: ClientConfig, pacer: Pacer, *, sleep: Sleep
) -> AsyncRetrying:
    """Repeat a submission by the same rules, but bear being throttled for longer: then it was certainly not accepted."""

    def wait(state: RetryCallState) -> float:
        # The pacer holds the next try back for as long as is needed.
        return 0.0 if is_rate_limited(_error(state)) else _pause(state)

    def stop(state: RetryCallState) -> bool:
        elapsed = (state.seconds_since_start or 0.0) + state.upcoming_sleep
        return not pacer.may_go_on(_error(state), elapsed=elapsed)

    return repeating(call, config, sleep=sleep).copy(wait=wait, stop=stop)
