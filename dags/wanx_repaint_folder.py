"""
### Repaint every portrait under an S3 prefix

List the pictures under a prefix and repaint each in a mapped task group, so that every picture goes its own way through
submit, wait and copy: one bad picture stops no other. In the UI, each copy of a task carries its picture's name.

*When to use:* some to some hundred pictures at a time.
*Needs:* connection `dashscope_default` with an API key; connection `aws_default` that may read the source and write the
results. The service fetches the pictures through presigned URLs, so it must be able to reach the bucket.
*Costs:* one image for each picture. A folder without pictures, or a bucket that does not exist, fails the first task, and
nothing is submitted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task, task_group

from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

STYLES = {
    style.english: f"{style.english} · {style.chinese} · {style.number}"
    for style in WanxStyle
    if style is not WanxStyle.REFERENCE_IMAGE
}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

with DAG(
    dag_id="wanx_repaint_folder",
    schedule=None,
    catchup=False,
    tags=["dashscope", "wanx"],
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "bucket": Param(
            "wanx-portraits",
            type="string",
            pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
            title="S3 bucket with the portraits",
            description="Put your own bucket here; this one exists in the demo only. Its name alone, without s3://",
        ),
        "prefix": Param(
            "portraits/",
            type=["string", "null"],
            pattern="^(?!s3:|/)",
            title="Prefix of the portraits",
            description="How the keys of the portraits begin, such as a folder with its slash; empty: the whole bucket",
        ),
        "style": Param(
            "fresh",
            type="string",
            enum=list(STYLES),
            values_display=STYLES,
            title="Style",
            description="Type a part of the English or Chinese name, or the number, to find one",
        ),
        "result_bucket": Param(
            "wanx-results",
            type="string",
            pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
            title="S3 bucket for the results",
            description="Its name alone, without s3://. It must exist: nothing is submitted otherwise",
        ),
        "key": Param(
            "repainted/{run_id}/{style_name}/{source_name}_{dashscope_task_id}_{index}{extension}",
            type="string",
            pattern=r"^(?!s3:)[^/].*$",
            title="Key of each result",
            description="Fields in braces: {source_name} is the portrait's file name; see the transfer's documentation",
        ),
    },
) as dag:
    # [START howto_repaint_folder]
    @task
    def pictures(params: dict[str, Any]) -> list[str]:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # heavy: not for DAG parsing

        s3, prefix = S3Hook("aws_default"), params["prefix"] or ""
        for bucket in (params["bucket"], params["result_bucket"]):
            if not s3.check_for_bucket(bucket):
                raise AirflowFailException(
                    f"There is no bucket {bucket}, or the connection aws_default may not use it. "
                    "Create it, or correct its name."
                )
        keys = s3.list_keys(bucket_name=params["bucket"], prefix=prefix)
        found = [f"s3://{params['bucket']}/{key}" for key in keys if key.lower().endswith(SUFFIXES)]
        if not found:
            raise AirflowFailException(
                f"No picture under s3://{params['bucket']}/{prefix}. Put some there ({', '.join(SUFFIXES)}), "
                "or correct bucket and prefix."
            )
        return found

    # Copy number n of a task in the group below has the n-th picture; its name is the last part of the URL.
    name = "{{ ti.xcom_pull(task_ids='pictures', map_indexes=-1)[ti.map_index].rpartition('/')[2] }}"

    @task_group(default_args={"map_index_template": name})
    def repaint(image: str) -> None:
        submit = WanxStyleRepaintOperator(task_id="submit", image=image, style="{{ params.style }}")
        wait = DashScopeTaskSensor(task_id="wait", dashscope_task_id=submit.output, timeout=4 * 3600)
        DashScopeToS3Operator(
            task_id="copy",
            dashscope_task_id=wait.output,
            s3_bucket="{{ params.result_bucket }}",
            s3_key="{{ params.key }}",
        )

    repaint.expand(image=pictures())
    # [END howto_repaint_folder]
