"""A DAG in which every task goes wrong in a way of its own, although each would be retried if that could help."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

PORTRAIT = "https://example.com/portrait.jpg"
GONE = "00000000-0000-0000-0000-000000000000"

with DAG(
    dag_id="bad_input",
    schedule=None,
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=1)},
    params={
        "folder": Param("", type="string", title="Folder with bad pictures"),
        "lost": Param("", type="string", title="URL under which there is no picture"),
        "bucket": Param("", type="string", title="A bucket that exists"),
    },
) as dag:
    for connection in ("wrong_key", "insecure_url", "wrong_path", "misspelt_extra"):
        WanxStyleRepaintOperator(
            task_id=connection, image=PORTRAIT, style="fresh", dashscope_conn_id=connection
        )
    WanxStyleRepaintOperator(
        task_id="nobody_there", image=PORTRAIT, style="fresh", dashscope_conn_id="nobody_there", retries=0
    )
    for picture in ("tiny", "heavy", "text", "missing"):
        WanxStyleRepaintOperator(
            task_id=picture, image="{{ params.folder }}/" + picture, style="fresh", allow_local_files=True
        )
    WanxStyleRepaintOperator(task_id="path_in_form", image="{{ params.folder }}/tiny", style="fresh")

    @task
    def places(params: dict[str, str]) -> list[dict[str, Any]]:
        return [{"image": f"{params['folder']}/tiny", "allow_local_files": True}]

    WanxStyleRepaintOperator.partial(task_id="path_mapped", style="fresh").expand_kwargs(places())  # type: ignore[call-arg, misc]
    WanxStyleRepaintOperator(task_id="style_nope", image=PORTRAIT, style="nope")
    WanxStyleRepaintOperator(task_id="style_99", image=PORTRAIT, style=99)
    WanxStyleRepaintOperator(task_id="bucket_to_read", image="s3://no-such-bucket/a.png", style="fresh")
    WanxStyleRepaintOperator(
        task_id="lost_picture",
        image="{{ params.lost }}",
        style="fresh",
        wait_for_completion=True,
        deferrable=True,
        poll_interval=0.5,
    )
    DashScopeToS3Operator(
        task_id="bucket_to_write", dashscope_task_id=GONE, s3_bucket="no-such-bucket", s3_key="a/"
    )
    DashScopeTaskSensor(task_id="expired_wait", dashscope_task_id=GONE, poll_interval=0.5)
    DashScopeToS3Operator(
        task_id="expired_copy", dashscope_task_id=GONE, s3_bucket="{{ params.bucket }}", s3_key="a/"
    )
