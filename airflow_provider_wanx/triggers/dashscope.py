"""The trigger: waits for tasks in the triggerer, holding no worker; and what the event means that it sends in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wanx.dashscope.api.endpoints import check_task_id
from airflow_provider_wanx.dashscope.errors import (
    DashScopeError,
    InvalidInputError,
    ProviderError,
    WaitTimeoutError,
)
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL_SECONDS, check_outcome
from airflow_provider_wanx.dashscope.waiting.progress import Outcome
from airflow_provider_wanx.hooks.connection import shared_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.jobs.submitting.submitter import cancel_outcome
from airflow_provider_wanx.lineage.lineage import made_by
from airflow_provider_wanx.metrics.tracing import span
from airflow_provider_wanx.version_compat import DEFERRED, own_xcom, task_state

SUBMITTED_KEY = "dashscope_task_id"
"""XCom key under which a submitting operator publishes an id as soon as it is known, before any wait."""

_CANCELLING: set[asyncio.Task[None]] = set()
"""What ``on_kill`` has begun. An event loop itself keeps no task alive."""


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
    :param dashscope_task_id: one id, instead of the list: for tasks that start in the triggerer, where only arguments named
        like the sensor's own are rendered.
    """

    arguments: ClassVar[tuple[str, ...]] = (
        "dashscope_task_ids", "dashscope_conn_id", "poll_interval", "end_time", "cancel_on_kill", "dashscope_task_id",
    )  # fmt: skip

    def __init__(
        self,
        *,
        dashscope_task_ids: list[str] | None = None,
        dashscope_conn_id: str = DashScopeHook.default_conn_name,
        poll_interval: float = DEFAULT_POLL_INTERVAL_SECONDS,
        end_time: float | None = None,
        cancel_on_kill: bool = False,
        dashscope_task_id: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dashscope_task_ids = dashscope_task_ids or []
        self.dashscope_task_id = dashscope_task_id
        self.dashscope_conn_id = dashscope_conn_id
        self.poll_interval = poll_interval
        self.end_time = end_time
        self.cancel_on_kill = cancel_on_kill

    @property
    def _ids(self) -> list[str]:
        return self.dashscope_task_ids or ([self.dashscope_task_id] if self.dashscope_task_id else [])

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments, from which any triggerer can make this trigger again."""
        arguments = {name: getattr(self, name) for name in self.arguments}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield one event; see :func:`outcome_event` for what is in it."""
        ids = self._ids
        try:
            if not ids:
                raise InvalidInputError("There is no dashscope_task_id to wait for.")
            outcome = await self.watch(end_time=self.end_time)
        except ProviderError as error:
            outcome = Outcome(given_up=dict.fromkeys(ids or ["(none)"], error))
        yield TriggerEvent(outcome_event(outcome))

    async def watch(self, **conditions: Any) -> Outcome:
        """Wait until the tasks have ended.

        :param conditions: of :func:`~airflow_provider_wanx.dashscope.waiting.poller.watch_tasks`.
        :raises ProviderError: the connection cannot be used, or an id is none.
        """
        from airflow_provider_wanx.dashscope.waiting.poller import (
            watch_tasks,  # needs httpx, DAG parsing does not
        )

        ids = [check_task_id(task_id) for task_id in self._ids]
        config = await shared_config(self.dashscope_conn_id)
        with span("wait", task_ids=ids):
            return await watch_tasks(
                config,
                ids,
                poll_interval=self.poll_interval,
                renew=partial(shared_config, self.dashscope_conn_id, anew=True),
                log=self.log.info,
                **conditions,
            )

    async def on_kill(self) -> None:
        """Cancel what is still queued at the service, if a person has acted on the Airflow task.

        Airflow calls this too when the trigger merely moves to another triggerer; then the task still waits. It also cancels
        this call again every second or so until it has returned: what was begun must come to its end all the same.
        """
        cancelling = asyncio.create_task(self._cancel_unless_wanted())
        _CANCELLING.add(cancelling)
        cancelling.add_done_callback(_CANCELLING.discard)
        await asyncio.shield(cancelling)

    async def _cancel_unless_wanted(self) -> None:
        if not self.cancel_on_kill or await self._still_wanted():
            return
        async with DashScopeHook(self.dashscope_conn_id) as hook:
            for task_id in self._ids:
                try:
                    outcome = cancel_outcome(task_id, await hook.acancel_task(task_id))
                except ProviderError as error:
                    outcome = f"DashScope task {task_id} could not be canceled: {error}"
                self.log.info(outcome)

    async def _still_wanted(self) -> bool:
        ti = self.task_instance
        if ti is None or await task_state(ti) != DEFERRED:
            return False
        # After a clear, a quick new try may have submitted anew and be deferred already: then this is another id, or REPLACED.
        return await own_xcom(ti, SUBMITTED_KEY) in (None, *self._ids)


def outcome_event(outcome: Outcome) -> dict[str, Any]:
    """Put the outcome of a wait into a trigger's event, which Airflow logs and stores.

    :return: ``statuses``: task id → state of the tasks that ended; ``errors``: task id → message for those that were
        given up; ``timed_out``: whether the deadline was the reason; ``retryable``: whether waiting again can help;
        ``made``: see :func:`~airflow_provider_wanx.lineage.lineage.made_by`.
    """
    errors = outcome.given_up
    return {
        "statuses": {task_id: str(task.status) for task_id, task in outcome.ended.items()},
        "errors": {task_id: str(error) for task_id, error in errors.items()},
        "timed_out": any(isinstance(error, WaitTimeoutError) for error in errors.values()),
        "retryable": all(error.retryable for error in errors.values()),
        "made": made_by(outcome.ended.values()),
    }


def check_event(event: Mapping[str, Any] | None, hook: DashScopeHook) -> None:
    """Pass if every task of a wait has succeeded.

    :param event: what :func:`outcome_event` made.
    :param hook: fetches the reasons of failures, which are not in the event.
    :raises WaitTimeoutError: the deadline passed.
    :raises DashScopeError: waiting failed.
    :raises TaskNotSucceededError: a task has ended badly.
    """
    if event is None:
        raise DashScopeError("The trigger sent no event.", retryable=True)
    if errors := event["errors"]:
        message = _summary(list(errors.values()))
        if event["timed_out"]:
            raise WaitTimeoutError(message)
        raise DashScopeError(message, retryable=event["retryable"])
    statuses: Mapping[str, str] = event["statuses"]
    bad = [task_id for task_id, status in statuses.items() if status != TaskStatus.SUCCEEDED]
    check_outcome([hook.get_task(task_id) for task_id in bad], succeeded=len(statuses) - len(bad))


def _summary(messages: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(messages))
    more = f" (and {len(distinct) - 5} more)" if len(distinct) > 5 else ""
    return " ".join(distinct[:5]) + more
