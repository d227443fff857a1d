"""The retry policy: what it makes of errors as operators, and people's own tasks, raise them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_wanx.dashscope.errors import SubmissionQueueError
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.version_compat import AIRFLOW_V_3_3_PLUS
from tests.unit.operators.painting import PAINT, paint
from tests.unit.support.airflow_names import AIRFLOW

MODULE = "airflow_provider_wanx.retry_policies.dashscope"
LATER = "reschedule" if AIRFLOW >= (3, 4) else "retry"


def decided(raising: Callable[[], Any], **options: Any) -> Any:
    policy = importlib.import_module(MODULE).DashScopeRetryPolicy(**options)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, the policy is to judge it
        raising()
    return policy.evaluate(caught.value, try_number=1, max_tries=2)


def call_the_hook() -> None:
    with DashScopeHook() as hook:
        hook.submit_task(**PAINT, input={"prompt": "A lighthouse"})


both = pytest.mark.parametrize(
    "raising", [lambda: paint().run_try(), call_the_hook], ids=["operator", "hook in a task"]
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, at_rest: BackgroundSimulator) -> BackgroundSimulator:
    """A connection that repeats nothing by itself."""
    uri = f"{{'conn_type': 'dashscope', 'host': '{at_rest.url}', 'password': '{at_rest.api_key}', 'extra': {{'retry_for': 0}}}}"
    monkeypatch.setenv("AIRFLOW_CONN_DASHSCOPE_DEFAULT", uri.replace("'", '"'))
    return at_rest


def test_it_is_there_from_airflow_3_3_on_and_before_says_that_it_is_not() -> None:
    try:
        importlib.import_module(MODULE)
        missing = None
    except ImportError as error:
        missing = str(error)
    assert (missing is None) is AIRFLOW_V_3_3_PLUS
    assert missing is None or "needs Airflow 3.3" in missing


@pytest.mark.needs_airflow("3.3", "retry policies")
class TestPolicy:
    """From Airflow 3.3 on."""

    @both
    def test_what_is_refused_for_the_rate_comes_back_when_the_service_says(
        self, impatient: BackgroundSimulator, raising: Callable[[], Any]
    ) -> None:
        impatient.add_fault(
            endpoint="submit",
            kind="status",
            status=429,
            code="Throttling.RateQuota",
            headers={"Retry-After": "200"},
        )
        found = [decided(raising) for _ in range(2)]
        assert {each.action.value for each in found} == {LATER}
        assert timedelta(seconds=200) <= found[0].retry_delay
        # What is asked for meanwhile waits for what is left of that time, however late this machine asks.
        assert all(timedelta(0) < each.retry_delay <= timedelta(seconds=400) for each in found)
        assert found[0].retry_delay != found[1].retry_delay
        assert "Throttling.RateQuota" in found[0].reason

    @both
    def test_without_a_time_in_the_refusal_it_comes_back_after_the_minute_in_which_the_service_recovers(
        self, impatient: BackgroundSimulator, raising: Callable[[], Any]
    ) -> None:
        impatient.add_fault(endpoint="submit", kind="status", status=429, code="Throttling.RateQuota")
        decision = decided(raising)
        assert decision.action.value == LATER
        assert timedelta(minutes=1) <= decision.retry_delay <= timedelta(minutes=2)

    @pytest.mark.needs_airflow("3.4", "tries that are put off")
    def test_a_try_is_put_off_for_as_long_as_is_allowed(self, impatient: BackgroundSimulator) -> None:
        impatient.add_fault(endpoint="submit", kind="status", status=429, code="Throttling.RateQuota")
        assert decided(call_the_hook).reschedule_timeout == timedelta(hours=3)
        limit = timedelta(minutes=20)
        assert decided(call_the_hook, reschedule_timeout=limit).reschedule_timeout == limit
        with pytest.raises(ValueError, match="must be positive"):
            decided(call_the_hook, reschedule_timeout=timedelta(0))

    def test_what_finds_the_queue_of_submissions_too_long_comes_back_when_that_has_gone(self) -> None:
        from airflow_provider_wanx.exceptions import airflow_errors

        def raising() -> None:
            with airflow_errors():
                raise SubmissionQueueError("Full.", retry_after=900)

        decision = decided(raising)
        assert decision.action.value == LATER
        assert timedelta(seconds=900) <= decision.retry_delay <= timedelta(seconds=1800)

    @both
    @pytest.mark.parametrize("code", ["InvalidParameter", "Arrearage", "InvalidApiKey"])
    def test_what_no_retry_can_mend_fails_at_once(
        self, impatient: BackgroundSimulator, raising: Callable[[], Any], code: str
    ) -> None:
        impatient.add_fault(endpoint="submit", kind="status", status=400, code=code)
        decision = decided(raising)
        assert decision.action.value == "fail"
        assert code in decision.reason

    @both
    def test_a_429_that_is_a_matter_of_money_is_none_of_the_rate(
        self, impatient: BackgroundSimulator, raising: Callable[[], Any]
    ) -> None:
        impatient.add_fault(endpoint="submit", kind="status", status=429, code="PrepaidBillOverdue")
        assert decided(raising).action.value == "fail"

    def test_all_else_is_left_to_the_tasks_retries(self, impatient: BackgroundSimulator) -> None:
        def own_mistake() -> None:
            raise ZeroDivisionError

        assert decided(own_mistake).action.value == "default"
        impatient.add_fault(endpoint="get_task", kind="status", status=500, code="InternalError")

        def look() -> None:
            with DashScopeHook() as hook:
                hook.get_task("00000000-0000-4000-8000-000000000000")

        assert decided(look).action.value == "default"
