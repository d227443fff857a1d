"""Waiting for tasks from a worker: deferred or not, by operator or by sensor, with one way to tell how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.polling import TaskWait, check_outcome
from airflow_provider_wanx.exceptions import airflow_error, airflow_errors
from airflow_provider_wanx.hooks.dashscope import client_config
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger, outcome_event

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wanx.dashscope.config import ClientConfig
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook

BACKSTOP = 600.0
"""Seconds past the deadline at which Airflow itself ends a deferral, should the triggerer not have done so."""


class WaitingTask(Protocol):
    """The part of an operator or a sensor that its trigger is made from."""

    dashscope_conn_id: str
    poll_interval: float
    cancel_on_kill: bool


@dataclass(frozen=True)
class Deadline:
    """When a wait is over.

    :param end_time: wall-clock seconds since 1970, because a deferred wait moves between machines and processes.
    :param by_execution_timeout: whether ``execution_timeout`` set it, which Airflow 3 does not enforce while deferred.
    """

    end_time: float
    by_execution_timeout: bool = False

    def seconds_left(self) -> float:
        """Seconds until then, 0 if it has passed."""
        return max(0.0, self.end_time - time.time())


class TaskWaitTimeout(AirflowException):
    """The deadline of a wait passed before every task had ended."""


def check_seconds(name: str, value: float | timedelta) -> float:
    """Read a length of time.

    :raises ValueError: it is not a positive number of seconds.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}.")
    return float(seconds)


def deadline(context: Context, *, seconds: float, execution_timeout: timedelta | None) -> Deadline:
    """Find out when a wait that begins now is over.

    :param seconds: longest wait.
    :param execution_timeout: of the Airflow task, counted from the start of its current try.
    """
    now = time.time()
    if execution_timeout is not None:
        started = context["ti"].start_date
        limit = (now if started is None else started.timestamp()) + execution_timeout.total_seconds()
        if limit < now + seconds:
            return Deadline(limit, by_execution_timeout=True)
    return Deadline(now + seconds)


def make_trigger(task: WaitingTask, ids: Sequence[str], limit: Deadline) -> DashScopeTaskTrigger:
    """Make the trigger that waits for an operator or a sensor."""
    return DashScopeTaskTrigger(
        dashscope_task_ids=list(ids),
        dashscope_conn_id=task.dashscope_conn_id,
        poll_interval=task.poll_interval,
        end_time=limit.end_time,
        cancel_on_kill=task.cancel_on_kill,
        end_from_trigger=getattr(task, "end_from_trigger", False),
    )


def deferral_timed_out(next_method: str, next_kwargs: Mapping[str, Any] | None) -> bool:
    """Tell whether Airflow resumes a task only to fail it, because its deferral took too long.

    :param next_method: as ``resume_execution`` gets it.
    :param next_kwargs: likewise.
    """
    return next_method == "__fail__" and (next_kwargs or {}).get("error") == "Trigger timeout"


def raise_timeout(error: TaskWaitTimeout, by_execution_timeout: bool) -> NoReturn:
    """Raise what a user expects of the limit that was reached."""
    if by_execution_timeout:
        raise AirflowTaskTimeout(str(error)) from None
    raise error


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
    from airflow_provider_wanx.dashscope.sharing import watch_tasks

    async def config_now() -> ClientConfig:
        connection = await asyncio.to_thread(hook.get_connection, hook.dashscope_conn_id)
        return client_config(connection)

    waits = [TaskWait(task_id, poll_interval, end_time) for task_id in ids]
    return outcome_event(asyncio.run(watch_tasks(hook.get_conn().config, waits, renew=config_now)))


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
