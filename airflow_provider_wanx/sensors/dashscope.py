"""Wait for DashScope tasks, whoever submitted them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, BaseSensorOperator, PokeReturnValue

from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL, UNKNOWN_GRACE, check_outcome
from airflow_provider_wanx.exceptions import airflow_errors
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger
from airflow_provider_wanx.waiting import BACKSTOP, TaskWaitTimeout, check_event, task_ids

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
    :param deferrable: False to poke from a worker (``mode`` poke or reschedule) instead.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"poke_interval": poll_interval, **kwargs})
        self.dashscope_task_id = dashscope_task_id
        self.dashscope_conn_id = dashscope_conn_id
        self.poll_interval = poll_interval
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Defer to the trigger, or poke."""
        with airflow_errors():
            ids = task_ids(self.dashscope_task_id)
        if not self.deferrable:
            return super().execute(context)
        self.defer(
            trigger=DashScopeTaskTrigger(
                dashscope_task_ids=ids,
                dashscope_conn_id=self.dashscope_conn_id,
                poll_interval=self.poll_interval,
                end_time=time.time() + self.timeout,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout + BACKSTOP),
        )
        return None

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str | list[str]:
        """Go on after the deferral.

        :param event: see :func:`~airflow_provider_wanx.waiting.outcome_event`.
        :raises AirflowSensorTimeout: ``timeout`` has passed.
        :raises AirflowException: a task has not succeeded.
        """
        with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            try:
                check_event(event, hook)
            except TaskWaitTimeout as error:
                raise AirflowSensorTimeout(str(error)) from None
        return self._result()

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at every task once."""
        with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            tasks = [self._look(hook, task_id) for task_id in task_ids(self.dashscope_task_id)]
            ended = [task for task in tasks if task.status.is_terminal]
            self.log.info("%s of %s DashScope tasks have ended.", len(ended), len(tasks))
            if len(ended) < len(tasks):
                return PokeReturnValue(is_done=False)
            check_outcome(tasks)
        return PokeReturnValue(is_done=True, xcom_value=self._result())

    def _look(self, hook: DashScopeHook, task_id: str) -> Task:
        task = hook.get_task(task_id)
        if task.status is TaskStatus.UNKNOWN:
            # A task so new that the service does not find it yet is not to be taken for one that is gone.
            time.sleep(UNKNOWN_GRACE)
            task = hook.get_task(task_id)
        return task

    def _result(self) -> str | list[str]:
        ids = task_ids(self.dashscope_task_id)
        return ids[0] if isinstance(self.dashscope_task_id, str) else ids
