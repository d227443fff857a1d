"""The model ``wanx-style-repaint-v1``: its name, its address, its input and its price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

REPAINT_MODEL = "wanx-style-repaint-v1"
REPAINT_SERVICE = "aigc/image-generation/generation"
REPAINT_PRICE = Decimal("0.12")
"""CNY for each repainted picture; a task that does not succeed costs nothing (model page)."""

CURRENCY = "CNY"

_PRICES = {REPAINT_MODEL: REPAINT_PRICE}


def image_price(model: str | None) -> Decimal | None:
    """Return what one image of a model costs in CNY, None if this package does not know."""
    return _PRICES.get(model or "")


def repaint_input(*, image_url: str, style: int, style_ref_url: str | None = None) -> dict[str, Any]:
    """Make the model's input object.

    :param image_url: the portrait, where the service can fetch it.
    :param style: the service's ``style_index``.
    :param style_ref_url: the picture whose style is taken; for style -1 only.
    """
    reference = {"style_ref_url": style_ref_url} if style_ref_url else {}
    return {"image_url": image_url, **reference, "style_index": style}
