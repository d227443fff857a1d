"""Wait for DashScope tasks, whoever submitted them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL, UNKNOWN_GRACE, check_outcome
from airflow_provider_wanx.exceptions import airflow_errors
from airflow_provider_wanx.hooks.dashscope import DashScopeHook, cancel_tasks
from airflow_provider_wanx.triggerer_only import check_end, check_start, start_args
from airflow_provider_wanx.waiting import (
    BACKSTOP,
    TaskWaitTimeout,
    check_event,
    check_seconds,
    deadline,
    deferral_timed_out,
    make_trigger,
    raise_timeout,
    task_ids,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class DashScopeTaskSensor(BaseSensorOperator):
    """Wait until one DashScope task, or every one of a list, has succeeded.

    It defers by default, so that it holds no worker while the service works. Retrying it never submits anything. It
    returns what it was given, so that the next task can take its output: an id for an id, a list for a list.

    The sensor fails when a task is FAILED, CANCELED, or UNKNOWN to the service (wrong id, other account, or deleted 24 hours
    after it was made), but only once all tasks of a list have ended. ``timeout`` and ``soft_fail`` mean what they mean for
    every sensor.

    .. seealso:: the guide :doc:`/sensor`.

    :param dashscope_task_id: the service's id, or a list of them.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param poll_interval: seconds between two looks at one task; also the ``poke_interval`` where the sensor pokes.
    :param cancel_on_kill: whether to cancel tasks that are still queued at the service when the deferred sensor is cleared,
        marked as ended, or out of time. The tasks are not the sensor's own, so by default it leaves them alone.
    :param deferrable: False to poke from a worker (``mode`` poke or reschedule) instead.
    :param start_from_trigger: whether to begin in the triggerer, so that no worker is needed to start waiting; Airflow 3.3
        and later, not for mapped sensors. ``dashscope_task_id`` must be a template with ``map_indexes``.
    :param end_from_trigger: whether to end there too, so that no worker is needed at all; the sensor then returns nothing,
        retries even what cannot succeed, and may have neither outlets nor ``soft_fail``; Airflow refuses it where listeners
        (such as OpenLineage) are installed.
    """

    template_fields: Sequence[str] = ("dashscope_task_id", "dashscope_conn_id")
    ui_color = "#d9ecf5"

    def __init__(
        self,
        *,
        dashscope_task_id: str | list[str],
        dashscope_conn_id: str = DashScopeHook.default_conn_name,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        deferrable: bool = True,
        cancel_on_kill: bool = False,
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"poke_interval": poll_interval, **kwargs})
        self.dashscope_task_id = dashscope_task_id
        self.dashscope_conn_id = dashscope_conn_id
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.deferrable = deferrable
        self.cancel_on_kill = cancel_on_kill
        self.end_from_trigger = end_from_trigger
        if (start_from_trigger or end_from_trigger) and not deferrable:
            raise AirflowException(
                f"{self.task_id}: start_from_trigger and end_from_trigger need deferrable=True."
            )
        if end_from_trigger:
            check_end(self.task_id, outlets=self.outlets, soft=self.soft_fail or self.never_fail)
        if start_from_trigger:
            check_start(self.task_id, dashscope_task_id)
            self.start_from_trigger = True
            self.start_trigger_args = start_args(
                timeout=self.timeout,
                dashscope_task_id=dashscope_task_id,
                dashscope_conn_id=dashscope_conn_id,
                poll_interval=self.poll_interval,
                cancel_on_kill=cancel_on_kill,
                end_from_trigger=end_from_trigger,
            )

    def execute(self, context: Context) -> Any:
        """Defer to the trigger, or poke."""
        with airflow_errors():
            ids = task_ids(self.dashscope_task_id)
        if not self.deferrable:
            return super().execute(context)
        limit = deadline(context, seconds=self.timeout, execution_timeout=self.execution_timeout)
        self.defer(
            trigger=make_trigger(self, ids, limit),
            method_name="execute_complete",
            kwargs={"by_execution_timeout": limit.by_execution_timeout},
            timeout=timedelta(seconds=limit.seconds_left() + BACKSTOP),
        )
        return None

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, by_execution_timeout: bool = False
    ) -> str | list[str]:
        """Go on after the deferral.

        :param event: see :func:`~airflow_provider_wanx.triggers.dashscope.outcome_event`.
        :param by_execution_timeout: whether ``execution_timeout`` set the deadline.
        :raises AirflowSensorTimeout: ``timeout`` has passed.
        :raises AirflowException: a task has not succeeded.
        """
        with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            try:
                check_event(event, hook)
            except TaskWaitTimeout as error:
                self._cancel(hook)
                if by_execution_timeout:
                    raise_timeout(error, by_execution_timeout)
                raise AirflowSensorTimeout(str(error)) from None
        return self._result()

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Cancel what is still queued if Airflow itself has ended the deferral, which calls no method of ours."""
        if self.cancel_on_kill and deferral_timed_out(next_method, next_kwargs):
            with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
                self._cancel(hook)
        return super().resume_execution(next_method, next_kwargs, context)

    def _cancel(self, hook: DashScopeHook) -> None:
        if self.cancel_on_kill:
            cancel_tasks(hook, task_ids(self.dashscope_task_id), self.log)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at every task once."""
        with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            tasks = self._look(hook, task_ids(self.dashscope_task_id))
            ended = [task for task in tasks if task.status.is_terminal]
            self.log.info("%s of %s DashScope tasks have ended.", len(ended), len(tasks))
            if len(ended) < len(tasks):
                return PokeReturnValue(is_done=False)
            check_outcome(tasks)
        return PokeReturnValue(is_done=True, xcom_value=self._result())

    def _look(self, hook: DashScopeHook, ids: Sequence[str]) -> list[Task]:
        tasks = [hook.get_task(task_id) for task_id in ids]
        unknown = any(task.status is TaskStatus.UNKNOWN for task in tasks)
        if unknown and all(task.status.is_terminal for task in tasks):
            # A task so new that the service does not find it yet is not to be taken for one that is gone.
            time.sleep(UNKNOWN_GRACE)
            tasks = [
                hook.get_task(task.task_id) if task.status is TaskStatus.UNKNOWN else task for task in tasks
            ]
        return tasks

    def _result(self) -> str | list[str]:
        ids = task_ids(self.dashscope_task_id)
        return ids[0] if isinstance(self.dashscope_task_id, str) else ids
