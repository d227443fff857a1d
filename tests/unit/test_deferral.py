"""What operators and sensors share about waiting."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout

from airflow_provider_wanx.arguments import task_ids
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.waiting import poller
from airflow_provider_wanx.deferral import DashScopeWaitingOperator, wait_on_worker
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import outcome_event
from tests.unit.support.airflow_names import (
    NOTSET,
    TRIGGER_FAILURE,
    TRIGGER_TIMEOUT,
    TaskDeferralError,
    TaskDeferralTimeout,
)
from tests.unit.support.service import states, submit_repaints


def event(**fields: Any) -> dict[str, Any]:
    return {"statuses": {}, "errors": {}, "timed_out": False, "retryable": True, **fields}


TIMED_OUT = {"error": TRIGGER_TIMEOUT}


class Waiting(DashScopeWaitingOperator):
    """An operator that waits for what it was told."""

    def __init__(self, *, ids: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dashscope_task_id = ids


def waited(hook: DashScopeHook, ids: list[str], **conditions: Any) -> dict[str, Any]:
    """The event of a wait on this worker."""
    return outcome_event(wait_on_worker(hook, ids, log=logging.getLogger(__name__), **conditions))


class TestIds:
    """What a user gives as ``dashscope_task_id``."""

    @pytest.mark.parametrize(
        ("given", "ids"),
        [("a", ["a"]), (["a", "b"], ["a", "b"]), (("a",), ["a"]), (["b", "a", "b"], ["b", "a"])],
    )
    def test_one_id_or_any_list_of_ids_is_read(self, given: Any, ids: list[str]) -> None:
        assert task_ids(given) == ids

    @pytest.mark.parametrize(
        "given", [None, "", [], {}, {"a": 1}, 3, "a b", "a/b", ["a", ""], ["a", None], "{{ x }}", NOTSET]
    )
    def test_anything_else_is_refused(self, given: Any) -> None:
        with pytest.raises(InvalidInputError, match="dashscope_task_id"):
            task_ids(given)


class TestAirflowsOwnTimeout:
    """Airflow itself ends a deferral, and calls no method of the operator."""

    def test_what_is_queued_is_canceled_before_the_task_fails(self, at_rest: BackgroundSimulator) -> None:
        ids = submit_repaints(at_rest, 1, 2)
        with pytest.raises(TaskDeferralTimeout):
            Waiting(task_id="x", ids=ids, cancel_on_kill=True).resume_execution("__fail__", TIMED_OUT, {})
        assert "CANCELED" in states(at_rest)

    def test_nothing_is_canceled_unless_asked_for(self, at_rest: BackgroundSimulator) -> None:
        ids = submit_repaints(at_rest, 1, 2)
        with pytest.raises(TaskDeferralTimeout):
            Waiting(task_id="x", ids=ids).resume_execution("__fail__", TIMED_OUT, {})
        assert "CANCELED" not in states(at_rest)

    def test_a_trigger_that_broke_down_is_not_taken_for_it(self, at_rest: BackgroundSimulator) -> None:
        ids = submit_repaints(at_rest, 1, 2)
        with pytest.raises(TaskDeferralError):
            Waiting(task_id="x", ids=ids, cancel_on_kill=True).resume_execution(
                "__fail__", {"error": TRIGGER_FAILURE}, {}
            )
        assert "CANCELED" not in states(at_rest)


@pytest.mark.parametrize(
    ("by_execution_timeout", "error"), [(True, AirflowTaskTimeout), (False, AirflowException)]
)
def test_either_limit_ends_with_the_error_that_belongs_to_it(
    by_execution_timeout: bool, error: type[Exception]
) -> None:
    with pytest.raises(error, match="late"):
        Waiting(task_id="x", ids=["a"]).check_wait(
            event(errors={"a": "late"}, timed_out=True),
            DashScopeHook("there_is_none"),
            ["a"],
            by_execution_timeout=by_execution_timeout,
        )


class TestWaitingOnAWorker:
    """The same wait as the trigger's, on the worker."""

    def test_it_returns_the_event_that_the_trigger_would_have_sent(
        self, connect_dashscope: Callable[..., BackgroundSimulator]
    ) -> None:
        (task_id,) = submit_repaints(connect_dashscope(submit_rate=0, task_rate=0), 3)
        with DashScopeHook() as hook:
            assert waited(hook, [task_id], poll_interval=0.05, end_time=None) == event(
                statuses={task_id: "SUCCEEDED"}, made={"images": 1, "cost": 0.12, "styles": [3]}
            )

    def test_its_deadline_ends_it(self, at_rest: BackgroundSimulator) -> None:
        with DashScopeHook() as hook:
            found = waited(hook, submit_repaints(at_rest, 3), poll_interval=0.05, end_time=time.time() + 0.2)
        assert (found["statuses"], found["timed_out"]) == ({}, True)

    def test_a_key_that_is_replaced_meanwhile_is_read_anew(
        self,
        at_rest: BackgroundSimulator,
        set_connection: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(poller, "DEFAULT_POLL_INTERVAL_SECONDS", 0.1)
        (task_id,) = submit_repaints(at_rest, 3)

        def rotate() -> None:
            while not at_rest.ledger(summary=True)["endpoints"].keys() & {"get_task", "list_tasks"}:
                time.sleep(0.01)
            set_connection(
                "dashscope_default", {"conn_type": "dashscope", "host": at_rest.url, "password": "sk-new"}
            )
            at_rest.accept_keys("sk-new")
            at_rest.advance(9)

        rotation = threading.Thread(target=rotate)
        with DashScopeHook() as hook:
            rotation.start()
            found = waited(hook, [task_id], poll_interval=0.05, end_time=None)
        rotation.join()
        assert found["statuses"] == {task_id: "SUCCEEDED"}
