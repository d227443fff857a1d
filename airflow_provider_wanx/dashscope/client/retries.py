"""When a call is sent again: only where that can help and can do no harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from tenacity import (
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

LONGEST_BACKOFF_SECONDS = 20.0
"""Longest pause between two tries of one call, in seconds, beside what the service asks for."""

UPLOAD_TRIES = 3


def _may_repeat(call: Call[Any], error: BaseException) -> bool:
    """Whether one more try of the same call can help and can do no harm."""
    if not isinstance(error, ProviderError) or not error.retryable:
        return False
    if isinstance(error, ApiError) and error.kind not in (ErrorKind.THROTTLING, ErrorKind.SERVICE):
        return False
    return call.repeatable or error.certainly_refused


def elsewhere(call: Call[T], error: ApiError) -> Call[T]:
    """Make the call to the endpoint's other address if the service does not know the first one; else raise the error."""
    if call.other_url is None or error.kind not in (ErrorKind.NOT_FOUND, ErrorKind.INPUT):
        raise error
    return replace(call, url=call.other_url, other_url=None)


class _RetryWait:
    """Full jitter, growing; at least as long as the service asked."""

    def __init__(self) -> None:
        self._jitter = wait_random_exponential(multiplier=0.5, max=LONGEST_BACKOFF_SECONDS)

    def __call__(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None) or 0.0
        return float(asked) + self._jitter(state)


def retry_rules(call: Call[Any], config: ClientConfig) -> dict[str, Any]:
    """Make tenacity's arguments for a call that is repeated for up to ``retry_for`` seconds where that is safe."""
    return {
        "retry": retry_if_exception(lambda error: _may_repeat(call, error)),
        "wait": _RetryWait(),
        "stop": stop_before_delay(config.retry_for),
        "reraise": True,
    }


def submit_rules(call: Call[Any], config: ClientConfig, pacer: Pacer) -> dict[str, Any]:
    """Repeat a submission by the same rules, but bear being throttled for longer: then it was certainly not accepted."""
    rules = retry_rules(call, config)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        # The pacer holds the next try back for as long as is needed.
        return 0.0 if is_rate_limited(error) else rules["wait"](state)

    def stop(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        elapsed = (state.seconds_since_start or 0.0) + state.upcoming_sleep
        return not pacer.may_go_on(error, elapsed=elapsed, config=config)

    return {**rules, "wait": wait, "stop": stop}


def upload_rules(config: ClientConfig) -> dict[str, Any]:
    """Repeat an upload as a whole: the store never overwrites, so every try needs a policy and a name of its own."""
    return {
        "retry": retry_if_exception(lambda error: isinstance(error, ProviderError) and error.retryable),
        "wait": _RetryWait(),
        "stop": stop_before_delay(config.retry_for) | stop_after_attempt(UPLOAD_TRIES),
        "reraise": True,
    }
