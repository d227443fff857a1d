"""Submit tasks of any asynchronous DashScope model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wanx.arguments import given
from airflow_provider_wanx.dashscope.errors import InvalidInputError, ProviderError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.picture_address import source_address
from airflow_provider_wanx.deferral import DashScopeWaitingOperator
from airflow_provider_wanx.exceptions import reports_failure
from airflow_provider_wanx.hooks.dashscope import DashScopeHook, warn_of_end
from airflow_provider_wanx.hooks.storage import record_store, s3_destination
from airflow_provider_wanx.identity import identity_of
from airflow_provider_wanx.jobs.copying.result_metadata import Provenance
from airflow_provider_wanx.jobs.submitting.record_stores import TaskState
from airflow_provider_wanx.jobs.submitting.submission_record import SubmissionRecord
from airflow_provider_wanx.jobs.submitting.submitter import OnUnconfirmed, Submitter, TaskRequest
from airflow_provider_wanx.lineage.lineage import Lineage, task_address
from airflow_provider_wanx.links.dashscope import SUBMIT_LINKS, show_task_links
from airflow_provider_wanx.provenance import ids_of_earlier_iterations, publish_provenance
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID
from airflow_provider_wanx.triggers.dashscope import SUBMITTED_KEY

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

PICTURE_INPUTS = ("image_url", "base_image_url", "img_url", "person_image_url")
"""What models call the picture that they work on, in their input object."""


class SubmittingOperator(DashScopeWaitingOperator):
    """Base of operators that submit one task, once; they return the service's task id.

    :param on_unconfirmed_submit: ``"fail"`` or ``"resubmit"``: what to do when it cannot be found out whether the service has
        accepted a submission.
    :param result_bucket: S3 bucket that the results will be copied to later. If it does not exist, or may not be used, the
        task fails before anything is submitted and paid.
    :param result_aws_conn_id: AWS connection that the results will be copied with.
    :param cancel_on_kill: see :class:`~airflow_provider_wanx.deferral.DashScopeWaitingOperator`.
    """

    operator_extra_links = SUBMIT_LINKS
    ui_color = "#e8e4f8"
    submits = True
    texts: ClassVar[Mapping[str, str | None]] = {
        "result_bucket": None,
        "result_aws_conn_id": AWS_CONN_ID,
        "dashscope_conn_id": DashScopeHook.default_conn_name,
    }

    def __init__(
        self,
        *,
        on_unconfirmed_submit: OnUnconfirmed = "fail",
        result_bucket: str | None = None,
        result_aws_conn_id: str | None = "aws_default",
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(cancel_on_kill=cancel_on_kill, **kwargs)
        if on_unconfirmed_submit not in ("fail", "resubmit"):
            raise ValueError(
                f"on_unconfirmed_submit must be 'fail' or 'resubmit', not {on_unconfirmed_submit!r}."
            )
        self.on_unconfirmed_submit: OnUnconfirmed = on_unconfirmed_submit
        self.result_bucket = result_bucket
        self.result_aws_conn_id = result_aws_conn_id

    def made_from(self) -> Provenance:
        """Return what the task is made from, as far as the arguments tell."""
        return Provenance()

    def submit_once(self, context: Context, hook: DashScopeHook, request: Callable[[], TaskRequest]) -> str:
        """Submit or go on with what was submitted, publish the id, wait if asked to.

        :param request: makes what is to be submitted, and checks it as far as that can be done for nothing.
        :return: the service's task id.
        """
        submitter = self._submitter(context, hook)
        wanted = _wanted(request)
        task_id = submitter.earlier_task(wanted if isinstance(wanted, TaskRequest) else None)
        if task_id is not None and self.wait_for_completion and self._has_failed(hook, task_id):
            task_id = None
        if task_id is None:
            if isinstance(wanted, ProviderError):
                raise wanted
            self._check_destination()
            warn_of_end(hook, wanted.model, self.log)
            task_id = submitter.submit(wanted)
        self._in_flight = (task_id,)
        self.add_lineage(dashscope_task_ids=(task_id,), outputs=(task_address(task_id),))
        context["ti"].xcom_push(key=SUBMITTED_KEY, value=task_id)
        publish_provenance(context, task_id, self.made_from())
        show_task_links(context, self, hook.get_conn().config.base_url, [task_id])
        if self.wait_for_completion:
            self.wait_for(context, hook, [task_id])
        self._in_flight = ()
        return task_id

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, by_execution_timeout: bool = False
    ) -> str:
        """Return the task's id after a deferred wait.

        :param event: see :func:`~airflow_provider_wanx.triggers.dashscope.outcome_event`.
        :param by_execution_timeout: whether ``execution_timeout`` set the deadline.
        :raises AirflowException: the task has not succeeded, or the time is over.
        """
        with self.working(context) as hook:
            (task_id,) = self.awaited_ids(context)
            self.check_wait(event, hook, [task_id], by_execution_timeout=by_execution_timeout)
            self.add_lineage(outputs=(task_address(task_id),))
            return task_id

    def provenance_of_message(self, message: str, context: Context, **_: Any) -> list[Provenance]:
        """Return what its own task is made from."""
        return [self.made_from()]

    def _check_destination(self) -> None:
        if self.result_bucket:
            destination = s3_destination(aws_conn_id=self.result_aws_conn_id, bucket=self.result_bucket)
            destination.check()
            destination.try_writing()

    def _has_failed(self, hook: DashScopeHook, task_id: str) -> bool:
        # UNKNOWN is left to the wait: the task may be too new to be found, and submitting again would be paying again.
        task = hook.get_task(task_id)
        failed = task.status in (TaskStatus.FAILED, TaskStatus.CANCELED)
        if failed:
            self.log.info("%s It is not billed; submitting again.", task.describe())
        return failed

    def _submitter(self, context: Context, hook: DashScopeHook) -> Submitter:
        record = self._record(context, hook)
        if not record.is_kept:
            self.log.warning(
                "This Airflow keeps no state between tries (3.3 does): if this try dies, the next one submits, and pays, "
                "again. To keep it, name a folder that all workers share, such as s3://bucket/prefix, as record_path in the "
                "connection %r or in Airflow's configuration, [dashscope] record_path. Without one, leave waiting to "
                "DashScopeTaskSensor to keep this task short.",
                self.dashscope_conn_id,
            )
        ti, earlier = context["ti"], self._earlier_iterations(context)

        def claimed() -> frozenset[str]:
            values = ti.xcom_pull(task_ids=[self.task_id], key=SUBMITTED_KEY) or ()
            return frozenset(value for value in (*values, *earlier) if isinstance(value, str))

        return Submitter(
            client=hook.get_conn(),
            record=record,
            max_tries=int(getattr(ti, "max_tries", 0) or 0),
            on_unconfirmed=self.on_unconfirmed_submit,
            claimed=claimed,
            log=self.log,
        )

    def _earlier_iterations(self, context: Context) -> list[str]:
        try:
            return ids_of_earlier_iterations(context)
        except Exception as error:  # noqa: BLE001 - an XCom backend may raise anything, and only a search needs them
            self.log.warning("The ids of earlier iterations cannot be read: %r", error)
            return []

    def awaited_ids(self, context: Context) -> list[str]:
        """Return the id that was published before the wait; the record has it too, should somebody have deleted the XCom.

        :raises InvalidInputError: neither has it.
        """
        ti = context["ti"]
        task_id = ti.xcom_pull(task_ids=self.task_id, key=SUBMITTED_KEY, map_indexes=ti.map_index)
        if not task_id:
            with DashScopeHook(self.dashscope_conn_id) as hook:
                record = self._record(context, hook).read()
            task_id = record.dashscope_task_id if record is not None else None
        if not task_id:
            raise InvalidInputError(
                f"The id that this task submitted is gone: XCom {SUBMITTED_KEY} was deleted. Its log has the id."
            )
        return [str(task_id)]

    def _record(self, context: Context, hook: DashScopeHook) -> SubmissionRecord:
        """Open the record of this task instance: where the user wants it, else in the task state store, if there is one."""
        place = hook.record_path()
        if place is None:
            state = context.get("task_state_store")
            return SubmissionRecord(None if state is None else TaskState(state))
        record = SubmissionRecord(record_store(place, identity_of(context["ti"])))
        self.log.info("The record of this task's submission is %s.", record.where)
        return record


def _wanted(request: Callable[[], TaskRequest]) -> TaskRequest | ProviderError:
    try:
        return request()
    except ProviderError as error:
        # The input may be gone by now; what an earlier try has made of it, and paid for, is not.
        return error


class DashScopeSubmitTaskOperator(SubmittingOperator):
    """Submit one task of any asynchronous DashScope model; returns the service's task id.

    A submission happens once, whatever happens to this task: a retry goes on with the task that an earlier try has submitted,
    be it that a worker was killed, the answer was lost, or something failed afterwards. Only clearing the task, or changing
    its input, submits again. Before Airflow 3.3 this needs a place for the records, ``record_path`` in the connection or in
    Airflow's configuration. Without one, leave waiting to
    :class:`~airflow_provider_wanx.sensors.dashscope.DashScopeTaskSensor`, whose retries never submit.

    .. note:: Every accepted task may cost money. When it cannot be found out whether the service has accepted a submission,
        ``on_unconfirmed_submit`` decides: ``"fail"`` asks a person, ``"resubmit"`` may pay for one image twice.

    .. seealso:: the guides :doc:`/operators` and :doc:`/reliability`.

    :param service: path below ``/api/v1/services``, for example ``aigc/text2image/image-synthesis``.
    :param model: the model's name.
    :param input: the model's input object.
    :param parameters: the model's parameters object, where it has one.
    :param on_unconfirmed_submit: ``"fail"`` or ``"resubmit"``, see the note.
    :param result_bucket: S3 bucket that the results will be copied to later. If it does not exist, or may not be used, the
        task fails before anything is submitted and paid.
    :param result_aws_conn_id: AWS connection that the results will be copied with.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param wait_for_completion: whether to wait for the task before this one ends.
    :param deferrable: whether to wait in the triggerer, holding no worker.
    :param poll_interval: seconds between two looks at the task.
    :param wait_timeout: longest wait, in seconds or as a timedelta.
    :param cancel_on_kill: whether to cancel the task, if it is still queued at the service, when this one is killed,
        cleared, marked as ended, or out of time.
    """

    template_fields: Sequence[str] = (
        "service",
        "model",
        "input",
        "parameters",
        "result_bucket",
        "result_aws_conn_id",
        "dashscope_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"input": "json", "parameters": "json"}
    texts: ClassVar[Mapping[str, str | None]] = {**SubmittingOperator.texts, "service": "", "model": ""}

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
        self.keep_none(result_aws_conn_id=self.result_aws_conn_id)

    @reports_failure
    def execute(self, context: Context) -> str:
        """Submit or go on with what was submitted, publish the id, wait if asked to."""
        with self.working(context) as hook:
            return self.submit_once(context, hook, lambda: self.build_request(hook))

    def build_request(self, hook: DashScopeHook) -> TaskRequest:
        """Make what is to be submitted."""
        self.parameters = given(self.parameters)
        return TaskRequest(
            service=self.service,
            model=self.model,
            identity=self.input,
            build_input=lambda: self.input,
            parameters=self.parameters,
        )

    def made_from(self) -> Provenance:
        """Return what the task is made from, as far as its input tells."""
        fields = self.input if isinstance(self.input, Mapping) else {}
        style = fields.get("style_index")
        return Provenance(
            source=next(filter(None, (source_address(fields.get(name)) for name in PICTURE_INPUTS)), None),
            style=style if isinstance(style, int) else None,
            model=self.model,
        )

    def lineage_at_start(self) -> Lineage:
        """Return the model; what is in its input is the model's own affair."""
        return Lineage(model=self.model)
