"""Operators among tasks of one's own: styles are decided in one, and results are gone on with in another."""

from __future__ import annotations

# [START taskflow]
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

AFFORDABLE = 10


@dag(
    schedule=None,
    params={"portrait": "s3://portraits/ada.jpg", "styles": ["anime", "fresh", "anime"]},
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
)
def several_styles() -> None:
    @task
    def choose_styles(params: dict[str, Any]) -> list[str]:
        """Decide what to submit; the hook reads the same connection as the operators."""
        with DashScopeHook() as hook:
            waiting = hook.list_tasks(status="PENDING").total or 0
        wanted = list(dict.fromkeys(params["styles"]))
        return wanted[: max(AFFORDABLE - waiting, 1)]

    @task
    def report(manifests: list[list[dict[str, Any]]]) -> list[str]:
        """Go on with what was copied: each copy returns a list with an entry for every object."""
        return [f"s3://results/{entry['key']}" for manifest in manifests for entry in manifest]

    # One copy of the task for each style, however many there will be.
    repaint = WanxStyleRepaintOperator.partial(
        task_id="repaint",
        image="{{ params.portrait }}",
        wait_for_completion=True,
        deferrable=True,
    ).expand(style=choose_styles())

    # .output is an XComArg: it carries the value, and makes the one task follow the other.
    copy = DashScopeToS3Operator.partial(
        task_id="copy",
        s3_bucket="results",
        s3_key="several/{run_id}/{source_name}/{style_name}{extension}",
    ).expand(dashscope_task_id=repaint.output)

    report(copy.output)


dag = several_styles()
# [END taskflow]
