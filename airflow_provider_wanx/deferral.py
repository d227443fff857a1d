"""How operators and sensors wait for DashScope tasks: deferred or on their worker, until when, and how they go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, BaseOperator, conf

from airflow_provider_wanx.arguments import KeepsTypes, check_seconds, check_switches, task_ids
from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT_SECONDS
from airflow_provider_wanx.dashscope.errors import InvalidInputError, TaskNotSucceededError, WaitTimeoutError
from airflow_provider_wanx.dashscope.picture_address import on_one_line
from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL_SECONDS
from airflow_provider_wanx.exceptions import airflow_error, airflow_errors, reports_failure
from airflow_provider_wanx.hooks.connection import client_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.jobs.copying.result_metadata import Provenance
from airflow_provider_wanx.jobs.submitting.submitter import cancel_tasks
from airflow_provider_wanx.lineage.operators import LineageMixin
from airflow_provider_wanx.metrics.tracing import span
from airflow_provider_wanx.provenance import published_provenance
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger, check_event, outcome_event
from airflow_provider_wanx.version_compat import AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import StartTriggerArgs

    from airflow_provider_wanx.dashscope.config import ClientConfig
    from airflow_provider_wanx.dashscope.waiting.progress import Outcome
    from airflow_provider_wanx.jobs.protocols import Log

    _Task = BaseOperator
else:
    # A mixin: a base class of Airflow's here would hide the sensor's own constructor.
    _Task = object

DEFAULT_WAIT_TIMEOUT = timedelta(seconds=QUEUE_TIMEOUT_SECONDS, hours=1)
"""Longest wait by default. By then the service has given up a task that is still queued, and one that runs takes seconds."""

TRIGGER_TIMEOUT_MARGIN_SECONDS = 600.0
"""Seconds past the deadline at which Airflow itself ends a deferral, should the triggerer not have done so."""

_TIMED_OUT = ("Trigger timeout", "Trigger/execution timeout")
"""What Airflow says when it has ended a deferral itself: Airflow 3 and 2."""


@dataclass(frozen=True)
class Deadline:
    """When a wait is over.

    :param end_time: wall-clock seconds since 1970. A deferred wait moves between machines, so no monotonic clock will do.
    :param by_execution_timeout: whether ``execution_timeout`` set it. Airflow 3 does not enforce that while a task is deferred.
    """

    end_time: float
    by_execution_timeout: bool = False


def deadline(context: Context, *, seconds: float, execution_timeout: timedelta | None) -> Deadline:
    """Compute when a wait that begins now is over.

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


def ended_by_airflow(next_method: str, next_kwargs: dict[str, Any] | None) -> bool:
    """Tell whether Airflow itself has ended a deferral because its time was over.

    :param next_method: the method with which Airflow resumes the task.
    :param next_kwargs: the arguments of that method.
    """
    return next_method == "__fail__" and (next_kwargs or {}).get("error") in _TIMED_OUT


