"""A task of the transfer, to run and to look at."""

from __future__ import annotations

from typing import Any

from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator
from tests.unit.support.airflow import TaskRunner

KEY = "repainted/{run_id}/{style}_{style_name}_{dashscope_task_id}_{index}{extension}"
SAFE_RUN_ID = "manual__2026-11-23T10-00-00-00-00"


def copy(task_id: Any, bucket: str = "bucket", **arguments: Any) -> TaskRunner[DashScopeToS3Operator]:
    """A task that copies."""

    def build() -> DashScopeToS3Operator:
        given = {"task_id": "copy", "dashscope_task_id": task_id, "s3_bucket": bucket, "s3_key": KEY}
        return DashScopeToS3Operator(**{**given, "poll_interval": 0.05, **arguments})

    return TaskRunner(build)
