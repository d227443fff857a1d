"""A task that waits for its turn without using up retries."""

from __future__ import annotations

# [START policy]
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.retry_policies.dashscope import DashScopeRetryPolicy

with DAG(dag_id="patient", schedule=None, params={"portrait": ""}) as dag:
    WanxStyleRepaintOperator(
        task_id="submit",
        image="{{ params.portrait }}",
        style="anime",
        retries=2,
        retry_policy=DashScopeRetryPolicy(),
    )
# [END policy]
