"""Task groups that are repeated, as Airflow 3.4 and later do: the shapes of the other files, three times over."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, task_group
from shapes import ARGUMENTS, PARAMS, ROW, fail_if_ordered

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

ITERATIONS = 3
SAME = "{{ params.image }}"
ANOTHER = "{{ params.image }}{{ loop.index }}"


@task_group
def submit_wait_copy(image: str) -> None:
    """Three tasks, as the guide recommends."""
    submitted = WanxStyleRepaintOperator(task_id="submit", image=image, style=3)
    waited = DashScopeTaskSensor(
        task_id="wait", dashscope_task_id=submitted.output, poll_interval=1, deferrable=True
    )
    DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=waited.output,
        s3_bucket="{{ params.bucket }}",
        s3_key=f"{ROW}/{{dashscope_task_id}}{{extension}}",
    )


@task_group
def repaint_copy() -> None:
    """The operator waits itself, in the triggerer."""
    repaint = WanxStyleRepaintOperator(
        task_id="repaint",
        image=SAME,
        style=3,
        wait_for_completion=True,
        deferrable=True,
        poll_interval=1,
        post_execute=fail_if_ordered,
    )
    DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=repaint.output,
        s3_bucket="{{ params.bucket }}",
        s3_key=f"{ROW}/{{dashscope_task_id}}{{extension}}",
    )


@task_group
def mapped() -> None:
    """Two pictures in each iteration."""
    repaint = WanxStyleRepaintOperator.partial(
        task_id="repaint", style=3, wait_for_completion=True, deferrable=True, poll_interval=1
    ).expand(image=[f"{SAME}1", f"{SAME}2"])
    DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=repaint.output,
        s3_bucket="{{ params.bucket }}",
        s3_key=f"{ROW}/{{dashscope_task_id}}{{extension}}",
    )


LOOPS = {
    "loop": submit_wait_copy.partial(image=SAME),
    "loop_pictures": submit_wait_copy.partial(image=ANOTHER),
    "loop_deferred": repaint_copy,
    "loop_mapped": mapped,
}

for dag_id, group in LOOPS.items():
    # The fault run has this file too, and an Airflow without loops.
    if hasattr(group, "loop"):
        with DAG(dag_id=dag_id, schedule=None, params=PARAMS, default_args=ARGUMENTS):
            group.loop(max_iterations=ITERATIONS)
