"""What every operator that waits for DashScope tasks shares: waiting, deferred or not, and stopping."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL
from airflow_provider_wanx.exceptions import airflow_errors
from airflow_provider_wanx.hooks.dashscope import DashScopeHook, cancel_tasks
from airflow_provider_wanx.waiting import (
    BACKSTOP,
    TaskWaitTimeout,
    check_event,
    check_seconds,
    deadline,
    deferral_timed_out,
    make_trigger,
    raise_timeout,
    wait_here,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

DEFAULT_WAIT_TIMEOUT = timedelta(hours=4)
"""Longest wait by default: the service gives up a queued task after 3 hours, and one that runs takes seconds."""


class DashScopeWaitingOperator(BaseOperator):
    """Base of operators that can wait for DashScope tasks.

    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param wait_for_completion: whether to wait for the task before this one ends.
    :param deferrable: whether to wait in the triggerer, holding no worker.
    :param poll_interval: seconds between two looks at a task.
    :param wait_timeout: longest wait, in seconds or as a timedelta. ``execution_timeout`` ends a wait too, deferred or not.
    :param cancel_on_kill: whether to cancel tasks that are still queued at the service when this task is killed, cleared,
        marked as ended, or out of time.
    """

    def __init__(
        self,
        *,
        dashscope_conn_id: str = DashScopeHook.default_conn_name,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        wait_timeout: float | timedelta = DEFAULT_WAIT_TIMEOUT,
        cancel_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dashscope_conn_id = dashscope_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        # A wait that cannot be deferred must be found out here, not after something was paid for.
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.wait_timeout = check_seconds("wait_timeout", wait_timeout)
        self.cancel_on_kill = cancel_on_kill
        self._in_flight: tuple[str, ...] = ()

    def wait_for(self, context: Context, hook: DashScopeHook, ids: Sequence[str]) -> None:
        """Wait until all tasks have succeeded: on this worker, or by deferring to :meth:`execute_complete`.

        :raises AirflowException: one has not, or the time is over.
        """
        limit = deadline(context, seconds=self.wait_timeout, execution_timeout=self.execution_timeout)
        if self.deferrable:
            self.defer(
                trigger=make_trigger(self, ids, limit),
                method_name="execute_complete",
                kwargs={"by_execution_timeout": limit.by_execution_timeout},
                timeout=timedelta(seconds=limit.seconds_left() + BACKSTOP),
            )
        self._in_flight = tuple(ids)
        event = wait_here(hook, ids, poll_interval=self.poll_interval, end_time=limit.end_time)
        self._in_flight = ()
        self._check(event, hook, ids, limit.by_execution_timeout)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, by_execution_timeout: bool = False
    ) -> Any:
        """Go on after a deferred wait.

        :param event: see :func:`~airflow_provider_wanx.triggers.dashscope.outcome_event`.
        :param by_execution_timeout: whether ``execution_timeout`` set the deadline.
        """
        with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            ids = self.awaited_ids(context)
            self._check(event, hook, ids, by_execution_timeout)
            return self.finish(context, hook, ids)

    def _check(
        self,
        event: dict[str, Any] | None,
        hook: DashScopeHook,
        ids: Sequence[str],
        by_execution_timeout: bool,
    ) -> None:
        try:
            check_event(event, hook)
        except TaskWaitTimeout as error:
            if self.cancel_on_kill:
                cancel_tasks(hook, ids, self.log)
            raise_timeout(error, by_execution_timeout)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Cancel what is still queued if Airflow itself has ended the deferral, which calls no method of ours."""
        if self.cancel_on_kill and deferral_timed_out(next_method, next_kwargs):
            with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
                cancel_tasks(hook, self.awaited_ids(context), self.log)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Cancel what this worker is waiting for."""
        if self.cancel_on_kill and self._in_flight:
            with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
                cancel_tasks(hook, self._in_flight, self.log)

    def awaited_ids(self, context: Context) -> list[str]:
        """Return the ids of the tasks that this one waits for."""
        raise TypeError(f"{type(self).__name__} does not say what it waits for.")

    def finish(self, context: Context, hook: DashScopeHook, ids: Sequence[str]) -> Any:
        """Do what is to be done once the tasks have succeeded.

        :param ids: the tasks' ids.
        :return: the operator's result.
        """
        raise TypeError(f"{type(self).__name__} does not say what follows the wait.")
