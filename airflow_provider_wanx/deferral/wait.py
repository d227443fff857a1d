"""How an operator or a sensor waits for DashScope tasks: deferred or on its worker, with the same outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout

from airflow_provider_wanx.dashscope.errors import InvalidInputError, WaitTimeoutError
from airflow_provider_wanx.dashscope.origin import Origin, shown
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.deferral.arguments import KeepsTypes, given
from airflow_provider_wanx.deferral.origins import published_origins
from airflow_provider_wanx.exceptions import airflow_errors, reports_failure
from airflow_provider_wanx.hooks.connection import client_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log, cancel_tasks
from airflow_provider_wanx.lineage.operators import LineageMixin
from airflow_provider_wanx.metrics.tracing import span
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger
from airflow_provider_wanx.triggers.events import check_event, outcome_event

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_provider_wanx.dashscope.config import ClientConfig
    from airflow_provider_wanx.deferral.deadline import Deadline

    _Task = BaseOperator
else:
    # A mixin: a base class of Airflow's here would hide the sensor's own constructor.
    _Task = object

TRIGGER_TIMEOUT_MARGIN_SECONDS = 600.0
"""Seconds past the deadline at which Airflow itself ends a deferral, should the triggerer not have done so."""


_TIMED_OUT = ("Trigger timeout", "Trigger/execution timeout")
"""What Airflow says when it has ended a deferral itself: Airflow 3 and 2."""

MOST_PICTURES = 5
"""Pictures that one message names."""


def ended_by_airflow(next_method: str, next_kwargs: dict[str, Any] | None) -> bool:
    """Tell whether Airflow itself has ended a deferral because its time was over.

    :param next_method: the method with which Airflow resumes the task.
    :param next_kwargs: the arguments of that method.
    """
    return next_method == "__fail__" and (next_kwargs or {}).get("error") in _TIMED_OUT


class DashScopeWait(KeepsTypes, LineageMixin, _Task):
    """What every operator and sensor shares that waits for DashScope tasks."""

    dashscope_conn_id: str
    poll_interval: float
    cancel_on_kill: bool
    # Whether it is also the one that submits, so that clearing it submits again.
    submits: bool = False
    timeout_error: type[AirflowException] = AirflowException

    def awaited_ids(self, context: Context) -> list[str]:
        """Return the ids of the tasks to wait for."""
        raise TypeError(f"{type(self).__name__} does not say what it waits for.")

    def finish(self, context: Context, hook: DashScopeHook, ids: Sequence[str]) -> Any:
        """Do what follows once the tasks have succeeded.

        :param ids: the tasks' ids.
        :return: the Airflow task's result.
        """
        raise TypeError(f"{type(self).__name__} does not say what follows the wait.")

    @contextmanager
    def airflow_errors(self, context: Context) -> Iterator[None]:
        """Let every error of this package leave the block as Airflow's.

        Its message names the Airflow task to clear where that helps, and the pictures that it is about.
        """
        try:
            with airflow_errors(again=self.how_to_submit_again):
                self.read_arguments()
                yield
        except (AirflowException, AirflowTaskTimeout) as error:
            message = str(error)
            if pictures := _named_pictures(self.origins_in(message, context), message):
                error.args = (f"{message} {pictures}",)
            raise

    def origins_in(self, message: str, context: Context) -> Collection[Origin]:
        """Find what the tasks were made from that a message is about."""
        try:
            ids = self.awaited_ids(context)
        except InvalidInputError:
            return ()
        if len(ids) > 1:
            ids = [task_id for task_id in ids if task_id in message][:MOST_PICTURES]
        return self.origins(context, ids).values() if ids else ()

    def origins(self, context: Context, ids: Sequence[str]) -> dict[str, Origin]:
        """Find what tasks were made from; what is not known is missing. It is no reason to fail."""
        try:
            return published_origins(context, ids, submitters=self._submitters())
        except Exception as error:  # noqa: BLE001 - an XCom backend may raise anything, and what was paid for goes first
            self.log.warning("It cannot be found out what the tasks were made from: %r", error)
            return {}

    def _submitters(self) -> list[str]:
        above = self.get_flat_relatives(upstream=True) if self.has_dag() else ()  # type: ignore[no-untyped-call]
        return sorted(
            task.task_id for task in above if getattr(getattr(task, "operator_class", task), "submits", False)
        )

    def how_to_submit_again(self) -> str:
        """Say which Airflow task to clear so that the awaited tasks' input is submitted again."""
        if found := self._submitters():
            return f"To submit again, clear the Airflow task {' or '.join(found)}, and all after it."
        known = (
            f" (right before this one: {', '.join(sorted(ids))})" if (ids := self.upstream_task_ids) else ""
        )
        return f"To submit again, clear the Airflow task that submitted it{known}, and all after it."

    def say_what_is_awaited(self, ids: Sequence[str], limit: Deadline) -> None:
        """Log what is waited for, and until when."""
        what = f"DashScope task {ids[0]}" if len(ids) == 1 else f"{len(ids)} DashScope tasks"
        self.log.info(
            "Waiting for %s until %s%s.",
            what,
            datetime.fromtimestamp(limit.end_time, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            ", when execution_timeout is over" if limit.by_execution_timeout else "",
        )

    def defer_until(self, ids: Sequence[str], limit: Deadline) -> None:
        """Leave the worker, and go on in :meth:`execute_complete` when the tasks have ended or the deadline has come."""
        self.say_what_is_awaited(ids, limit)
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
            timeout=timedelta(seconds=limit.seconds_left() + TRIGGER_TIMEOUT_MARGIN_SECONDS),
        )

    def wait_here(self, hook: DashScopeHook, ids: Sequence[str], limit: Deadline) -> None:
        """Wait on this worker, with the code that the trigger runs."""
        self.say_what_is_awaited(ids, limit)
        event = wait_here(hook, ids, poll_interval=self.poll_interval, end_time=limit.end_time, log=self.log)
        self.check_wait(event, hook, ids, by_execution_timeout=limit.by_execution_timeout)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, by_execution_timeout: bool = False
    ) -> Any:
        """Go on after a deferred wait.

        :param event: see :func:`~airflow_provider_wanx.triggers.events.outcome_event`.
        :param by_execution_timeout: whether ``execution_timeout`` set the deadline.
        :raises AirflowException: a task has not succeeded, or the time is over.
        """
        with self.airflow_errors(context), DashScopeHook(self.dashscope_conn_id) as hook:
            ids = self.awaited_ids(context)
            self.check_wait(event, hook, ids, by_execution_timeout=by_execution_timeout)
            return self.finish(context, hook, ids)

    def check_wait(
        self,
        event: Mapping[str, Any] | None,
        hook: DashScopeHook,
        ids: Sequence[str],
        *,
        by_execution_timeout: bool,
    ) -> None:
        """Pass if every task has succeeded; if the time is over, cancel what may be canceled."""
        # Triggers of earlier versions send less.
        self.add_lineage(dashscope_task_ids=tuple(ids), made=(event or {}).get("made"))
        try:
            check_event(event, hook)
        except WaitTimeoutError as error:
            if self.cancel_on_kill:
                cancel_tasks(hook, ids, self.log)
            reached = AirflowTaskTimeout if by_execution_timeout else self.timeout_error
            raise reached(str(error)) from None

    @reports_failure
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Cancel what is still queued if Airflow itself has ended the deferral, in which case it calls no method of ours."""
        if self.cancel_on_kill and ended_by_airflow(next_method, next_kwargs):
            with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
                cancel_tasks(hook, self.awaited_ids(context), self.log)
        return super().resume_execution(next_method, next_kwargs, context)


def _named_pictures(origins: Collection[Origin], message: str) -> str:
    sources = dict.fromkeys(origin.source for origin in origins if origin.source)
    names = ", ".join(name for name in map(shown, sources) if name not in message)
    return f"{'Picture' if len(sources) == 1 else 'Pictures'}: {names}" if names else ""


def task_ids(value: object) -> list[str]:
    """Read what a user gives as ``dashscope_task_id``: one id, or any list of ids.

    :raises InvalidInputError: there is none, or something in it is not an id.
    """
    from airflow_provider_wanx.dashscope.api.endpoints import check_task_id

    value = given(value)
    if hasattr(value, "output") and hasattr(value, "task_id"):
        raise InvalidInputError(
            f"dashscope_task_id is the task {value.task_id} itself. Give its result: {value.task_id}.output."
        )
    ids = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
    if value is None or (not ids and isinstance(value, Sequence)):
        raise InvalidInputError(
            "dashscope_task_id is empty: the submitting task has returned nothing, was skipped, or was mapped over an empty "
            "list."
        )
    if not ids:
        raise InvalidInputError(f"dashscope_task_id {quoted(value)} is neither an id nor a list of ids.")
    try:
        return list(dict.fromkeys(check_task_id(one) for one in ids))
    except InvalidInputError as error:
        raise InvalidInputError(f"dashscope_task_id: {error} Did the submitting task return one?") from None


def wait_here(
    hook: DashScopeHook,
    ids: Sequence[str],
    *,
    poll_interval: float,
    end_time: float | None,
    log: Log | None = None,
) -> dict[str, Any]:
    """Wait on this worker, with the same code that the trigger runs.

    :return: the event that the trigger would have sent.
    """
    from airflow_provider_wanx.dashscope.waiting.poller import watch_tasks

    watch = watch_tasks(
        hook.get_conn().config,
        ids,
        poll_interval=poll_interval,
        end_time=end_time,
        renew=partial(_config_now, hook),
        log=None if log is None else log.info,
    )
    with span("wait", task_ids=ids):
        return outcome_event(asyncio.run(watch))


def wait_for_some(
    hook: DashScopeHook,
    ids: Sequence[str],
    *,
    poll_interval: float,
    wake_when_left: int,
    wake_within: float,
    wake_at: float,
    log: Log | None = None,
) -> list[str]:
    """Wait on this worker until few tasks are left or it is time, with the same code that the batch's trigger runs.

    :return: ids of the tasks that have ended.
    """
    from airflow_provider_wanx.dashscope.waiting.poller import watch_tasks
    from airflow_provider_wanx.dashscope.waiting.progress import Enough

    watch = watch_tasks(
        hook.get_conn().config,
        ids,
        poll_interval=poll_interval,
        enough=Enough(left=wake_when_left, within=wake_within, at=wake_at),
        renew=partial(_config_now, hook),
        log=None if log is None else log.info,
    )
    with span("wait", task_ids=ids):
        outcome = asyncio.run(watch)
    return [*outcome.ended, *outcome.given_up]


async def _config_now(hook: DashScopeHook) -> ClientConfig:
    return client_config(await asyncio.to_thread(hook.get_connection, hook.dashscope_conn_id))
