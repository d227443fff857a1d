"""The two shapes in which the operators are used; each DAG file makes variants of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import fault_points
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

ROW = "{{ params.row }}"
PARAMS = {"row": "", "image": "", "bucket": "", "name": "", "aws": ""}
ARGUMENTS = {
    "retries": 3,
    "retry_delay": timedelta(seconds=1),
    "pre_execute": fault_points.enter,
    "dashscope_conn_id": ROW,
}


def fail_if_ordered(context: Any, result: Any = None) -> None:
    """Stand for a user's code that runs in the same task after the operator's own."""
    fault_points.reached("after_wait")


def chain(dag_id: str, *, copies: int = 1, submit: dict[str, Any], wait: dict[str, Any]) -> DAG:
    """Make a DAG.

    :param copies: how many tasks copy the same result to the same key at the same time
    :param submit: more arguments of the operator
    :param wait: more arguments of the sensor
    """
    with DAG(
        dag_id=dag_id,
        schedule=None,
        params=PARAMS,
        default_args=ARGUMENTS,
    ) as dag:
        submitted = WanxStyleRepaintOperator(
            task_id="submit", image="{{ params.image }}", style=3, aws_conn_id="{{ params.aws }}", **submit
        )
        waited = DashScopeTaskSensor(
            task_id="wait", dashscope_task_id=submitted.output, poll_interval=1, **wait
        )
        for number in range(copies):
            DashScopeToS3Operator(
                task_id="copy" if not number else f"copy_{number + 1}",
                dashscope_task_id=waited.output,
                s3_bucket="{{ params.bucket }}",
                s3_key=f"{ROW}/{{{{ params.name }}}}{{extension}}",
                aws_conn_id="{{ params.aws }}",
            )
    return dag


def alone(dag_id: str, *, deferrable: bool = True, **options: Any) -> DAG:
    """Make a DAG.

    :param deferrable: whether the operator waits in the triggerer
    :param options: more arguments of the operator
    """
    with DAG(
        dag_id=dag_id,
        schedule=None,
        params=PARAMS,
        default_args=ARGUMENTS,
    ) as dag:
        repaint = WanxStyleRepaintOperator(
            task_id="repaint",
            image="{{ params.image }}",
            style=3,
            aws_conn_id="{{ params.aws }}",
            wait_for_completion=True,
            deferrable=deferrable,
            poll_interval=1,
            post_execute=fail_if_ordered,
            **options,
        )
        copy = DashScopeToS3Operator(
            task_id="copy",
            dashscope_task_id="{{ ti.xcom_pull(task_ids='repaint', key='dashscope_task_id') }}",
            s3_bucket="{{ params.bucket }}",
            s3_key=f"{ROW}/{{{{ params.name }}}}{{extension}}",
            aws_conn_id="{{ params.aws }}",
        )
        repaint >> copy
    return dag
