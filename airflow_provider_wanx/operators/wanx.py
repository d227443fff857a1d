"""Repaint portraits with Tongyi Wanxiang."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.styles import WanxStyle, is_known_style, style_name, style_number
from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.storage.pictures import ImageSource
from airflow_provider_wanx.submission.submitter import TaskRequest

if TYPE_CHECKING:
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook

REPAINT_MODEL = "wanx-style-repaint-v1"
REPAINT_SERVICE = "aigc/image-generation/generation"
REPAINT_PRICE = 0.12
"""CNY for each repainted picture; a task that does not succeed costs nothing (model page)."""


class WanxStyleRepaintOperator(DashScopeSubmitTaskOperator):
    """Repaint one portrait in a style; returns the service's task id. Every repainted picture costs money.

    The picture may be given as

    * an ``https://`` or ``http://`` URL that the service can reach, or a ``data:`` URL,
    * an ``s3://bucket/key`` URL: it is presigned, so that the service can fetch the object,
    * a local path or any URL that Airflow's object storage understands (``gs://conn@bucket/key``, ``file:///…``): it is
      uploaded to the service's temporary store,
    * an ``oss://`` URL of an earlier upload.

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

    template_fields: Sequence[str] = ("image", "style", "style_reference", "aws_conn_id", "dashscope_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        *,
        image: str,
        style: WanxStyle | int | str,
        style_reference: str | None = None,
        aws_conn_id: str | None = "aws_default",
        **kwargs: Any,
    ) -> None:
        if "parameters" in kwargs:
            raise TypeError(f"{REPAINT_MODEL} has no parameters object; leave parameters out.")
        super().__init__(service=REPAINT_SERVICE, model=REPAINT_MODEL, input={}, **kwargs)
        self.image = image
        self.style = style
        self.style_reference = style_reference
        self.aws_conn_id = aws_conn_id

    def build_request(self, hook: DashScopeHook) -> TaskRequest:
        """Check style and pictures; they are made reachable for the service only if something is submitted."""
        number = style_number(self.style)
        if not is_known_style(number):
            self.log.warning("Style %s is not among the documented ones; the service will decide.", number)
        if number == WanxStyle.REFERENCE_IMAGE and not self.style_reference:
            raise InvalidInputError("style -1 takes the style from a picture: give style_reference too.")
        if number != WanxStyle.REFERENCE_IMAGE and self.style_reference:
            raise InvalidInputError(
                f"style_reference goes with style -1 only, and style is {number}. Leave one out."
            )
        source = ImageSource(hook=hook, model=REPAINT_MODEL, aws_conn_id=self.aws_conn_id)
        pictures = {"image_url": source.open(self.image, field="image")}
        if self.style_reference:
            pictures["style_ref_url"] = source.open(
                self.style_reference, field="style_reference", is_style_reference=True
            )
        for doubt in (doubt for picture in pictures.values() for doubt in picture.doubts):
            self.log.warning(doubt)
        return TaskRequest(
            service=REPAINT_SERVICE,
            model=REPAINT_MODEL,
            identity={
                "style_index": number,
                **{name: picture.identity for name, picture in pictures.items()},
            },
            build_input=lambda: {
                **{name: picture.publish() for name, picture in pictures.items()},
                "style_index": number,
            },
            summary=f"{' like '.join(picture.name for picture in pictures.values())} in style {_named(number)}, "
            f"for {REPAINT_PRICE} CNY if it succeeds",
        )


def _named(number: int) -> str:
    return f"{number} ({style_name(number)})" if is_known_style(number) else str(number)
