"""The operator that repaints many portraits in one task."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, BaseOperator

from airflow_provider_wanx.arguments import KeepsTypes, given
from airflow_provider_wanx.batch.batch import Batch
from airflow_provider_wanx.batch.batch_destination import BatchDestination, split_destination
from airflow_provider_wanx.batch.input.rows import Styles
from airflow_provider_wanx.batch.input.sources import (
    Shard,
    check_destination,
    open_source,
    rule_for_pictures,
)
from airflow_provider_wanx.batch.policy import NOT_ALL, Ceiling, Wait
from airflow_provider_wanx.batch.result_keys import DEFAULT_KEY, ResultKeys
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS, ImageTransfer
from airflow_provider_wanx.dashscope.polling import DEFAULT_POLL_INTERVAL_SECONDS
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_PRICE
from airflow_provider_wanx.dashscope.waiting.progress import Enough
from airflow_provider_wanx.deferral import deadline, wait_on_worker
from airflow_provider_wanx.exceptions import reports_failure
from airflow_provider_wanx.hooks.dashscope import DashScopeHook, warn_of_end
from airflow_provider_wanx.hooks.storage import image_source, s3_destination
from airflow_provider_wanx.identity import identity_of
from airflow_provider_wanx.jobs.copying.gallery_marks import MARK
from airflow_provider_wanx.jobs.submitting.repaint_request import check_pictures, repaint_request
from airflow_provider_wanx.jobs.submitting.submitter import OnUnconfirmed
from airflow_provider_wanx.lineage.lineage import Lineage
from airflow_provider_wanx.lineage.operators import LineageMixin, announce
from airflow_provider_wanx.links.dashscope import BATCH_LINKS, S3ObjectLink, show_link, show_task_links
from airflow_provider_wanx.links.urls import s3_url
from airflow_provider_wanx.operators.source_arguments import SourceArguments
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID
from airflow_provider_wanx.triggers.batch import DashScopeBatchTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wanx.batch.input.sources import Source
    from airflow_provider_wanx.jobs.pictures.image_source import ImageSource


class WanxStyleRepaintBatchOperator(KeepsTypes, LineageMixin, BaseOperator):
    """Repaint thousands of portraits in one Airflow task, and copy the results to S3 as they come.

    The task submits at the account's pace, keeps a bounded number of images in flight, and defers while the service
    works. It may run for days. What it has done stands in a ledger beside the results, so that a retry, a clear, or a
    second run over the same input goes on where the last one ended: an image that is done, or under way, is not submitted
    again. Failures of single images do not stop the others. In the end there is a manifest of all images.

    Local paths and connections may stand in the DAG word for word, also those of a folder. In manifests and through templates
    they are refused, see ``allow_local_files`` and ``allow_conn_ids``.

    .. note:: Every repainted image costs money. Try ``dry_run=True`` first: it says what would be refused, what the rest
        would cost and how long it would take.

    .. seealso:: the guide :doc:`/bulk`.

    :param destination: ``s3://bucket/prefix/`` for results, ledger (``_ledger/``), ``status.json`` and manifest. Each
        batch needs a destination of its own.
    :param images: a folder of pictures (``s3://bucket/prefix/``, or any URL that Airflow's object storage can list), which may
        end in a pattern of paths (``s3://bucket/prefix/**/*.png``); without one, everything with a picture's extension. Or a
        manifest: a JSONL, CSV or Parquet file with the columns ``image`` and, where they differ, ``style`` and
        ``style_reference``; other columns are carried through to the manifest of the results, which are JSON lines, and
        Parquet as well if this one is. Or a list of images as :class:`WanxStyleRepaintOperator` takes them.
    :param shard: which part of the input this task takes, such as ``"1/4"``: to spread one input over several accounts.
    :param style: one style or several for each image; several may be one text with semicolons.
    :param style_reference: a picture whose style is taken; for style -1 only, which needs it.
    :param s3_key: key of a result below the destination, with fields in braces: ``{row}``, ``{source_name}`` or ``{name}`` (of
        the source file), ``{style}``, ``{style_name}``, ``{dashscope_task_id}``, ``{index}``, ``{run_id}``, ``{extension}``,
        and own columns of the manifest such as ``{order_no}``.
    :param max_failures: how many images may fail before the batch ends early: a number, or a share below 1. By default
        ``"not all"``: only a batch of which every image has failed is a failure. None for no limit at all.
    :param max_cost: budget in CNY: nothing is submitted that could exceed it. None for no limit.
    :param retry_failed: whether images that failed in an earlier run are wanted again.
    :param dry_run: whether only to look: nothing is submitted or written.
    :param on_unconfirmed_submit: ``"fail"`` or ``"resubmit"``, for an image whose submission may have been accepted or not.
    :param extra_args: further arguments of boto3's upload of results.
    :param aws_conn_id: AWS connection for destination and ``s3://`` input; either may name another as
        ``s3://conn_id@bucket/…``.
    :param allow_local_files: whether data may name files of the worker.
    :param allow_conn_ids: whether data may name Airflow connections, and stores that are only reached through one.
    :param image_transfer: how the service gets pictures in S3, ``"link"`` or ``"upload"``; by default as the connection says.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param deferrable: whether to wait in the triggerer. On a worker, the wait would hold it for as long as the batch takes.
    """

    template_fields: Sequence[str] = (
        "destination", "images", "shard", "style", "style_reference", "s3_key", "max_failures", "max_cost",
        "retry_failed", "only_look", "deferrable", "extra_args", "aws_conn_id", "dashscope_conn_id",
    )  # fmt: skip
    operator_extra_links = BATCH_LINKS
    ui_color = "#e8e4f8"
    texts: ClassVar[Mapping[str, str | None]] = {
        **dict.fromkeys(("shard", "style_reference")),
        "destination": "",
        "s3_key": DEFAULT_KEY,
        "aws_conn_id": AWS_CONN_ID,
        "dashscope_conn_id": DashScopeHook.default_conn_name,
    }
    switches: ClassVar[Mapping[str, str]] = {
        "retry_failed": "retry_failed", "deferrable": "deferrable", "only_look": "dry_run",
    }  # fmt: skip

    def __init__(
        self,
        *,
        destination: str,
        images: str | Sequence[str],
        shard: str | None = None,
        style: Styles | None = None,
        style_reference: str | None = None,
        s3_key: str = DEFAULT_KEY,
        max_failures: float | str | None = NOT_ALL,
        max_cost: float | str | None = None,
        retry_failed: bool | str = False,
        dry_run: bool | str = False,
        on_unconfirmed_submit: OnUnconfirmed = "fail",
        extra_args: dict[str, Any] | None = None,
        aws_conn_id: str | None = "aws_default",
        allow_local_files: bool = False,
        allow_conn_ids: bool = False,
        image_transfer: ImageTransfer | None = None,
        dashscope_conn_id: str = DashScopeHook.default_conn_name,
        deferrable: bool | str = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_unconfirmed_submit not in ("fail", "resubmit"):
            raise ValueError(
                f"on_unconfirmed_submit must be 'fail' or 'resubmit', not {on_unconfirmed_submit!r}."
            )
        self.destination = destination
        self.images = images
        self.shard = shard
        self.style = style
        self.style_reference = style_reference
        self.s3_key = s3_key
        self.max_failures = max_failures
        self.max_cost = max_cost
        self.retry_failed = retry_failed
        self.only_look = dry_run  # Airflow's operators have a method of the argument's name.
        self.on_unconfirmed_submit: OnUnconfirmed = on_unconfirmed_submit
        self.extra_args = extra_args
        self.aws_conn_id = aws_conn_id
        self.keep_none(aws_conn_id=aws_conn_id)
        self._sources = SourceArguments.read(
            allow_local_files=allow_local_files,
            allow_conn_ids=allow_conn_ids,
            image_transfer=image_transfer,
            destination=destination,
            images=images,
            style_reference=style_reference,
        )
        self.dashscope_conn_id = dashscope_conn_id
        self.deferrable = deferrable

    def lineage_at_start(self) -> Lineage:
        """Return where the images come from, and where the results go."""
        images = [self.images] if isinstance(self.images, str) else self.images or ()
        inputs = tuple(str(place) for place in images if place)
        price = float(REPAINT_PRICE)
        return Lineage(model=REPAINT_MODEL, inputs=inputs, outputs=(self.destination,), price=price)

    @reports_failure
    def execute(self, context: Context) -> dict[str, Any]:
        """Read the input, then submit, wait and copy until all images are done."""
        with self.arguments_read(), DashScopeHook(self.dashscope_conn_id) as hook:
            if self.only_look:
                return self._look(context, hook)
            with self._work(context, hook) as batch:
                self._show_links(context, hook, batch.destination)
                warn_of_end(hook, REPAINT_MODEL, self.log)
                batch.begin(retry_failed=bool(self.retry_failed))
                self._mark(context, batch)
                return self._go_on(context, hook, batch, ended=(), end_time=self._end_time(context))

    @reports_failure
    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        end_time: float | None = None,
        ledger: str | None = None,
    ) -> dict[str, Any]:
        """Go on after a wait.

        :param event: ``ended``: ids of the tasks that have ended.
        :param end_time: when ``execution_timeout`` is over, in seconds since 1970.
        :param ledger: the version in which the ledger was left; in any other, it is held against the input first.
        """
        with (
            self.arguments_read(),
            DashScopeHook(self.dashscope_conn_id) as hook,
            self._work(context, hook) as batch,
        ):
            batch.go_on(left_as=ledger)
            return self._go_on(context, hook, batch, ended=(event or {}).get("ended", ()), end_time=end_time)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Give the ledger back if Airflow itself has ended the deferral, in which case it calls no method of ours."""
        if next_method == "__fail__":
            # What is to be told is why the wait has ended.
            with (
                suppress(AirflowException),
                self.arguments_read(),
                DashScopeHook(self.dashscope_conn_id) as hook,
            ):
                self._batch(context, hook).leave()
        return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _work(self, context: Context, hook: DashScopeHook) -> Iterator[Batch]:
        batch = self._batch(context, hook)
        try:
            with batch:
                yield batch
        except (Exception, AirflowTaskTimeout):
            if batch.is_ours:
                # A failing task's return value is not stored, and whoever is told of the failure asks for the figures.
                context["ti"].xcom_push(key="return_value", value=batch.summary)
            raise

    def _show_links(self, context: Context, hook: DashScopeHook, destination: BatchDestination) -> None:
        show_task_links(context, self, hook.get_conn().config.base_url)
        results = destination.results
        show_link(context, self, S3ObjectLink, s3_url(results.client, results.bucket, destination.prefix))

    def _end_time(self, context: Context) -> float | None:
        """Airflow 3 does not enforce execution_timeout while a task is deferred."""
        if self.execution_timeout is None:
            return None
        return deadline(context, seconds=float("inf"), execution_timeout=self.execution_timeout).end_time

    def _go_on(
        self,
        context: Context,
        hook: DashScopeHook,
        batch: Batch,
        *,
        ended: Collection[str],
        end_time: float | None,
    ) -> dict[str, Any]:
        while (wait := self._step(context, batch, ended)) is not None:
            if end_time is not None and time.time() >= end_time:
                batch.ledger.give_back()
                goes_on = "A retry, or another run, goes on from there."
                raise AirflowTaskTimeout(f"execution_timeout is over. {batch.progress} {goes_on}")
            how = {"poll_interval": DEFAULT_POLL_INTERVAL_SECONDS, **vars(wait)}
            how["wake_at"] = min(wait.wake_at, end_time or wait.wake_at)
            batch.ledger.hold()
            if self.deferrable:
                self._defer(how, batch, end_time=end_time)
            outcome = wait_on_worker(
                hook,
                wait.dashscope_task_ids,
                poll_interval=DEFAULT_POLL_INTERVAL_SECONDS,
                enough=Enough(left=wait.wake_when_left, within=wait.wake_within, at=how["wake_at"]),
                log=self.log,
            )
            ended = [*outcome.ended, *outcome.given_up]
        summary = batch.finish()
        outputs = (self.destination, *summary["manifest"])
        self.add_lineage(outputs=outputs, images=summary["billed"], cost=summary["cost"])
        self.log.info("%s", batch.progress)
        announce(context, self.outlets, made=[(url, summary) for url in summary["manifest"]], extra=summary)
        return summary

    def _step(self, context: Context, batch: Batch, ended: Collection[str]) -> Wait | None:
        try:
            return batch.step(ended)
        finally:
            self._mark(context, batch)

    def _mark(self, context: Context, batch: Batch) -> None:
        context["ti"].xcom_push(key=MARK, value=batch.mark)

    def _defer(self, how: Mapping[str, Any], batch: Batch, *, end_time: float | None) -> None:
        self.defer(
            trigger=DashScopeBatchTrigger(
                dashscope_conn_id=self.dashscope_conn_id, progress=batch.progress, **how
            ),
            method_name="execute_complete",
            kwargs={"end_time": end_time, "ledger": batch.ledger.version},
            # With no triggerer for so long, results would be lost soon, and somebody should know.
            timeout=timedelta(seconds=how["wake_at"] - time.time() + RESULT_LIFETIME_SECONDS / 2),
        )

    def _look(self, context: Context, hook: DashScopeHook) -> dict[str, Any]:
        from airflow_provider_wanx.batch.dry_run import dry_run  # for workers only; DAG parsing needs less

        pictures = self._pictures(hook)
        return dry_run(
            self._batch(context, hook),
            check=lambda row: check_pictures(pictures, image=row.image, style_reference=row.style_reference),
            retry_failed=bool(self.retry_failed),
        )

    def _batch(self, context: Context, hook: DashScopeHook) -> Batch:
        pictures = self._pictures(hook)
        destination = self._destination(context)
        return Batch(
            hook=hook,
            destination=destination,
            source=self._source(),
            model=REPAINT_MODEL,
            keys=ResultKeys(self.s3_key, run_id=context["ti"].run_id, prefix=destination.prefix),
            request=lambda row: repaint_request(
                pictures,
                image=row.image,
                style=row.style,
                style_reference=row.style_reference,
                log=self.log,
            ),
            ceiling=Ceiling.read(price=REPAINT_PRICE, max_failures=self.max_failures, max_cost=self.max_cost),
            on_unconfirmed=self.on_unconfirmed_submit,
            log=self.log,
        )

    def _source(self) -> Source:
        source = open_source(
            images=given(self.images),
            styles=given(self.style),
            style_reference=self.style_reference,
            aws_conn_id=self.aws_conn_id,
            rule=self._sources.rule(self),
        )
        _, bucket, prefix = split_destination(self.destination)
        check_destination(source, bucket, prefix)
        return Shard.read(source, self.shard) if self.shard else source

    def _destination(self, context: Context) -> BatchDestination:
        conn_id, bucket, prefix = split_destination(self.destination)
        self._sources.rule(self).check(self.destination, "destination")
        owner = identity_of(context["ti"])
        results = s3_destination(
            aws_conn_id=conn_id or self.aws_conn_id,
            bucket=bucket,
            owner=owner,
            extra_args=given(self.extra_args) or {},
        )
        results.check()
        return BatchDestination(prefix=prefix, owner=owner, results=results)

    def _pictures(self, hook: DashScopeHook) -> ImageSource:
        how = self._sources.for_images(self)
        how["rule"] = rule_for_pictures(how["rule"])
        return image_source(client=hook.get_conn, model=REPAINT_MODEL, aws_conn_id=self.aws_conn_id, **how)
