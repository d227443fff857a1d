"""The DAG of the README: one portrait from bucket to bucket."""

from __future__ import annotations

# [START portraits]
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

with DAG("portraits", schedule=None) as dag:
    submit = WanxStyleRepaintOperator(task_id="submit", image="s3://portraits/ada.jpg", style="crayon world")
    wait = DashScopeTaskSensor(task_id="wait", dashscope_task_id=submit.output)
    copy = DashScopeToS3Operator(
        task_id="copy", dashscope_task_id=wait.output, s3_bucket="results", s3_key="repainted/"
    )
# [END portraits]
