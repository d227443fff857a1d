"""The base of operators that can wait for DashScope tasks after they have done something."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT_SECONDS
from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL_SECONDS
from airflow_provider_wanx.deferral.arguments import check_switches
from airflow_provider_wanx.deferral.deadline import check_seconds, deadline
from airflow_provider_wanx.deferral.wait import DashScopeWait
from airflow_provider_wanx.exceptions import airflow_errors
from airflow_provider_wanx.hooks.dashscope import DashScopeHook, cancel_tasks

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

DEFAULT_WAIT_TIMEOUT = timedelta(seconds=QUEUE_TIMEOUT_SECONDS, hours=1)
"""Longest wait by default. By then the service has given up a task that is still queued, and one that runs takes seconds."""


class DashScopeWaitingOperator(DashScopeWait, BaseOperator):
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
        poll_interval: float = DEFAULT_POLL_INTERVAL_SECONDS,
        wait_timeout: float | timedelta = DEFAULT_WAIT_TIMEOUT,
        cancel_on_kill: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_switches(
            wait_for_completion=wait_for_completion, deferrable=deferrable, cancel_on_kill=cancel_on_kill
        )
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
            self.defer_until(ids, limit)
        self._in_flight = tuple(ids)
        self.wait_here(hook, ids, limit)
        self._in_flight = ()

    def on_kill(self) -> None:
        """Cancel what this worker is waiting for."""
        if self.cancel_on_kill and self._in_flight:
            with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
                cancel_tasks(hook, self._in_flight, self.log)
