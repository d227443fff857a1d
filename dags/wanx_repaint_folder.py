"""
### Repaint every portrait under an S3 prefix

List the pictures under a prefix and repaint each in a mapped task group, so that every picture goes its own way through
submit, wait and copy: one bad picture stops no other. In the UI, each copy of a task carries its picture's name.

*When to use:* some to some hundred pictures at a time.
*Needs:* connection `dashscope_default` with an API key; connection `aws_default` that may read the source and write the
results. The service fetches the pictures through presigned URLs, so it must be able to reach the bucket.
*Costs:* one image for each picture.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.amazon.aws.operators.s3 import S3ListOperator
from airflow.providers.common.compat.sdk import DAG, Param, task, task_group

from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

STYLES = [style.english for style in WanxStyle if style is not WanxStyle.REFERENCE_IMAGE]
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
            minLength=3,
            title="S3 bucket with the portraits",
            description="Put your own bucket here; this one exists in the demo only",
        ),
        "prefix": Param("portraits/", type="string", title="Prefix of the portraits"),
        "style": Param("fresh", type="string", enum=STYLES, title="Style"),
        "result_bucket": Param("wanx-results", type="string", minLength=3, title="S3 bucket for the results"),
    },
) as dag:
    # [START howto_repaint_folder]
    keys = S3ListOperator(task_id="list", bucket="{{ params.bucket }}", prefix="{{ params.prefix }}")

    @task
    def pictures(found: list[str], params: dict[str, str] | None = None) -> list[str]:
        bucket = (params or {})["bucket"]
        return [f"s3://{bucket}/{key}" for key in found if key.lower().endswith(SUFFIXES)]

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
            s3_key="repainted/{run_id}/{style_name}/{dashscope_task_id}_{index}{extension}",
        )

    repaint.expand(image=pictures(keys.output))
    # [END howto_repaint_folder]
