"""The same DAG after somebody has worked on it: other style, other waiting, one more task."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

with DAG(
    dag_id="edited",
    schedule=None,
    params={"row": "", "image": "", "bucket": "", "name": "", "aws": ""},
    default_args={"dashscope_conn_id": "{{ params.row }}", "retries": 1},
):
    repaint = WanxStyleRepaintOperator(
        task_id="repaint",
        image="{{ params.image }}&edited=yes",
        style=5,
        wait_for_completion=True,
        deferrable=False,
        poll_interval=7,
        wait_timeout=timedelta(hours=1),
    )
    copy = DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=repaint.output,
        s3_bucket="{{ params.bucket }}",
        s3_key="{{ params.row }}/{{ params.name }}{extension}",
        aws_conn_id="{{ params.aws }}",
    )
    copy >> EmptyOperator(task_id="added")
