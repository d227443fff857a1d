"""The sensor's limits: its timeout, a soft one, that of the execution, and Airflow's own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.sensors.sensing import every_mode, run, state_of, wait
from tests.unit.support.airflow import deferral
from tests.unit.support.airflow_names import TRIGGER_FAILURE, TRIGGER_TIMEOUT


@every_mode
def test_its_timeout_is_a_sensors_timeout(
    queued: tuple[BackgroundSimulator, str], mode: dict[str, Any]
) -> None:
    with pytest.raises(AirflowSensorTimeout):
        run(wait(queued[1], timeout=0.2, **mode))
    assert state_of(*queued) == "PENDING"


@every_mode
def test_soft_fail_skips_on_a_timeout(queued: tuple[BackgroundSimulator, str], mode: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException):
        run(wait(queued[1], timeout=0.2, soft_fail=True, **mode))


@every_mode
@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
def test_soft_and_never_fail_skip_on_a_bad_end(
    dashscope: BackgroundSimulator,
    submit: Callable[..., list[str]],
    mode: dict[str, Any],
    option: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InternalError.Algo")
    (task_id,) = submit()
    with pytest.raises(AirflowSkipException):
        run(wait(task_id, **{option: True}, **mode))
    # Airflow tells only that it skips.
    assert f"DashScope task {task_id} is FAILED (InternalError.Algo" in capsys.readouterr().out


@pytest.mark.parametrize("soft", [True, False])
def test_execution_timeout_ends_a_deferred_wait_as_a_failure_even_a_soft_one(
    queued: tuple[BackgroundSimulator, str], soft: bool
) -> None:
    with pytest.raises(AirflowTaskTimeout, match="had not ended at the deadline"):
        run(wait(queued[1], execution_timeout=timedelta(seconds=0.2), soft_fail=soft))


def test_the_shorter_of_both_limits_decides(queued: tuple[BackgroundSimulator, str]) -> None:
    with pytest.raises(AirflowSensorTimeout):
        run(wait(queued[1], timeout=0.2, execution_timeout=timedelta(hours=1)))


def test_a_timeout_message_says_what_becomes_of_the_task(queued: tuple[BackgroundSimulator, str]) -> None:
    with pytest.raises(AirflowSensorTimeout, match=r"last seen PENDING.*It may still run and will be billed"):
        run(wait(queued[1], timeout=0.2))


@pytest.mark.parametrize(("cancels", "state"), [(True, "CANCELED"), (False, "PENDING")])
def test_out_of_time_it_cancels_queued_tasks_only_where_that_is_wanted(
    queued: tuple[BackgroundSimulator, str], cancels: bool, state: str
) -> None:
    with pytest.raises(AirflowSensorTimeout):
        run(wait(queued[1], timeout=0.2, cancel_on_kill=cancels))
    assert state_of(*queued) == state


@pytest.mark.parametrize(("cancels", "state"), [(True, "CANCELED"), (False, "PENDING")])
@pytest.mark.parametrize(("soft", "error"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
def test_when_airflow_itself_ends_the_deferral_the_same_holds(
    queued: tuple[BackgroundSimulator, str], cancels: bool, state: str, soft: bool, error: type[Exception]
) -> None:
    runner = wait(queued[1], cancel_on_kill=cancels, soft_fail=soft)
    deferral(runner.start)
    with pytest.raises(error):
        runner.continue_with("__fail__", {"error": TRIGGER_TIMEOUT})
    assert state_of(*queued) == state


def test_a_trigger_that_broke_down_fails_the_sensor_and_cancels_nothing(
    queued: tuple[BackgroundSimulator, str],
) -> None:
    runner = wait(queued[1], cancel_on_kill=True)
    deferral(runner.start)
    with pytest.raises(AirflowException):
        runner.continue_with("__fail__", {"error": TRIGGER_FAILURE})
    assert state_of(*queued) == "PENDING"
