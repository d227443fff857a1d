"""A repaint that fails tells who can mend it, and the task after it goes by the reason."""

from __future__ import annotations

# [START failures]
from typing import Any

import httpx
from airflow.providers.common.compat.sdk import DAG, BaseNotifier, task

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator

WHO = {
    "input": "#editors",
    "content policy": "#editors",
    "billing": "#finance",
    "authentication": "#platform",
}


class TellWhoCanMend(BaseNotifier):
    """Post why a task has failed to the channel of those who can do something about it."""

    template_fields = ("webhook",)

    def __init__(self, webhook: str) -> None:
        super().__init__()
        self.webhook = webhook

    def notify(self, context: Any) -> None:
        error = context["exception"]
        kind = getattr(error, "kind", "")
        told = {
            "channel": WHO.get(kind, "#data"),
            "text": str(error),
            "request": getattr(error, "request_id", None),
        }
        httpx.post(self.webhook, json=told, timeout=10).raise_for_status()


with DAG(dag_id="failures", schedule=None, params={"portrait": "", "webhook": ""}) as dag:
    repaint = WanxStyleRepaintOperator(
        task_id="repaint",
        image="{{ params.portrait }}",
        style="anime",
        wait_for_completion=True,
        on_failure_callback=TellWhoCanMend("{{ params.webhook }}"),
    )

    @task.branch(trigger_rule="all_done")
    def decide(ti: Any = None) -> str | None:
        failure = ti.xcom_pull(task_ids="repaint", key="dashscope_failure")
        return "use_another_picture" if failure and failure["kind"] == "input" else None

    @task
    def use_another_picture() -> None:
        """Whatever is done about a picture that the model does not take."""

    repaint >> decide() >> use_another_picture()
# [END failures]
