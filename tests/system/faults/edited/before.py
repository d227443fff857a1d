"""The DAG as it is when its task is deferred."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

with DAG(
    dag_id="edited",
    schedule=None,
    params={"row": "", "image": "", "bucket": "", "name": "", "aws": ""},
    default_args={"dashscope_conn_id": "{{ params.row }}"},
):
    repaint = WanxStyleRepaintOperator(
        task_id="repaint",
        image="{{ params.image }}",
        style=3,
        wait_for_completion=True,
        deferrable=True,
        poll_interval=1,
    )
    DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=repaint.output,
        s3_bucket="{{ params.bucket }}",
        s3_key="{{ params.row }}/{{ params.name }}{extension}",
        aws_conn_id="{{ params.aws }}",
    )
