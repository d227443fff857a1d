"""A batch in one task, in so many waves that workers are woken often."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_wanx.batch import batch, policy
from airflow_provider_wanx.operators import wanx_batch
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator

vars(wanx_batch)["DEFAULT_POLL_INTERVAL_SECONDS"] = 1.0
vars(policy)["RESULTS_WITHIN_SECONDS"] = 10.0
vars(batch)["most_in_flight"] = lambda pace, *, queue_limit: 120

with DAG(
    dag_id="bulk",
    schedule=None,
    params={"row": "", "folder": "", "destination": "", "aws": ""},
) as dag:
    WanxStyleRepaintBatchOperator(
        task_id="repaint",
        images="{{ params.folder }}",
        destination="{{ params.destination }}",
        style=3,
        dashscope_conn_id="{{ params.row }}",
        aws_conn_id="{{ params.aws }}",
        # Every kill of a worker costs a try.
        retries=60,
        retry_delay=timedelta(seconds=1),
    )
