"""
### Run any asynchronous DashScope model

Here text to image: submit a prompt, wait in the same task (deferred, so no worker is held), copy all pictures to S3. Change
service path, model, input and parameters for any other asynchronous model.

*When to use:* for every model that has no operator of its own.
*Needs:* connection `dashscope_default` with an API key; connection `aws_default` that may write to the bucket.
*Costs:* `n` images.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

with DAG(
    dag_id="dashscope_any_model",
    schedule=None,
    catchup=False,
    tags=["dashscope"],
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "prompt": Param(
            "A lighthouse on a cliff, watercolour",
            type="string",
            minLength=1,
            title="Prompt",
            description="What the pictures are to show, in Chinese or English",
        ),
        "n": Param(
            2,
            type="integer",
            minimum=1,
            maximum=4,
            title="Number of pictures",
            description="1 to 4; each is billed",
        ),
        "bucket": Param(
            "wanx-results",
            type="string",
            pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
            title="S3 bucket for the results",
            description="Its name alone, without s3://. It must exist: nothing is submitted otherwise",
        ),
        "key": Param(
            "painted/{run_id}/{dashscope_task_id}_{index}{extension}",
            type="string",
            pattern=r"^(?!s3:)[^/].*$",
            title="Key of each result",
            description="Fields in braces, see the transfer's documentation",
        ),
    },
) as dag:
    # [START howto_any_model]
    paint = DashScopeSubmitTaskOperator(
        task_id="paint",
        service="aigc/text2image/image-synthesis",
        model="wanx2.1-t2i-turbo",
        input={"prompt": "{{ params.prompt }}"},
        parameters={"size": "1024*1024", "n": "{{ params.n }}"},
        result_bucket="{{ params.bucket }}",
        wait_for_completion=True,
        deferrable=True,
    )
    copy = DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=paint.output,
        s3_bucket="{{ params.bucket }}",
        s3_key="{{ params.key }}",
    )
    # [END howto_any_model]
