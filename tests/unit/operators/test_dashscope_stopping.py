"""Waits that end before the task has: deadlines, and kills on a worker."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowTaskTimeout,
)

from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import SUBMITTED_KEY, DashScopeTaskTrigger
from tests.unit.operators.painting import paint
from tests.unit.support.airflow import deferral, only_event, revived
from tests.unit.support.airflow_names import TRIGGER_FAILURE, TRIGGER_TIMEOUT, TaskDeferralTimeout
from tests.unit.support.service import states


class TestDeadlines:
    """A wait whose time is over."""

    @pytest.mark.parametrize("deferrable", [True, False])
    @pytest.mark.parametrize("cancels", [True, False])
    def test_the_wait_ends_and_what_is_still_queued_is_canceled_where_wanted(
        self, at_rest: BackgroundSimulator, deferrable: bool, cancels: bool
    ) -> None:
        for _ in range(2):
            paint().run_try()
        runner = paint(
            wait_for_completion=True, deferrable=deferrable, wait_timeout=0.2, cancel_on_kill=cancels
        )
        with pytest.raises(AirflowException, match="had not ended at the deadline"):
            runner.run_try()
        assert states(at_rest)[-1] == ("CANCELED" if cancels else "PENDING")

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_execution_timeout_ends_a_wait_as_a_timeout_of_airflows(
        self, at_rest: BackgroundSimulator, deferrable: bool
    ) -> None:
        runner = paint(
            wait_for_completion=True, deferrable=deferrable, execution_timeout=timedelta(seconds=0.3)
        )
        with pytest.raises(AirflowTaskTimeout, match="had not ended at the deadline"):
            runner.run_try()

    def test_an_end_just_in_time_counts(self, at_rest: BackgroundSimulator) -> None:
        runner = paint(wait_for_completion=True, deferrable=True)
        deferred = deferral(runner.start)
        at_rest.advance(9)
        trigger = revived(deferred.trigger)
        assert isinstance(trigger, DashScopeTaskTrigger)
        trigger.end_time = time.time() - 1
        event = only_event(trigger)
        assert runner.resume(deferred, event) == runner.xcoms[SUBMITTED_KEY]

    def test_when_airflow_itself_ends_the_deferral_the_queued_task_is_canceled(
        self, at_rest: BackgroundSimulator
    ) -> None:
        for _ in range(2):
            paint().run_try()
        runner = paint(wait_for_completion=True, deferrable=True)
        deferral(runner.start)
        with pytest.raises(TaskDeferralTimeout):
            runner.continue_with("__fail__", {"error": TRIGGER_TIMEOUT})
        assert states(at_rest)[-1] == "CANCELED"

    def test_a_trigger_that_broke_down_cancels_nothing(self, at_rest: BackgroundSimulator) -> None:
        for _ in range(2):
            paint().run_try()
        runner = paint(wait_for_completion=True, deferrable=True)
        deferral(runner.start)
        with pytest.raises(AirflowException):
            runner.continue_with("__fail__", {"error": TRIGGER_FAILURE})
        assert states(at_rest)[-1] == "PENDING"


class TestKilling:
    """``on_kill`` on a worker."""

    def killed_while_waiting(self, simulator: BackgroundSimulator, **arguments: Any) -> str:
        """Kill a task during its wait; return the state of what it waited for."""
        for _ in range(2):
            paint().run_try()
        runner = paint(wait_for_completion=True, deferrable=False, wait_timeout=60, **arguments)
        operators: list[DashScopeSubmitTaskOperator] = []
        build = runner.build
        runner.build = lambda: operators.append(build()) or operators[-1]  # type: ignore[func-returns-value]

        class Killed(BaseException):
            pass

        def look(*_: Any, **__: Any) -> None:
            operators[-1].on_kill()
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_provider_wanx.deferral.wait_on_worker", look)
            with pytest.raises(Killed):
                runner.run_try()
        return states(simulator)[-1]

    def test_it_cancels_the_task_that_it_waits_for(self, at_rest: BackgroundSimulator) -> None:
        assert self.killed_while_waiting(at_rest) == "CANCELED"

    def test_it_leaves_the_task_alone_where_the_user_wants_that(self, at_rest: BackgroundSimulator) -> None:
        assert self.killed_while_waiting(at_rest, cancel_on_kill=False) == "PENDING"

    def test_it_cancels_nothing_once_the_task_is_done(self, at_rest: BackgroundSimulator) -> None:
        for _ in range(2):
            paint().run_try()
        runner = paint()
        operator = runner.build()
        runner.build = lambda: operator
        runner.run_try()
        operator.on_kill()
        assert states(at_rest)[-1] == "PENDING"

    def test_it_asks_nobody_when_nothing_was_submitted(self) -> None:
        paint(dashscope_conn_id="there_is_none").build().on_kill()
