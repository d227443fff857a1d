"""Two DAGs on one account: every portrait of a folder in tasks of its own, and another folder in one task."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task, task_group

from airflow_provider_wanx.batch import policy
from airflow_provider_wanx.operators import wanx_batch
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator, WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

vars(wanx_batch)["DEFAULT_POLL_INTERVAL_SECONDS"] = 1.0
vars(policy)["RESULTS_WITHIN_SECONDS"] = 10.0

# Every kill costs a try.
TRIES = {"retries": 5, "retry_delay": timedelta(seconds=1)}

with DAG(
    dag_id="fleet", schedule=None, params={"bucket": "", "count": 1}, default_args=TRIES, max_active_tasks=64
):

    @task
    def pictures(params: dict[str, Any]) -> list[str]:
        return [f"s3://{params['bucket']}/mapped/{number:03d}.png" for number in range(params["count"])]

    @task_group
    def repaint(image: str) -> None:
        submit = WanxStyleRepaintOperator(task_id="submit", image=image, style=3)
        wait = DashScopeTaskSensor(task_id="wait", dashscope_task_id=submit.output, poll_interval=2)
        DashScopeToS3Operator(
            task_id="copy",
            dashscope_task_id=wait.output,
            s3_bucket="{{ params.bucket }}",
            s3_key="mapped-results/{dashscope_task_id}{extension}",
        )

    repaint.expand(image=pictures())  # type: ignore[call-arg, misc]

with DAG(dag_id="fleet_bulk", schedule=None, params={"bucket": ""}, default_args=TRIES):
    WanxStyleRepaintBatchOperator(
        task_id="repaint",
        images="s3://{{ params.bucket }}/bulk/",
        destination="s3://{{ params.bucket }}/bulk-results/",
        s3_key="{dashscope_task_id}{extension}",
        style=3,
    )
