"""Several portraits, few at a time, with an asset for each result."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, AssetAlias

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

IMAGES = ["s3://portraits/ada.jpg", "s3://portraits/grace.jpg"]

with DAG("album", schedule=None) as dag:
    # [START pool]
    repaint = WanxStyleRepaintOperator.partial(
        task_id="repaint",
        style="fresh",
        wait_for_completion=True,
        deferrable=True,
        pool="dashscope",
        retries=2,
        retry_delay=timedelta(minutes=1),
    ).expand(image=IMAGES)
    # [END pool]
    # [START outlets]
    copy = DashScopeToS3Operator.partial(
        task_id="copy",
        s3_bucket="results",
        s3_key="album/{style_name}/{dashscope_task_id}_{index}{extension}",
        extra_args={"StorageClass": "STANDARD_IA", "ServerSideEncryption": "AES256"},
        replace="skip",
        outlets=[AssetAlias("repainted portraits")],
    ).expand(dashscope_task_id=repaint.output)
    # [END outlets]
