"""Wait for DashScope tasks, whoever submitted them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_wanx.arguments import check_seconds, check_switches, task_ids
from airflow_provider_wanx.dashscope.errors import NewStatusError
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import (
    DEFAULT_POLL_INTERVAL_SECONDS,
    Decision,
    Ended,
    TaskWait,
    Wait,
    check_outcome,
)
from airflow_provider_wanx.dashscope.waiting.progress import (
    LINE_EVERY_SECONDS,
    LINES_EACH,
    how_it_ended,
    observe_end,
)
from airflow_provider_wanx.deferral import DashScopeWait, deadline, ended_by_airflow, start_in_triggerer
from airflow_provider_wanx.exceptions import reports_failure
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.lineage.lineage import Lineage, made_by, task_address
from airflow_provider_wanx.links.dashscope import SUBMIT_LINKS, base_url_of, show_task_links
from airflow_provider_wanx.version_compat import first_poke

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class DashScopeTaskSensor(DashScopeWait, BaseSensorOperator):
    """Wait until one DashScope task, or every one of a list, has succeeded.

    It defers by default, so that it holds no worker while the service works. Retrying it never submits anything. It
    returns what it was given, so that the next task can take its output: an id for an id, a list for a list.

    The sensor fails, without retries, when a task is FAILED, CANCELED, or UNKNOWN to the service (wrong id, other account, or
    deleted 24 hours after it was made), but only once all tasks of a list have ended. Its message names the Airflow task to
    clear in order to submit again. ``timeout``, ``soft_fail`` and ``never_fail`` mean what they mean for every sensor.

    .. seealso:: the guide :doc:`/sensor`.

    :param dashscope_task_id: the service's id, or a list of them.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param poll_interval: seconds between two looks at one task; also the ``poke_interval`` where the sensor pokes.
    :param cancel_on_kill: whether to cancel tasks that are still queued at the service when the deferred sensor is cleared,
        marked as ended, or out of time. The tasks are not the sensor's own, so by default it leaves them alone.
    :param deferrable: False to poke from a worker (``mode`` poke or reschedule) instead.
    :param start_from_trigger: whether to begin in the triggerer, so that no worker is needed to start waiting; Airflow 3.3
        and later, not for mapped sensors. ``dashscope_task_id`` must be a template with ``map_indexes``.
    """

    template_fields: Sequence[str] = ("dashscope_task_id", "dashscope_conn_id")
    operator_extra_links = SUBMIT_LINKS
    ui_color = "#d9ecf5"
    timeout_error = AirflowSensorTimeout
    texts: ClassVar[Mapping[str, str | None]] = {"dashscope_conn_id": DashScopeHook.default_conn_name}

    def __init__(
        self,
        *,
        dashscope_task_id: str | list[str],
        dashscope_conn_id: str = DashScopeHook.default_conn_name,
        poll_interval: float = DEFAULT_POLL_INTERVAL_SECONDS,
        deferrable: bool = True,
        cancel_on_kill: bool = False,
        start_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        check_switches(
            deferrable=deferrable,
            cancel_on_kill=cancel_on_kill,
            start_from_trigger=start_from_trigger,
        )
        seconds = check_seconds("poll_interval", poll_interval)
        super().__init__(**{"poke_interval": seconds, **kwargs})
        self.dashscope_task_id = dashscope_task_id
        self.dashscope_conn_id = dashscope_conn_id
        self.poll_interval = seconds
        self.deferrable = deferrable
        self.cancel_on_kill = cancel_on_kill
        self._said: list[TaskStatus] = []
        self._next_line_at = 0.0
        self._waits: dict[str, TaskWait] = {}
        if start_from_trigger:
            if not deferrable:
                raise AirflowException(f"{self.task_id}: start_from_trigger needs deferrable=True.")
            self.start_from_trigger = True
            self.start_trigger_args = start_in_triggerer(self, timeout=self.timeout)

    @reports_failure
    def execute(self, context: Context) -> Any:
        """Defer to the trigger, or poke."""
        with self.working(context):
            ids = self.awaited_ids(context)
        show_task_links(context, self, base_url_of(self.dashscope_conn_id), ids)
        if not self.deferrable:
            return super().execute(context)
        limit = deadline(context, seconds=self.timeout, execution_timeout=self.execution_timeout)
        self.defer_until(ids, limit)
        return None

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, by_execution_timeout: bool = False
    ) -> str | list[str]:
        """Return what was given, after a deferred wait.

        :param event: see :func:`~airflow_provider_wanx.triggers.dashscope.outcome_event`.
        :param by_execution_timeout: whether ``execution_timeout`` set the deadline.
        :raises AirflowException: a task has not succeeded, or the time is over.
        """
        with self.working(context) as hook:
            ids = self.awaited_ids(context)
            self.check_wait(event, hook, ids, by_execution_timeout=by_execution_timeout)
            return self._given(ids)

    @reports_failure
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """End as sensors of Airflow 3.1 and later do: before, not every end of a deferral is a timeout or skipped."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            if ended_by_airflow(next_method, next_kwargs) and not isinstance(error, AirflowSensorTimeout):
                raise AirflowSensorTimeout(str(error)) from error
            raise

    def lineage_at_start(self) -> Lineage:
        """Return the tasks that are waited for."""
        ids = tuple(task_ids(self.dashscope_task_id))
        return Lineage(inputs=tuple(map(task_address, ids)), dashscope_task_ids=ids)

    def _given(self, ids: list[str]) -> str | list[str]:
        return ids[0] if isinstance(self.dashscope_task_id, str) else ids

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at every task once."""
        with self.working(context) as hook:
            ids = self.awaited_ids(context)
            looks = [self._look(hook, self._wait_for(context, task_id)) for task_id in ids]
            tasks = [task for task, _ in looks]
            # A task so new that the service does not find it yet is not taken for one that is gone.
            ended = sum(isinstance(decision, Ended) for _, decision in looks)
            self._say_how_far(tasks, ended)
            if ended < len(tasks):
                return PokeReturnValue(is_done=False)
            for task in tasks:
                observe_end(task, time.time(), hook.get_conn().config.observe)
            self.add_lineage(dashscope_task_ids=tuple(ids), made=made_by(tasks))
            check_outcome(tasks)
            return PokeReturnValue(is_done=True, xcom_value=self._given(ids))

    def _say_how_far(self, tasks: Sequence[Task], ended: int) -> None:
        now, states = time.monotonic(), [task.status for task in tasks]
        if states == self._said or (len(tasks) > LINES_EACH and now < self._next_line_at):
            return
        self._said, self._next_line_at = states, now + LINE_EVERY_SECONDS
        if len(tasks) > LINES_EACH:
            self.log.info("%s of %s DashScope tasks have ended.", ended, len(tasks))
            return
        for task in tasks:
            self.log.info(
                "DashScope task %s is %s%s.", task.task_id, task.status, how_it_ended(task, time.time())
            )

    def _wait_for(self, context: Context, task_id: str) -> TaskWait:
        """What this process has seen of a task."""
        if task_id not in self._waits:
            # All that a rescheduled sensor knows of its earlier processes is when the first of them began.
            since = first_poke(context) if self.reschedule else None
            self._waits[task_id] = TaskWait(task_id, self.poll_interval, None, unknown_since=since)
        return self._waits[task_id]

    def _look(self, hook: DashScopeHook, wait: TaskWait) -> tuple[Task, Decision]:
        """Look at one task; as in a deferred wait, a state that nobody knows may pass, but not for long."""
        while True:
            try:
                task = hook.get_task(wait.task_id)
                return task, wait.after(task, now=time.time())
            except NewStatusError as error:
                decision = wait.after(error, now=time.time())
                if not isinstance(decision, Wait):
                    raise
            time.sleep(decision.seconds)
