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
    render_template_as_native_obj=True,
    params={
        "prompt": Param("A lighthouse on a cliff, watercolour", type="string", minLength=1, title="Prompt"),
        "n": Param(2, type="integer", minimum=1, maximum=4, title="Number of pictures"),
        "bucket": Param("wanx-results", type="string", minLength=3, title="S3 bucket for the results"),
    },
) as dag:
    # [START howto_any_model]
    paint = DashScopeSubmitTaskOperator(
        task_id="paint",
        service="aigc/text2image/image-synthesis",
        model="wanx2.1-t2i-turbo",
        input={"prompt": "{{ params.prompt }}"},
        parameters={"size": "1024*1024", "n": "{{ params.n }}"},
        wait_for_completion=True,
        deferrable=True,
    )
    copy = DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=paint.output,
        s3_bucket="{{ params.bucket }}",
        s3_key="painted/{run_id}/{dashscope_task_id}_{index}{extension}",
    )
    # [END howto_any_model]
