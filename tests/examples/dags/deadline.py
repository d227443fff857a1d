"""A DAG that tells when it is late; Airflow 3.1 and later."""

from __future__ import annotations

# [START deadline]
from datetime import timedelta

from airflow.sdk import DAG
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference
from deadline_calls import tell_what_waits

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator

with DAG(
    dag_id="in_time",
    schedule=None,
    params={"portrait": "s3://portraits/ada.jpg"},
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=2),
        callback=AsyncCallback(tell_what_waits, kwargs={"dashscope_conn_id": "dashscope_default"}),
    ),
) as dag:
    WanxStyleRepaintOperator(
        task_id="repaint",
        image="{{ params.portrait }}",
        style="anime",
        wait_for_completion=True,
        deferrable=True,
    )
# [END deadline]
