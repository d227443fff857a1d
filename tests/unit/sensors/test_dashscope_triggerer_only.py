"""Beginning in the triggerer: what is offered, and what is refused while the DAG is parsed."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException

from airflow_provider_wanx import deferral
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger
from tests.unit.sensors.sensing import wait
from tests.unit.support.airflow import only_event, revived
from tests.unit.support.service import submit_repaints

needs_airflow_3_3 = pytest.mark.needs_airflow("3.3", "beginning a sensor in the triggerer")

PULL = "{{ ti.xcom_pull(task_ids='submit', map_indexes=-1) }}"


@needs_airflow_3_3
def test_airflow_is_told_how_to_begin_without_a_worker() -> None:
    sensor = wait(PULL, start_from_trigger=True, timeout=300, poll_interval=7).build()
    assert sensor.start_from_trigger
    arguments: Any = sensor.start_trigger_args
    assert arguments.next_method == "execute_complete"
    assert arguments.timeout.total_seconds() == 300
    assert arguments.trigger_kwargs["dashscope_task_id"] == PULL
    module, _, name = arguments.trigger_cls.rpartition(".")
    assert (module, name) == (DashScopeTaskTrigger.__module__, DashScopeTaskTrigger.__name__)
    trigger = DashScopeTaskTrigger(**arguments.trigger_kwargs)
    assert trigger.poll_interval == 7.0


@needs_airflow_3_3
def test_a_trigger_that_began_there_waits_for_the_one_id_that_was_rendered(
    dashscope: BackgroundSimulator,
) -> None:
    (task_id,) = submit_repaints(dashscope, 3)
    arguments: Any = wait(PULL, start_from_trigger=True).build().start_trigger_args
    rendered = {**arguments.trigger_kwargs, "dashscope_task_id": task_id}
    runner = wait(task_id)
    event = only_event(revived(DashScopeTaskTrigger(**rendered)))
    assert runner.continue_with("execute_complete", {"event": event}) == task_id


def test_an_id_that_was_rendered_to_nothing_is_told(dashscope: BackgroundSimulator) -> None:
    for nothing in (None, "", "None of them"):
        event = only_event(DashScopeTaskTrigger(dashscope_task_id=nothing))
        assert event["errors"]
        assert not event["retryable"]
    assert dashscope.ledger(summary=True)["endpoints"] == {}


def _output() -> Any:
    with DAG("dag"):
        return WanxStyleRepaintOperator(task_id="submit", image="x", style=0).output


@needs_airflow_3_3
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"start_from_trigger": True, "dashscope_task_id": ["a"]}, "must be one id or a template, not list"),
        (
            {"start_from_trigger": True, "dashscope_task_id": _output},
            "does not resolve another task's .output",
        ),
        (
            {"start_from_trigger": True, "dashscope_task_id": "{{ ti.xcom_pull(task_ids='submit') }}"},
            "xcom_pull without map_indexes would leave the task deferred for ever",
        ),
    ],
)
def test_what_airflow_would_get_wrong_is_refused(arguments: dict[str, Any], problem: str) -> None:
    given = {name: value() if callable(value) else value for name, value in arguments.items()}
    with pytest.raises(AirflowException, match=problem):
        DashScopeTaskSensor(**{"task_id": "wait", "dashscope_task_id": "a", **given})


def test_on_a_worker_it_is_refused() -> None:
    with pytest.raises(AirflowException, match="needs deferrable=True"):
        wait("a", deferrable=False, start_from_trigger=True)


def test_an_older_airflow_is_told_to_be_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deferral, "AIRFLOW_V_3_3_PLUS", False)
    with pytest.raises(AirflowException, match="needs Airflow 3"):
        wait("a", start_from_trigger=True)
