"""The Airflow tasks that scenes are made of."""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.operator import BaseOperator

from tests.unit.support.airflow import TaskRunner
from tests.unit.support.pictures import picture
from tests.upgrade.world import BUCKET, Task, World, revived, run_trigger


def sensor(dashscope_task_id: Any, **arguments: Any) -> Task:
    return task_of(
        "sensors.dashscope.DashScopeTaskSensor",
        task_id="wait",
        dashscope_task_id=dashscope_task_id,
        poll_interval=0.05,
        **arguments,
    )


def repaint(**arguments: Any) -> Task:
    return task_of(
        "operators.wanx.WanxStyleRepaintOperator",
        task_id="submit",
        image=f"s3://{BUCKET}/in/ann.png",
        style="anime",
        poll_interval=0.05,
        **arguments,
    )


def copy(dashscope_task_id: Any, **arguments: Any) -> Task:
    return task_of(
        "transfers.dashscope_to_s3.DashScopeToS3Operator",
        task_id="copy",
        dashscope_task_id=dashscope_task_id,
        s3_bucket=BUCKET,
        poll_interval=0.05,
        **{"s3_key": "results/", **arguments},
    )


def bulk(**arguments: Any) -> Task:
    return task_of(
        "operators.wanx.WanxStyleRepaintBatchOperator",
        task_id="bulk",
        destination=f"s3://{BUCKET}/out/",
        deferrable=True,
        **{"images": f"s3://{BUCKET}/in/", "style": "anime", **arguments},
    )


def task_of(path: str, **arguments: Any) -> Task:
    return {"class": f"airflow_provider_wanx.{path}", "arguments": arguments}


def repainting(
    world: World, *, keeps_state: bool = True, **arguments: Any
) -> tuple[TaskRunner[BaseOperator], Task]:
    world.bucket.put("in/ann.png", picture(300, 320))
    task = repaint(**arguments)
    return world.runner(task, keeps_state=keeps_state), task


def returns_its_only_id(world: World) -> dict[str, Any]:
    (task,) = world.simulator.ledger()["tasks"]
    return {"returns": task["task_id"]}


def with_event(left: dict[str, Any]) -> dict[str, Any]:
    """Add the trigger's event, as Airflow does in the task instance's row."""
    event = run_trigger(revived(left.pop("trigger"))).payload
    return {**left, "next_kwargs": {**left["next_kwargs"], "event": event}}
