"""A task of the sensor, in each of its modes, to run and to look at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.airflow import TaskRunner
from tests.unit.support.airflow_names import AirflowRescheduleException

DEFERRED: dict[str, Any] = {}
POKING = {"deferrable": False}
RESCHEDULED = {"deferrable": False, "mode": "reschedule"}

every_mode = pytest.mark.parametrize(
    "mode", [DEFERRED, POKING, RESCHEDULED], ids=["deferred", "poking", "rescheduled"]
)


def wait(task_id: Any, **arguments: Any) -> TaskRunner[DashScopeTaskSensor]:
    """A sensor that waits for one task or several."""

    def build() -> DashScopeTaskSensor:
        return DashScopeTaskSensor(
            **{"task_id": "wait", "dashscope_task_id": task_id, "poll_interval": 0.05, **arguments}
        )

    return TaskRunner(build)


def run(runner: TaskRunner[DashScopeTaskSensor]) -> Any:
    """Run a try; as often as it is rescheduled, begin anew as Airflow does."""
    while True:
        try:
            return runner.run_try()
        except AirflowRescheduleException:
            runner.first_reschedule = runner.first_reschedule or datetime.now(UTC)


def state_of(simulator: BackgroundSimulator, task_id: str) -> str:
    (state,) = [task["status"] for task in simulator.ledger()["tasks"] if task["task_id"] == task_id]
    return str(state)
