"""Repaint portraits with Tongyi Wanxiang."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wanx.dashscope.config import ImageTransfer
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.picture_address import source_address
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_PRICE
from airflow_provider_wanx.dashscope.styles import (
    WanxStyle,
    check_style_reference,
    is_known_style,
    style_number,
)
from airflow_provider_wanx.exceptions import reports_failure
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.hooks.storage import image_source
from airflow_provider_wanx.jobs.copying.result_metadata import Provenance
from airflow_provider_wanx.jobs.submitting.repaint_request import repaint_request
from airflow_provider_wanx.jobs.submitting.submitter import TaskRequest
from airflow_provider_wanx.lineage.lineage import Lineage
from airflow_provider_wanx.operators.dashscope import SubmittingOperator
from airflow_provider_wanx.operators.source_arguments import SourceArguments
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wanx.operators.wanx_batch import WanxStyleRepaintBatchOperator

__all__ = ["WanxStyleRepaintBatchOperator", "WanxStyleRepaintOperator"]


def __getattr__(name: str) -> Any:
    """Load the operator of batches where it is asked for: the DAGs of single images are parsed sooner without it."""
    if name == "WanxStyleRepaintBatchOperator":
        from airflow_provider_wanx.operators.wanx_batch import WanxStyleRepaintBatchOperator

        return WanxStyleRepaintBatchOperator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class WanxStyleRepaintOperator(SubmittingOperator):
    """Repaint one portrait in a style; returns the service's task id. Every repainted picture costs money.

    The picture may be given as

    * an ``https://`` or ``http://`` URL that the service can reach, or a ``data:`` URL,
    * an ``s3://bucket/key`` URL: it is presigned, so that the service can fetch the object, or uploaded, see
      ``image_transfer``,
    * a local path or any URL that Airflow's object storage understands (``gs://conn@bucket/key``, ``file:///…``): it is
      uploaded to the service's temporary store,
    * an ``oss://`` URL of an earlier upload.

    Local paths and connections (``conn@``) may stand in the DAG word for word. Where a template, an upstream task or a trigger
    form fills in the picture, they are refused unless ``allow_local_files`` or ``allow_conn_ids`` is set: whoever fills it in
    would read with the rights of the worker.

    On Airflow 3.3 and later a picture is submitted once, whatever happens to this task; see
    :class:`~airflow_provider_wanx.operators.dashscope.DashScopeSubmitTaskOperator`, which also explains
    ``on_unconfirmed_submit``.

    Wherever its bytes can be had, they are checked against the model's limits before anything is submitted: JPEG, PNG, BMP
    or WEBP by content, 256×256 to 5760×3240 pixels, 2:1 at most, 10 MB at most. What is only doubtful, such as the shape of a
    style reference, is logged as a warning.

    .. seealso:: the guide :doc:`/operators`.

    :param image: the portrait.
    :param style: a :class:`~airflow_provider_wanx.dashscope.styles.WanxStyle`, its number, or its Chinese or English name.
    :param style_reference: a picture whose style is taken; for style -1 only, which needs it.
    :param aws_conn_id: AWS connection for ``s3://`` pictures.
    :param allow_local_files: whether data may name files of the worker.
    :param allow_conn_ids: whether data may name Airflow connections, and stores that are only reached through one.
    :param image_transfer: how the service gets pictures in S3: ``"link"`` presigns them, ``"upload"`` puts them into the
        service's temporary store. By default, what the connection says, else ``"link"``.
    :param result_bucket: S3 bucket that the result will be copied to later. If it does not exist, or may not be used, the
        task fails before anything is submitted and paid.
    :param result_aws_conn_id: AWS connection that the result will be copied with.
    :param on_unconfirmed_submit: ``"fail"`` or ``"resubmit"``: what to do when it cannot be found out whether the service
        has accepted a submission.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param wait_for_completion: whether to wait for the task before this one ends.
    :param deferrable: whether to wait in the triggerer, holding no worker.
    :param poll_interval: seconds between two looks at the task.
    :param wait_timeout: longest wait, in seconds or as a timedelta.
    :param cancel_on_kill: whether to cancel the task, if it is still queued at the service, when this one is killed,
        cleared, marked as ended, or out of time.
    """

    template_fields: Sequence[str] = (
        "image",
        "style",
        "style_reference",
        "aws_conn_id",
        "result_bucket",
        "result_aws_conn_id",
        "dashscope_conn_id",
    )
    texts: ClassVar[Mapping[str, str | None]] = {
        **SubmittingOperator.texts,
        "image": "",
        "style_reference": None,
        "aws_conn_id": AWS_CONN_ID,
    }

    def __init__(
        self,
        *,
        image: str,
        style: WanxStyle | int | str,
        style_reference: str | None = None,
        aws_conn_id: str | None = "aws_default",
        allow_local_files: bool = False,
        allow_conn_ids: bool = False,
        image_transfer: ImageTransfer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image = image
        self.style = style
        self.style_reference = style_reference
        self.aws_conn_id = aws_conn_id
        self.keep_none(aws_conn_id=aws_conn_id, result_aws_conn_id=self.result_aws_conn_id)
        self._sources = SourceArguments.read(
            allow_local_files=allow_local_files,
            allow_conn_ids=allow_conn_ids,
            image_transfer=image_transfer,
            image=image,
            style_reference=style_reference,
        )

    @reports_failure
    def execute(self, context: Context) -> str:
        """Submit or go on with what was submitted, publish the id, wait if asked to."""
        with self.working(context) as hook:
            return self.submit_once(context, hook, lambda: self.build_request(hook))

    def build_request(self, hook: DashScopeHook) -> TaskRequest:
        """Check style and pictures; they are made reachable for the service only if something is submitted."""
        number = style_number(self.style)
        if not is_known_style(number):
            self.log.warning("Style %s is not among the documented ones; the service will decide.", number)
        check_style_reference((number,), self.style_reference)
        how = self._sources.for_images(self)
        source = image_source(client=hook.get_conn, model=REPAINT_MODEL, aws_conn_id=self.aws_conn_id, **how)
        return repaint_request(
            source, image=self.image, style=number, style_reference=self.style_reference, log=self.log
        )

    def made_from(self) -> Provenance:
        """Return the portrait and the style."""
        try:
            style: int | None = style_number(self.style)
        except InvalidInputError:
            style = None
        return Provenance(source=source_address(self.image), style=style, model=REPAINT_MODEL)

    def lineage_at_start(self) -> Lineage:
        """Return the pictures, the style and the price."""
        return Lineage(
            model=REPAINT_MODEL,
            inputs=tuple(str(image) for image in (self.image, self.style_reference) if image),
            styles=(style_number(self.style),),
            price=float(REPAINT_PRICE),
        )
