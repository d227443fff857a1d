"""The event that a trigger sends when its wait has ended: how it is made, and what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.dashscope.errors import DashScopeError, WaitTimeoutError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.polling import check_outcome
from airflow_provider_wanx.lineage.lineage import made_by

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.waiting.progress import Outcome
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook


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
