"""A sensor that begins in the triggerer."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

SUBMITTED = "{{ ti.xcom_pull(task_ids='submit', map_indexes=-1) }}"

with DAG(
    dag_id="spare_workers",
    schedule=None,
    catchup=False,
    params={name: Param("", type="string") for name in ("image", "bucket")},
) as dag:
    submit = WanxStyleRepaintOperator(task_id="submit", image="{{ params.image }}", style="clay world")
    begin = DashScopeTaskSensor(
        task_id="begin", dashscope_task_id=SUBMITTED, poll_interval=0.5, timeout=60, start_from_trigger=True
    )
    copy = DashScopeToS3Operator(
        task_id="copy", dashscope_task_id=begin.output, s3_bucket="{{ params.bucket }}", s3_key="spare/"
    )
    submit >> begin >> copy
