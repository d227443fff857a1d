"""The trigger: waits for tasks in the triggerer, holding no worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wanx.dashscope.errors import DashScopeError
from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL, TaskWait
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.waiting import outcome_event


class DashScopeTaskTrigger(BaseTrigger):
    """Wait until every one of some DashScope tasks has ended, and send one event.

    Its arguments are stored in Airflow's database as plain text, so they carry ids and numbers only: the key is read from
    the connection when the trigger runs. The event carries ids, states and messages; results are fetched again by whoever
    needs them, since their URLs may be signed.

    :param dashscope_task_ids: the service's ids of the tasks.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param poll_interval: seconds between two looks at one task.
    :param end_time: deadline, as wall-clock seconds since 1970; None for none. It survives restarts of the triggerer.
    """

    def __init__(
        self,
        *,
        dashscope_task_ids: list[str],
        dashscope_conn_id: str = DashScopeHook.default_conn_name,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        end_time: float | None = None,
    ) -> None:
        super().__init__()
        self.dashscope_task_ids = dashscope_task_ids
        self.dashscope_conn_id = dashscope_conn_id
        self.poll_interval = poll_interval
        self.end_time = end_time

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, from which any triggerer can make this trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "dashscope_task_ids": self.dashscope_task_ids,
                "dashscope_conn_id": self.dashscope_conn_id,
                "poll_interval": self.poll_interval,
                "end_time": self.end_time,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield one event; see :func:`~airflow_provider_wanx.waiting.outcome_event` for what is in it."""
        from airflow_provider_wanx.dashscope.watcher import Outcome, watch_tasks  # needs httpx, DAG parsing does not

        waits = [TaskWait(task_id, self.poll_interval, self.end_time) for task_id in self.dashscope_task_ids]
        async with DashScopeHook(self.dashscope_conn_id) as hook:
            try:
                outcome = await watch_tasks(await hook.aget_conn(), waits)
            except DashScopeError as error:
                outcome = Outcome(given_up=dict.fromkeys(self.dashscope_task_ids, error))
        yield TriggerEvent(outcome_event(outcome))
