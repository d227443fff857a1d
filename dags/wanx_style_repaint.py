"""
### Repaint one portrait

Submit one portrait to Tongyi Wanxiang, wait for it without holding a worker, and copy the result to S3.

*When to use:* one picture at a time, started by hand (**Trigger** shows a form) or by another DAG.
*Needs:* connection `dashscope_default` with an API key; connection `aws_default` that may write to the bucket.
*Costs:* one image. Retries of `wait` and `copy` never submit again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

STYLES = {
    style.english: f"{style.english} · {style.chinese} · {style.number}"
    for style in WanxStyle
    if style is not WanxStyle.REFERENCE_IMAGE
}

with DAG(
    dag_id="wanx_style_repaint",
    schedule=None,
    catchup=False,
    tags=["dashscope", "wanx"],
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "image": Param(
            "s3://wanx-portraits/portraits/astronaut.png",
            type="string",
            # No paths of the worker, and no connection before the bucket: the operator refuses them too.
            pattern=r"^(https?|oss)://.|^data:image/.|^s3://[^@/]+/.",
            title="Portrait",
            description="Put your own portrait here; this one exists in the demo only. "
            "An https://, s3://bucket/key, data: or oss:// URL",
        ),
        "style": Param(
            "fresh",
            type="string",
            enum=list(STYLES),
            values_display=STYLES,
            title="Style",
            description="Type a part of the English or Chinese name, or the number, to find one",
        ),
        "bucket": Param(
            "wanx-results",
            type="string",
            pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
            title="S3 bucket for the result",
            description="Its name alone, without s3://. It must exist: nothing is submitted otherwise",
        ),
        "key": Param(
            "repainted/{run_id}/{style_name}/{source_name}_{dashscope_task_id}_{index}{extension}",
            type="string",
            pattern=r"^(?!s3:)[^/].*$",
            title="Key of the result",
            description="Fields in braces: {source_name} is the portrait's file name; see the transfer's documentation",
        ),
    },
) as dag:
    # [START howto_repaint]
    submit = WanxStyleRepaintOperator(
        task_id="submit",
        image="{{ params.image }}",
        style="{{ params.style }}",
        result_bucket="{{ params.bucket }}",
    )
    wait = DashScopeTaskSensor(task_id="wait", dashscope_task_id=submit.output, timeout=4 * 3600)
    copy = DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=wait.output,
        s3_bucket="{{ params.bucket }}",
        s3_key="{{ params.key }}",
    )
    # [END howto_repaint]
