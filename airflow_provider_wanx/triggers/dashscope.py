"""The trigger: waits for tasks in the triggerer, holding no worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wanx.dashscope.errors import DashScopeError, WaitTimeoutError
from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL, TaskWait
from airflow_provider_wanx.hooks.dashscope import DashScopeHook, cancel_outcome
from airflow_provider_wanx.version_compat import DEFERRED, task_state

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.watcher import Outcome


def outcome_event(outcome: Outcome) -> dict[str, Any]:
    """Put the outcome of a wait into a trigger's event, which Airflow logs and stores.

    :return: ``statuses``: task id → state of the tasks that ended; ``errors``: task id → message for those that were
        given up; ``timed_out``: whether the deadline was the reason; ``retryable``: whether waiting again can help.
    """
    errors = outcome.given_up
    return {
        "statuses": {task_id: str(task.status) for task_id, task in outcome.ended.items()},
        "errors": {task_id: str(error) for task_id, error in errors.items()},
        "timed_out": any(isinstance(error, WaitTimeoutError) for error in errors.values()),
        "retryable": all(error.retryable for error in errors.values()),
    }


class DashScopeTaskTrigger(BaseTrigger):
    """Wait until every one of some DashScope tasks has ended, and send one event.

    Its arguments are stored in Airflow's database as plain text, so they carry ids and numbers only: the key is read from
    the connection when the trigger runs. The event carries ids, states and messages; results are fetched again by whoever
    needs them, since their URLs may be signed.

    :param dashscope_task_ids: the service's ids of the tasks.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param poll_interval: seconds between two looks at one task.
    :param end_time: deadline, as wall-clock seconds since 1970; None for none. It survives restarts of the triggerer.
    :param cancel_on_kill: whether to cancel tasks that are still queued at the service when a person clears the Airflow task
        or marks it as ended.
    """

    def __init__(
        self,
        *,
        dashscope_task_ids: list[str],
        dashscope_conn_id: str = DashScopeHook.default_conn_name,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        end_time: float | None = None,
        cancel_on_kill: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dashscope_task_ids = dashscope_task_ids
        self.dashscope_conn_id = dashscope_conn_id
        self.poll_interval = poll_interval
        self.end_time = end_time
        self.cancel_on_kill = cancel_on_kill

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, from which any triggerer can make this trigger again."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "dashscope_task_ids": self.dashscope_task_ids,
                "dashscope_conn_id": self.dashscope_conn_id,
                "poll_interval": self.poll_interval,
                "end_time": self.end_time,
                "cancel_on_kill": self.cancel_on_kill,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield one event; see :func:`outcome_event` for what is in it."""
        from airflow_provider_wanx.dashscope.watcher import Outcome  # needs httpx, DAG parsing does not

        try:
            outcome = await self._watch()
        except DashScopeError as error:
            outcome = Outcome(given_up=dict.fromkeys(self.dashscope_task_ids, error))
        yield TriggerEvent(outcome_event(outcome))

    async def _watch(self) -> Outcome:
        """Wait; where the key is refused, read the connection again before giving up: it may have been rotated."""
        from airflow_provider_wanx.dashscope.watcher import Outcome, key_refused, watch_tasks

        outcome, config = Outcome(), None
        waits = [TaskWait(task_id, self.poll_interval, self.end_time) for task_id in self.dashscope_task_ids]
        while waits:
            async with DashScopeHook(self.dashscope_conn_id) as hook:
                client = await hook.aget_conn()
                if client.config == config:
                    break
                config = client.config
                outcome.add(await watch_tasks(client, waits))
            waits = key_refused(outcome, waits)
        return outcome

    async def on_kill(self) -> None:
        """Cancel what is still queued at the service, if a person has acted on the Airflow task.

        Airflow calls this too when the trigger merely moves to another triggerer; then the task is still deferred.
        """
        if not self.cancel_on_kill or await self._still_deferred():
            return
        async with DashScopeHook(self.dashscope_conn_id) as hook:
            for task_id in self.dashscope_task_ids:
                try:
                    outcome = cancel_outcome(task_id, await hook.acancel_task(task_id))
                except DashScopeError as error:
                    outcome = f"DashScope task {task_id} could not be canceled: {error}"
                self.log.info(outcome)

    async def _still_deferred(self) -> bool:
        ti = self.task_instance
        if ti is None:
            return False
        return await task_state(ti) == DEFERRED
