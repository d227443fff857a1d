"""Tasks with the retry policy, which Airflow before 3.3 does not have."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import dag, task
from shapes import ARGUMENTS, PARAMS, chain

from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.retry_policies.dashscope import DashScopeRetryPolicy

chain("chain_patient", submit={"retries": 0, "retry_policy": DashScopeRetryPolicy()}, wait={})


@dag(
    schedule=None,
    params=PARAMS,
    default_args={"retries": ARGUMENTS["retries"], "retry_delay": ARGUMENTS["retry_delay"]},
)
def own_task() -> None:
    """Call the hook in a task of one's own."""

    @task(retry_policy=DashScopeRetryPolicy())
    def own(params: dict[str, Any]) -> str:
        with DashScopeHook(params["row"]) as hook:
            submission = hook.submit_task(
                service="aigc/image-generation/generation",
                model="wanx-style-repaint-v1",
                input={"image_url": params["image"], "style_index": 3},
            )
        return submission.task_id

    own()  # type: ignore[call-arg, misc]


own_task()
