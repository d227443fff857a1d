"""What operators and sensors share about waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from airflow.sdk.definitions._internal.types import NOTSET
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferralTimeout,
)

from airflow_provider_wanx.dashscope import watcher
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.operators.base import DashScopeWaitingOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.waiting import (
    Deadline,
    TaskWaitTimeout,
    check_event,
    check_seconds,
    deadline,
    deferral_timed_out,
    raise_timeout,
    task_ids,
    wait_here,
)
from tests.unit.support.service import submit_repaints

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def event(**fields: Any) -> dict[str, Any]:
    return {"statuses": {}, "errors": {}, "timed_out": False, "retryable": True, **fields}


class TestSeconds:
    """Lengths of time."""

    @pytest.mark.parametrize(("value", "seconds"), [(3, 3.0), (0.5, 0.5), (timedelta(minutes=2), 120.0)])
    def test_numbers_and_timedeltas_are_read(self, value: Any, seconds: float) -> None:
        assert check_seconds("x", value) == seconds

    @pytest.mark.parametrize(
        "value", [0, -1, timedelta(0), timedelta(-1), "3", None, True, float("inf"), float("nan")]
    )
    def test_everything_else_is_refused_by_name(self, value: Any) -> None:
        with pytest.raises(ValueError, match="wait_timeout must be a positive number of seconds, not"):
            check_seconds("wait_timeout", value)


class TestDeadline:
    """When a wait is over."""

    def of(
        self, *, seconds: float, execution_timeout: timedelta | None, started: datetime | None
    ) -> Deadline:
        context: Any = {"ti": SimpleNamespace(start_date=started)}
        with time_machine.travel(NOON, tick=False):
            return deadline(context, seconds=seconds, execution_timeout=execution_timeout)

    def test_it_is_counted_from_now(self) -> None:
        found = self.of(seconds=60, execution_timeout=None, started=NOON - timedelta(hours=1))
        assert found == Deadline(NOON.timestamp() + 60)

    def test_execution_timeout_is_counted_from_the_start_of_the_try(self) -> None:
        found = self.of(
            seconds=3600, execution_timeout=timedelta(minutes=10), started=NOON - timedelta(minutes=4)
        )
        assert found == Deadline(NOON.timestamp() + 360, by_execution_timeout=True)

    def test_the_earlier_of_both_counts(self) -> None:
        found = self.of(seconds=60, execution_timeout=timedelta(minutes=10), started=NOON)
        assert found == Deadline(NOON.timestamp() + 60)

    def test_a_try_without_a_start_begins_now(self) -> None:
        found = self.of(seconds=3600, execution_timeout=timedelta(minutes=10), started=None)
        assert found == Deadline(NOON.timestamp() + 600, by_execution_timeout=True)

    def test_what_is_left_of_it_is_never_negative(self) -> None:
        with time_machine.travel(NOON, tick=False):
            assert Deadline(NOON.timestamp() + 5).seconds_left() == 5
            assert Deadline(NOON.timestamp() - 5).seconds_left() == 0


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
    """The words in which Airflow ends a deferral."""

    def test_they_are_recognized(self) -> None:
        from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, BaseOperator, TriggerFailureReason

        kwargs = {"error": TriggerFailureReason.TRIGGER_TIMEOUT.value}
        assert deferral_timed_out(TRIGGER_FAIL_REPR, kwargs)
        with pytest.raises(TaskDeferralTimeout):
            BaseOperator(task_id="x").resume_execution(TRIGGER_FAIL_REPR, kwargs, {})

    @pytest.mark.parametrize(
        ("method", "kwargs"),
        [("execute_complete", {"event": {}}), ("__fail__", {"error": "Trigger failure"}), ("__fail__", None)],
    )
    def test_other_resumptions_are_not_taken_for_it(self, method: str, kwargs: dict[str, Any] | None) -> None:
        assert not deferral_timed_out(method, kwargs)

    def test_either_limit_ends_with_the_error_that_belongs_to_it(self) -> None:
        with pytest.raises(AirflowTaskTimeout, match="late"):
            raise_timeout(TaskWaitTimeout("late"), by_execution_timeout=True)
        with pytest.raises(TaskWaitTimeout, match="late"):
            raise_timeout(TaskWaitTimeout("late"), by_execution_timeout=False)


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
                AirflowFailException,
                match=r"InvalidURL: No\..* 1 other task\(s\) succeeded\. Retries are skipped",
            ),
        ):
            check_event(event(statuses={task_id: "FAILED", "b": "SUCCEEDED"}), hook)

    def test_a_deadline_is_a_timeout_of_its_own_kind_for_the_callers_to_translate(self) -> None:
        with pytest.raises(TaskWaitTimeout, match="late"):
            check_event(event(errors={"a": "late"}, timed_out=True), DashScopeHook("there_is_none"))

    @pytest.mark.parametrize(("retryable", "skips"), [(True, False), (False, True)])
    def test_a_wait_that_was_given_up_says_whether_to_try_again(self, retryable: bool, skips: bool) -> None:
        with pytest.raises(AirflowException, match="bad key") as caught:
            check_event(event(errors={"a": "bad key"}, retryable=retryable), DashScopeHook("there_is_none"))
        assert isinstance(caught.value, AirflowFailException) is skips

    def test_the_same_words_are_said_once_and_not_all_of_many(self) -> None:
        errors = {f"id-{number}": f"reason {number % 7}" for number in range(20)}
        with pytest.raises(AirflowException) as caught:
            check_event(event(errors=errors), DashScopeHook("there_is_none"))
        assert str(caught.value) == "reason 0 reason 1 reason 2 reason 3 reason 4 (and 2 more)"

    def test_no_event_at_all_is_an_error(self) -> None:
        with pytest.raises(AirflowException, match="The trigger sent no event"):
            check_event(None, DashScopeHook("there_is_none"))


class TestWaitingOnAWorker:
    """The same wait as the trigger's, on the worker."""

    def test_it_returns_the_event_that_the_trigger_would_have_sent(
        self, connect_dashscope: Callable[..., BackgroundSimulator]
    ) -> None:
        (task_id,) = submit_repaints(connect_dashscope(submit_rate=0, task_rate=0), 3)
        with DashScopeHook() as hook:
            assert wait_here(hook, [task_id], poll_interval=0.05, end_time=None) == event(
                statuses={task_id: "SUCCEEDED"}
            )

    def test_its_deadline_ends_it(self, at_rest: BackgroundSimulator) -> None:
        with DashScopeHook() as hook:
            found = wait_here(
                hook, submit_repaints(at_rest, 3), poll_interval=0.05, end_time=time.time() + 0.2
            )
        assert (found["statuses"], found["timed_out"]) == ({}, True)

    def test_a_key_that_is_replaced_meanwhile_is_read_anew(
        self,
        at_rest: BackgroundSimulator,
        set_connection: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(watcher, "SECOND_OPINION", 0.1)
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
            found = wait_here(hook, [task_id], poll_interval=0.05, end_time=None)
        rotation.join()
        assert found["statuses"] == {task_id: "SUCCEEDED"}


def test_an_operator_that_does_not_say_what_it_waits_for_is_an_error_of_its_author() -> None:
    operator = DashScopeWaitingOperator(task_id="x")
    context: Any = {}
    with pytest.raises(TypeError, match="does not say what it waits for"):
        operator.awaited_ids(context)
    with pytest.raises(TypeError, match="does not say what follows the wait"):
        operator.finish(context, DashScopeHook("there_is_none"), ["a"])
