"""Copy the results of DashScope tasks to S3 before the service deletes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wanx.arguments import given, task_ids
from airflow_provider_wanx.dashscope.errors import (
    DashScopeError,
    InvalidInputError,
    ProviderError,
    TaskNotSucceededError,
)
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.picture_address import on_one_line, source_address
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.dashscope.repaint import repaint_cost
from airflow_provider_wanx.deferral import DashScopeWaitingOperator
from airflow_provider_wanx.exceptions import reports_failure
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.hooks.storage import s3_destination
from airflow_provider_wanx.identity import identity_of
from airflow_provider_wanx.jobs.copying.copier import ResultCopier
from airflow_provider_wanx.jobs.copying.destinations import Replace
from airflow_provider_wanx.jobs.copying.gallery_marks import MARK, copy_mark
from airflow_provider_wanx.jobs.copying.key_template import KeyTemplate
from airflow_provider_wanx.jobs.copying.result_metadata import Provenance
from airflow_provider_wanx.lineage.lineage import Lineage, made_by, task_address
from airflow_provider_wanx.lineage.operators import announce
from airflow_provider_wanx.links.dashscope import (
    COPY_LINKS,
    ResultLink,
    S3ObjectLink,
    show_in_gallery,
    show_link,
    show_task_links,
)
from airflow_provider_wanx.links.urls import s3_url
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wanx.jobs.copying.destinations import S3Destination


Manifest = list[dict[str, Any]]


class DashScopeToS3Operator(DashScopeWaitingOperator):
    """Copy every result of one task, or of a list of tasks, to S3.

    Bytes are streamed, checked against the length and checksum that the service announced, and become an object only when
    they have arrived whole. Doing it again gives the same objects under the same keys. The operator returns a manifest:
    a list of ``{bucket, key, bytes, sha256, content_type, dashscope_task_id, index, source, style, model, written,
    submit_time, end_time, cost}``.

    Source, that is the picture's address, and model come from the submitting operators upstream, which publish them.

    Of a list, all that succeeded is copied before the operator fails because of the others; the manifest is then still in
    its XCom. Where a model gives no file but, say, an id, its answer becomes the object, as JSON, and the entry has it as
    ``output`` too. With ``wait_for_completion=True`` it waits for tasks that have not ended; else it fails and says so.

    .. seealso:: the guide :doc:`/transfer`.

    :param dashscope_task_id: the service's id, or a list of them.
    :param s3_bucket: the bucket.
    :param s3_key: key with fields in braces: ``{dashscope_task_id}``, ``{index}``, ``{source_name}``, ``{style}``,
        ``{style_name}``, ``{extension}``, ``{run_id}``. One that ends in a slash gets a name by task id and index.
    :param aws_conn_id: AWS connection that may write to the bucket.
    :param replace: what to do when the key exists: True replaces the object, ``"skip"`` keeps it, False fails unless it is
        the same task's result, which an earlier try has copied.
    :param extra_args: further arguments of boto3's upload, such as ``ServerSideEncryption``, ``SSEKMSKeyId``, ``ACL``,
        ``StorageClass``, ``Tagging``.
    :param source: address of the picture that the results were made from, where no submitting operator upstream knows it, or
        knows another one.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param wait_for_completion: whether to wait for tasks that have not ended.
    :param deferrable: whether to wait in the triggerer, holding no worker.
    :param poll_interval: seconds between two looks at a task.
    :param wait_timeout: longest wait, in seconds or as a timedelta.
    :param cancel_on_kill: whether to cancel tasks that are still queued at the service when this one is killed, cleared, marked
        as ended, or out of time. They are not its own, so by default it leaves them alone.
    """

    template_fields: Sequence[str] = (
        "dashscope_task_id",
        "s3_bucket",
        "s3_key",
        "source",
        "aws_conn_id",
        "extra_args",
        "dashscope_conn_id",
    )
    operator_extra_links = COPY_LINKS
    ui_color = "#dff2e1"
    texts: ClassVar[Mapping[str, str | None]] = {
        "s3_bucket": "",
        "s3_key": "",
        "source": None,
        "aws_conn_id": AWS_CONN_ID,
        "dashscope_conn_id": DashScopeHook.default_conn_name,
    }

    def __init__(
        self,
        *,
        dashscope_task_id: str | list[str],
        s3_bucket: str,
        s3_key: str,
        aws_conn_id: str | None = "aws_default",
        replace: Replace = True,
        extra_args: dict[str, Any] | None = None,
        source: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if replace not in (True, False, "skip"):
            raise ValueError(f"replace must be True, False or 'skip', not {quoted(replace)}.")
        self.dashscope_task_id = dashscope_task_id
        self.s3_bucket = s3_bucket
        self.s3_key = s3_key
        self.aws_conn_id = aws_conn_id
        self.replace = replace
        self.extra_args = extra_args
        self.source = source
        self.keep_none(aws_conn_id=aws_conn_id)

    @reports_failure
    def execute(self, context: Context) -> Manifest:
        """Wait if asked to, then copy."""
        with self.working(context) as hook:
            ids = self.awaited_ids(context)
            template = KeyTemplate(self.s3_key)
            if self.wait_for_completion and "{source_name}" in self.s3_key:
                # Not after hours of waiting.
                provenances = self.provenance(context, ids)
                for task_id in ids:
                    template.check_source(task_id, provenances.get(task_id, Provenance()).source)
            destination = self._destination(context)
            destination.check()
            show_task_links(context, self, hook.get_conn().config.base_url, ids)
            self._show_where(context, destination)
            if self.wait_for_completion:
                self.wait_for(context, hook, ids)
            return self._copy(context, hook, ids)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, by_execution_timeout: bool = False
    ) -> Manifest:
        """Copy after a deferred wait.

        :param event: see :func:`~airflow_provider_wanx.triggers.dashscope.outcome_event`.
        :param by_execution_timeout: whether ``execution_timeout`` set the deadline.
        :raises AirflowException: a task has not succeeded, or the time is over.
        """
        with self.working(context) as hook:
            ids = self.awaited_ids(context)
            self.check_wait(event, hook, ids, by_execution_timeout=by_execution_timeout)
            return self._copy(context, hook, ids)

    def lineage_at_start(self) -> Lineage:
        """Return the tasks whose results are copied."""
        ids = tuple(task_ids(self.dashscope_task_id))
        return Lineage(inputs=tuple(map(task_address, ids)), dashscope_task_ids=ids)

    def _copy(self, context: Context, hook: DashScopeHook, ids: Sequence[str]) -> Manifest:
        """Copy what there is; fail afterwards if something is missing."""
        tasks = [hook.get_task(task_id) for task_id in ids]
        if unfinished := [task for task in tasks if not task.status.is_terminal]:
            raise DashScopeError(
                f"{' '.join(task.describe() for task in unfinished[:5])} Wait for it with DashScopeTaskSensor or "
                "wait_for_completion=True.",
                retryable=True,
            )
        good = [task for task in tasks if task.status is TaskStatus.SUCCEEDED]
        provenances = self.provenance(context, ids)
        run_id = str(context["run_id"])
        sources = {task_id: provenance.source for task_id, provenance in provenances.items()}
        KeyTemplate(self.s3_key).check_distinct(good, run_id=run_id, sources=sources)
        manifest: Manifest = []
        failures: list[ProviderError] = []
        destination = self._destination(context)
        try:
            for task in good:
                try:
                    provenance = provenances.get(task.task_id, Provenance())
                    manifest.extend(self._copied(hook, destination, task, provenance, run_id=run_id))
                except (DashScopeError, InvalidInputError) as error:
                    # The others were paid for too, and may be gone by the time of a retry.
                    self.log.warning("%s", error)
                    failures.append(error)
        finally:
            # A failing task's return value is not stored, yet what was copied was paid for and should be found.
            context["ti"].xcom_push(key="return_value", value=manifest)
            context["ti"].xcom_push(key=MARK, value=copy_mark(manifest))
            self._add_lineage_of(tasks, manifest)
            self._show_where(context, destination, [entry["key"] for entry in manifest])
            made = [(f"s3://{entry['bucket']}/{entry['key']}", entry) for entry in manifest]
            announce(context, self.outlets, made=made, extra={"objects": manifest})
        if bad := [task for task in tasks if task.status is not TaskStatus.SUCCEEDED]:
            failures.append(TaskNotSucceededError(bad, succeeded=len(good)))
        if failures:
            raise _as_one(failures)
        return manifest

    def provenance(self, context: Context, ids: Sequence[str]) -> dict[str, Provenance]:
        """Find what the tasks were made from; what the user says goes before what others have published."""
        published = super().provenance(context, ids)
        own = source_address(self.source)
        if own is None:
            return published
        return {task_id: replace(published.get(task_id, Provenance()), source=own) for task_id in ids}

    def _copied(
        self,
        hook: DashScopeHook,
        destination: S3Destination,
        task: Task,
        provenance: Provenance,
        *,
        run_id: str,
    ) -> Iterator[dict[str, Any]]:
        """Copy the results of a task one by one; yield an entry of the manifest for each."""
        template = KeyTemplate(self.s3_key)
        if task.style_index is not None:
            provenance = replace(provenance, style=task.style_index)
        if provenance.source:
            self.log.info("DashScope task %s was made from %s.", task.task_id, on_one_line(provenance.source))

        def key_for(index: int, extension: str) -> str:
            return template.render_result(
                task, index, extension=extension, run_id=run_id, source=provenance.source
            )

        copier = ResultCopier(client=hook.get_conn(), destination=destination, log=self.log)
        for copied in copier.copy_all(task, key_for=key_for, metadata=provenance.metadata()):
            entry = {
                "bucket": destination.bucket,
                "key": copied.key,
                "bytes": copied.bytes,
                "sha256": copied.sha256,
                "content_type": copied.content_type,
                "dashscope_task_id": task.task_id,
                "index": copied.index,
                "source": provenance.source,
                "style": provenance.style,
                "model": provenance.model,
                "written": copied.written,
                **_time_and_cost(task),
            }
            yield {**entry, "output": dict(task.output)} if task.made_only_data else entry

    def _destination(self, context: Context) -> S3Destination:
        return s3_destination(
            aws_conn_id=self.aws_conn_id,
            bucket=self.s3_bucket,
            owner=identity_of(context["ti"]),
            replace=self.replace,
            extra_args=given(self.extra_args) or {},
        )

    def _add_lineage_of(self, tasks: Sequence[Task], manifest: Manifest) -> None:
        sizes = {f"s3://{entry['bucket']}/{entry['key']}": entry["bytes"] for entry in manifest}
        sources = dict.fromkeys(entry["source"] for entry in manifest if entry.get("source"))
        self.add_lineage(
            inputs=(*sources, *self.lineage_at_start().inputs),
            outputs=tuple(sizes),
            sizes=sizes,
            made=made_by(tasks),
        )

    def _show_where(self, context: Context, destination: S3Destination, keys: Sequence[str] = ()) -> None:
        """Link to the result; to the folder of several, or of those that are still to come."""
        if len(keys) == 1:
            show_in_gallery(context, self, ResultLink, result=0)
            place = keys[0]
        else:
            folder = self.s3_key.partition("{")[0]
            place = folder[: folder.rfind("/") + 1]
        show_link(context, self, S3ObjectLink, s3_url(destination.client, destination.bucket, place))


def _time_and_cost(task: Task) -> dict[str, Any]:
    cost = repaint_cost(task)
    return {
        "submit_time": _iso(task.submit_time),
        "end_time": _iso(task.end_time),
        "cost": None if cost is None else float(cost / max(1, len(task.results))),
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")


def _as_one(failures: Sequence[ProviderError]) -> DashScopeError:
    more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
    return DashScopeError(
        " ".join(str(failure) for failure in failures[:5]) + more,
        retryable=any(failure.retryable for failure in failures),
        final=any(failure.final for failure in failures),
    )
