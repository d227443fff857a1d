"""The model ``wanx-style-repaint-v1``: its name, its address, its input and its price."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.models import Task

REPAINT_MODEL = "wanx-style-repaint-v1"
REPAINT_SERVICE = "aigc/image-generation/generation"
REPAINT_PRICE = Decimal("0.12")
"""CNY for each repainted picture; a task that does not succeed costs nothing (model page)."""

CURRENCY = "CNY"


def repaint_cost(task: Task) -> Decimal | None:
    """Return what a task costs in CNY, None if it is no repainted portrait or the answer does not tell what is billed.

    :param task: an ended task; that it repaints is seen by its style, which no other model's answer names.
    """
    if task.style_index is None or task.usage is None or task.usage.image_count is None:
        return None
    return task.usage.image_count * REPAINT_PRICE


def repaint_input(*, image_url: str, style: int, style_ref_url: str | None = None) -> dict[str, Any]:
    """Make the model's input object.

    :param image_url: the portrait, where the service can fetch it.
    :param style: the service's ``style_index``.
    :param style_ref_url: the picture whose style is taken; for style -1 only.
    """
    reference = {"style_ref_url": style_ref_url} if style_ref_url else {}
    return {"image_url": image_url, **reference, "style_index": style}