class DashScopeWait(KeepsTypes, LineageMixin, _Task):
    """What every operator and sensor shares that waits for DashScope tasks.

    ``submits`` tells whether it is also the one that submits, so that clearing it submits again.
    """

    dashscope_conn_id: str
    dashscope_task_id: str | list[str]
    poll_interval: float
    cancel_on_kill: bool
    submits: bool = False
    timeout_error: type[AirflowException] = AirflowException

    def awaited_ids(self, context: Context) -> list[str]:
        """Return the ids of the tasks to wait for."""
        return task_ids(self.dashscope_task_id)

    @contextmanager
    def working(self, context: Context) -> Iterator[DashScopeHook]:
        """Read the arguments and open the hook; let every error of this package leave the block as Airflow's.

        Its message names the Airflow task to clear where that helps, and the pictures that it is about.
        """
        try:
            with airflow_errors(again=self.how_to_submit_again):
                self.read_arguments()
                with DashScopeHook(self.dashscope_conn_id) as hook:
                    yield hook
        except (AirflowException, AirflowTaskTimeout) as error:
            if pictures := self._pictures_of(str(error), context):
                error.args = (f"{error} {pictures}",)
            if getattr(self, "soft_fail", False) or getattr(self, "never_fail", False):
                # Airflow skips such a sensor, and does not say why.
                self.log.warning("%s", error)
            raise

    def provenance(self, context: Context, ids: Sequence[str]) -> dict[str, Provenance]:
        """Find what tasks were made from; what is not known is missing. It is no reason to fail."""
        try:
            return published_provenance(context, ids, submitters=self._submitters())
        except Exception as error:  # noqa: BLE001 - an XCom backend may raise anything, and what was paid for goes first
            self.log.warning("It cannot be found out what the tasks were made from: %r", error)
            return {}

    def provenance_of_message(self, message: str, context: Context, *, most: int = 5) -> list[Provenance]:
        """Find what the tasks were made from that a message is about.

        :param most: tasks that it is found out for; a message names no more.
        """
        try:
            ids = self.awaited_ids(context)
        except InvalidInputError:
            return []
        if len(ids) > 1:
            ids = [task_id for task_id in ids if task_id in message][:most]
        return list(self.provenance(context, ids).values()) if ids else []

    def _pictures_of(self, message: str, context: Context) -> str:
        made_from = self.provenance_of_message(message, context)
        sources = dict.fromkeys(each.source for each in made_from if each.source)
        names = ", ".join(name for name in map(on_one_line, sources) if name not in message)
        return f"{'Picture' if len(sources) == 1 else 'Pictures'}: {names}" if names else ""

    def _submitters(self) -> list[str]:
        above = self.get_flat_relatives(upstream=True) if self.has_dag() else ()  # type: ignore[no-untyped-call]
        return sorted(
            task.task_id for task in above if getattr(getattr(task, "operator_class", task), "submits", False)
        )

    def how_to_submit_again(self) -> str:
        """Say which Airflow task to clear so that the awaited tasks' input is submitted again."""
        if found := self._submitters():
            return f"To submit again, clear the Airflow task {' or '.join(found)}, and all after it."
        ids = sorted(self.upstream_task_ids)
        known = f" (right before this one: {', '.join(ids)})" if ids else ""
        return f"To submit again, clear the Airflow task that submitted it{known}, and all after it."

    def _say_what_is_awaited(self, ids: Sequence[str], limit: Deadline) -> None:
        self.log.info(
            "Waiting for %s until %s%s.",
            f"DashScope task {ids[0]}" if len(ids) == 1 else f"{len(ids)} DashScope tasks",
            datetime.fromtimestamp(limit.end_time, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            ", when execution_timeout is over" if limit.by_execution_timeout else "",
        )

    def defer_until(self, ids: Sequence[str], limit: Deadline) -> None:
        """Leave the worker, and go on in ``execute_complete`` when the tasks have ended or the deadline has come."""
        self._say_what_is_awaited(ids, limit)
        seconds = max(0.0, limit.end_time - time.time()) + TRIGGER_TIMEOUT_MARGIN_SECONDS
        self.defer(
            trigger=DashScopeTaskTrigger(
                dashscope_task_ids=list(ids),
                dashscope_conn_id=self.dashscope_conn_id,
                poll_interval=self.poll_interval,
                end_time=limit.end_time,
                cancel_on_kill=self.cancel_on_kill,
            ),
            method_name="execute_complete",
            kwargs={"by_execution_timeout": limit.by_execution_timeout},
            timeout=timedelta(seconds=seconds),
        )

    def wait_here(self, hook: DashScopeHook, ids: Sequence[str], limit: Deadline) -> None:
        """Wait on this worker, with the code that the trigger runs."""
        self._say_what_is_awaited(ids, limit)
        outcome = wait_on_worker(
            hook, ids, poll_interval=self.poll_interval, end_time=limit.end_time, log=self.log
        )
        self.check_wait(outcome_event(outcome), hook, ids, by_execution_timeout=limit.by_execution_timeout)

    def check_wait(
        self,
        event: Mapping[str, Any] | None,
        hook: DashScopeHook,
        ids: Sequence[str],
        *,
        by_execution_timeout: bool,
    ) -> None:
        """Pass if every task has succeeded; if the time is over, cancel what may be canceled.

        :param event: see :func:`~airflow_provider_wanx.triggers.dashscope.outcome_event`.
        :param by_execution_timeout: whether ``execution_timeout`` set the deadline.
        :raises AirflowException: the time is over, or the task that it has submitted itself has not succeeded.
        :raises DashScopeError: waiting failed, or another's task has not succeeded.
        """
        # Triggers of earlier versions send less.
        self.add_lineage(dashscope_task_ids=tuple(ids), made=(event or {}).get("made"))
        try:
            check_event(event, hook)
        except WaitTimeoutError as error:
            if self.cancel_on_kill:
                cancel_tasks(hook.get_conn(), ids, self.log)
            reached = AirflowTaskTimeout if by_execution_timeout else self.timeout_error
            raise reached(str(error)) from None
        except TaskNotSucceededError as error:
            if not self.submits:
                raise
            may_help = error.resubmission_may_help
            then = "A retry submits it again." if may_help else "To submit it again, clear this Airflow task."
            raise airflow_error(f"{error} {then}", retryable=may_help) from None

    @reports_failure
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Cancel what is still queued if Airflow itself has ended the deferral, in which case it calls no method of ours."""
        if self.cancel_on_kill and ended_by_airflow(next_method, next_kwargs):
            with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
                cancel_tasks(hook.get_conn(), self.awaited_ids(context), self.log)
        return super().resume_execution(next_method, next_kwargs, context)


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
        """Wait until all tasks have succeeded: on this worker, or by deferring to ``execute_complete``.

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
                cancel_tasks(hook.get_conn(), self._in_flight, self.log)


def start_in_triggerer(operator: DashScopeWait, *, timeout: float) -> StartTriggerArgs:
    """Make what tells Airflow 3.3 and later to start a sensor in the triggerer.

    What would leave the task waiting for ever (measured on 3.3.2) is refused here, while the DAG is parsed.

    :param operator: with its arguments as they are written in the DAG; templates are rendered in the triggerer.
    :param timeout: seconds after which Airflow ends the wait; counted from the start of the try.
    :raises AirflowException: ``dashscope_task_id`` is not one id, or a template that Airflow cannot render there.
    """
    given, where = operator.dashscope_task_id, f"{operator.task_id}: with start_from_trigger=True,"
    if not AIRFLOW_V_3_3_PLUS:
        raise AirflowException(f"{operator.task_id}: start_from_trigger=True needs Airflow 3.3 or later.")
    advice = "Write \"{{ ti.xcom_pull(task_ids='submit', map_indexes=-1) }}\"."
    if not isinstance(given, str):
        raise AirflowException(
            f"{where} dashscope_task_id must be one id or a template, not {type(given).__name__}: Airflow does not resolve "
            f"another task's .output there. {advice}"
        )
    if "xcom_pull" in given and "map_indexes" not in given:
        raise AirflowException(
            f"{where} xcom_pull without map_indexes would leave the task deferred for ever. {advice}"
        )
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(
        trigger_cls=f"{DashScopeTaskTrigger.__module__}.{DashScopeTaskTrigger.__qualname__}",
        trigger_kwargs={
            "dashscope_task_id": given,
            "dashscope_conn_id": operator.dashscope_conn_id,
            "poll_interval": operator.poll_interval,
            "cancel_on_kill": operator.cancel_on_kill,
        },
        next_method="execute_complete",
        timeout=timedelta(seconds=timeout),
    )


def wait_on_worker(hook: DashScopeHook, ids: Sequence[str], *, log: Log, **conditions: Any) -> Outcome:
    """Wait on this worker, with the same code that the triggers run.

    :param conditions: of :func:`~airflow_provider_wanx.dashscope.waiting.poller.watch_tasks`.
    """
    from airflow_provider_wanx.dashscope.waiting.poller import (
        watch_tasks,  # needs httpx, DAG parsing does not
    )

    async def read_anew() -> ClientConfig:
        return client_config(await asyncio.to_thread(hook.get_connection, hook.dashscope_conn_id))

    with span("wait", task_ids=ids):
        return asyncio.run(
            watch_tasks(hook.get_conn().config, ids, renew=read_anew, log=log.info, **conditions)
        )
