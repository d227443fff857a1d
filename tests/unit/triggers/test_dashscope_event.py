"""What a trigger's event means on the worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wanx.dashscope.errors import DashScopeError, TaskNotSucceededError, WaitTimeoutError
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import check_event
from tests.unit.support.service import submit_repaints


def event(**fields: Any) -> dict[str, Any]:
    return {"statuses": {}, "errors": {}, "timed_out": False, "retryable": True, **fields}


class TestEvents:
    """What becomes of a trigger's event on the worker."""

    def test_if_all_have_succeeded_it_passes_and_asks_nobody(self) -> None:
        check_event(event(statuses={"a": "SUCCEEDED", "b": "SUCCEEDED"}), DashScopeHook("there_is_none"))

    def test_the_reason_of_a_failure_is_fetched_from_the_service(
        self, connect_dashscope: Callable[..., BackgroundSimulator]
    ) -> None:
        simulator = connect_dashscope(submit_rate=0, task_rate=0)
        simulator.add_fault(
            endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL", message="No."
        )
        (task_id,) = submit_repaints(simulator, 3)
        simulator.advance(9)
        with (
            DashScopeHook() as hook,
            pytest.raises(
                TaskNotSucceededError,
                match=r"InvalidURL: No\..* 1 other task\(s\) succeeded\.",
            ),
        ):
            check_event(event(statuses={task_id: "FAILED", "b": "SUCCEEDED"}), hook)

    def test_a_deadline_is_a_timeout_of_its_own_kind_for_its_callers_to_translate(self) -> None:
        with pytest.raises(WaitTimeoutError, match="late"):
            check_event(event(errors={"a": "late"}, timed_out=True), DashScopeHook("there_is_none"))

    @pytest.mark.parametrize("retryable", [True, False])
    def test_a_wait_that_was_given_up_says_whether_to_try_again(self, retryable: bool) -> None:
        with pytest.raises(DashScopeError, match="bad key") as caught:
            check_event(event(errors={"a": "bad key"}, retryable=retryable), DashScopeHook("there_is_none"))
        assert caught.value.retryable is retryable

    def test_the_same_words_are_said_once_and_not_all_of_many(self) -> None:
        errors = {f"id-{number}": f"reason {number % 7}" for number in range(20)}
        with pytest.raises(DashScopeError) as caught:
            check_event(event(errors=errors), DashScopeHook("there_is_none"))
        assert str(caught.value) == "reason 0 reason 1 reason 2 reason 3 reason 4 (and 2 more)"

    def test_no_event_at_all_is_an_error(self) -> None:
        with pytest.raises(DashScopeError, match="The trigger sent no event"):
            check_event(None, DashScopeHook("there_is_none"))
