"""Many waits at once: one mapped task for each image, and one that copies them all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import fault_points
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator


@dag(
    schedule=None,
    params={"row": "", "image": "", "bucket": "", "name": "", "aws": "", "count": 1, "people": 1},
    max_active_tasks=8,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(seconds=1),
        "pre_execute": fault_points.enter,
        "dashscope_conn_id": "{{ params.row }}",
    },
)
def many() -> None:
    """Repaint ``count`` images of ``people`` persons; every image has a URL of its own."""

    @task(pre_execute=None)
    def images(params: dict[str, Any]) -> list[str]:
        return [
            f"{params['image']}&person={number}".replace("seed=", f"seed={number % params['people']}")
            for number in range(params["count"])
        ]

    repaint = WanxStyleRepaintOperator.partial(
        task_id="repaint", style=3, wait_for_completion=True, deferrable=True, poll_interval=2
    ).expand(image=images())  # type: ignore[call-arg, misc]
    DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=repaint.output,
        s3_bucket="{{ params.bucket }}",
        s3_key="{{ params.row }}/{dashscope_task_id}{extension}",
        aws_conn_id="{{ params.aws }}",
    )


many()
