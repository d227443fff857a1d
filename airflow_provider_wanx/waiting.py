"""Waiting for tasks from a worker: deferred or not, by operator or by sensor, with one way to tell how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_wanx.dashscope.errors import InvalidInputError, WaitTimeoutError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.polling import TaskWait, check_outcome
from airflow_provider_wanx.exceptions import airflow_error, airflow_errors
from airflow_provider_wanx.hooks.dashscope import DashScopeHook

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.watcher import Outcome

BACKSTOP = 600.0
"""Seconds past the deadline at which Airflow itself ends a deferral, should the triggerer not have done so."""


class TaskWaitTimeout(AirflowException):
    """The deadline of a wait passed before every task had ended."""


def task_ids(value: object) -> list[str]:
    """Read what a user gives as ``dashscope_task_id``: one id, or any list of ids.

    :raises InvalidInputError: there is none, or something in it is not an id.
    """
    from airflow_provider_wanx.dashscope.endpoints import check_task_id

    ids = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    if not ids:
        raise InvalidInputError(f"dashscope_task_id {value!r} is neither an id nor a list of ids.")
    return list(dict.fromkeys(check_task_id(one) for one in ids))


def wait_here(
    hook: DashScopeHook, ids: Sequence[str], *, poll_interval: float, end_time: float | None
) -> dict[str, Any]:
    """Wait on this worker, with the same code that the trigger runs.

    :return: the event that the trigger would have sent.
    """
    from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient
    from airflow_provider_wanx.dashscope.watcher import watch_tasks

    async def wait() -> Outcome:
        async with AsyncDashScopeClient(hook.get_conn().config) as client:
            return await watch_tasks(client, [TaskWait(one, poll_interval, end_time) for one in ids])

    return outcome_event(asyncio.run(wait()))


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


def check_event(event: Mapping[str, Any] | None, hook: DashScopeHook) -> None:
    """Pass if every task of a wait has succeeded.

    :param event: what :func:`outcome_event` made.
    :param hook: fetches the reasons of failures, which are not in the event.
    :raises TaskWaitTimeout: the deadline passed.
    :raises AirflowException: a task has ended badly, or waiting failed; ``AirflowFailException`` if a retry is hopeless.
    """
    if event is None:
        raise AirflowException("The trigger sent no event.")
    if errors := event["errors"]:
        message = _summary(list(errors.values()))
        if event["timed_out"]:
            raise TaskWaitTimeout(message)
        raise airflow_error(message, retryable=event["retryable"])
    statuses: Mapping[str, str] = event["statuses"]
    bad = [task_id for task_id, status in statuses.items() if status != TaskStatus.SUCCEEDED]
    with airflow_errors():
        check_outcome([hook.get_task(task_id) for task_id in bad], succeeded=len(statuses) - len(bad))


def _summary(messages: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(messages))
    more = f" (and {len(distinct) - 5} more)" if len(distinct) > 5 else ""
    return " ".join(distinct[:5]) + more
