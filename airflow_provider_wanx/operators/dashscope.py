"""Submit tasks of any asynchronous DashScope model, and the waiting that operators share."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL
from airflow_provider_wanx.exceptions import airflow_errors
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger
from airflow_provider_wanx.waiting import BACKSTOP, check_event, wait_here

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

DEFAULT_WAIT_TIMEOUT = timedelta(hours=4)
"""Longest wait by default: the service gives up a queued task after 3 hours, and one that runs takes seconds."""

SUBMITTED_KEY = "dashscope_task_id"
"""XCom key under which an id is published as soon as it is known, before any wait."""


@dataclass(frozen=True)
class TaskRequest:
    """What is to be submitted.

    :param service: path below ``/api/v1/services``.
    :param model: the model's name.
    :param input: its input object.
    :param parameters: its parameters object, if it has one.
    """

    service: str
    model: str
    input: Mapping[str, Any]
    parameters: Mapping[str, Any] | None = None


class DashScopeWaitingOperator(BaseOperator):
    """Base of operators that can wait for DashScope tasks.

    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param wait_for_completion: whether to wait for the task before this one ends.
    :param deferrable: whether to wait in the triggerer, holding no worker.
    :param poll_interval: seconds between two looks at a task.
    :param wait_timeout: longest wait, in seconds or as a timedelta.
    """

    def __init__(
        self,
        *,
        dashscope_conn_id: str = DashScopeHook.default_conn_name,
        wait_for_completion: bool = False,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        wait_timeout: float | timedelta = DEFAULT_WAIT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dashscope_conn_id = dashscope_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout

    def wait_for(self, ids: Sequence[str], hook: DashScopeHook) -> None:
        """Wait until all tasks have succeeded: on this worker, or by deferring to :meth:`execute_complete`.

        :raises AirflowException: one has not, or the time is over.
        """
        seconds = float(
            self.wait_timeout.total_seconds() if isinstance(self.wait_timeout, timedelta) else self.wait_timeout
        )
        end_time = time.time() + seconds
        if self.deferrable:
            self.defer(
                trigger=DashScopeTaskTrigger(
                    dashscope_task_ids=list(ids),
                    dashscope_conn_id=self.dashscope_conn_id,
                    poll_interval=self.poll_interval,
                    end_time=end_time,
                ),
                method_name="execute_complete",
                timeout=timedelta(seconds=seconds + BACKSTOP),
            )
        check_event(wait_here(hook, ids, poll_interval=self.poll_interval, end_time=end_time), hook)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Go on after a deferred wait.

        :param event: see :func:`~airflow_provider_wanx.waiting.outcome_event`.
        """
        with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            check_event(event, hook)
            return self.finish(context, hook, list(event["statuses"]) if event else [])

    def finish(self, context: Context, hook: DashScopeHook, ids: Sequence[str]) -> Any:
        """Do what is to be done once the tasks have succeeded.

        :param ids: the tasks' ids.
        :return: the operator's result.
        """
        raise TypeError(f"{type(self).__name__} does not say what follows the wait.")


class DashScopeSubmitTaskOperator(DashScopeWaitingOperator):
    """Submit one task of any asynchronous DashScope model; returns the service's task id.

    Each accepted task may cost money. Waiting is best left to
    :class:`~airflow_provider_wanx.sensors.dashscope.DashScopeTaskSensor`, whose retries never submit again; with
    ``wait_for_completion=True`` the operator waits itself.

    .. seealso:: the guide :doc:`/operators`.

    :param service: path below ``/api/v1/services``, for example ``aigc/text2image/image-synthesis``.
    :param model: the model's name.
    :param input: the model's input object.
    :param parameters: the model's parameters object, where it has one.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param wait_for_completion: whether to wait for the task before this one ends.
    :param deferrable: whether to wait in the triggerer, holding no worker.
    :param poll_interval: seconds between two looks at the task.
    :param wait_timeout: longest wait, in seconds or as a timedelta.
    """

    template_fields: Sequence[str] = ("service", "model", "input", "parameters", "dashscope_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"input": "json", "parameters": "json"}
    ui_color = "#e8e4f8"

    def __init__(
        self,
        *,
        service: str,
        model: str,
        input: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.model = model
        self.input = input
        self.parameters = parameters

    def build_request(self, context: Context, hook: DashScopeHook) -> TaskRequest:
        """Make what is to be submitted, and check it as far as that can be done for nothing."""
        return TaskRequest(self.service, self.model, self.input, self.parameters)

    def execute(self, context: Context) -> Any:
        """Submit, publish the id, wait if asked to."""
        with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            request = self.build_request(context, hook)
            submission = hook.submit_task(
                service=request.service, model=request.model, input=request.input, parameters=request.parameters
            )
            self.log.info(
                "Submitted DashScope task %s of model %s (request id %s).",
                submission.task_id,
                request.model,
                submission.request_id,
            )
            context["ti"].xcom_push(key=SUBMITTED_KEY, value=submission.task_id)
            if self.wait_for_completion:
                self.wait_for([submission.task_id], hook)
            return submission.task_id

    def finish(self, context: Context, hook: DashScopeHook, ids: Sequence[str]) -> str:
        """Return the id that was submitted before the wait."""
        return ids[0]
