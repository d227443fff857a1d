"""A task of one's own that submits with the hook."""

from __future__ import annotations

# [START own_call]
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor

with DAG(dag_id="own_call", schedule=None) as dag:

    @task
    def submit() -> str:
        with DashScopeHook() as hook:
            submission = hook.submit_task(
                service="aigc/text2image/image-synthesis",
                model="wanx2.1-t2i-turbo",
                input={"prompt": "A lighthouse on a cliff"},
                parameters={"n": 1},
            )
        return submission.task_id

    DashScopeTaskSensor(task_id="wait", dashscope_task_id=submit(), poll_interval=5)
# [END own_call]
