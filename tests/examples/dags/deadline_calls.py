"""What is called when a run is not done in time."""

# [START callback]
from __future__ import annotations

import logging
from typing import Any

from airflow_provider_wanx.hooks.dashscope import DashScopeHook

logger = logging.getLogger(__name__)


async def tell_what_waits(dashscope_conn_id: str, context: dict[str, Any] | None = None) -> str:
    """Say how many tasks of the account wait at the service, and how many it works on; here a mail could be sent."""
    async with DashScopeHook(dashscope_conn_id) as hook:
        counts = {status: (await hook.alist_tasks(status=status)).total for status in ("PENDING", "RUNNING")}
    run_id = ((context or {}).get("dag_run") or {}).get("dag_run_id")
    words = f"Run {run_id} is late: {counts['PENDING']} tasks wait at DashScope, {counts['RUNNING']} run."
    logger.warning(words)
    return words


# [END callback]
