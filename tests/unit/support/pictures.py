"""Pictures, good and bad."""

from __future__ import annotations

import base64
import io
from functools import cache

from PIL import Image


@cache
def picture(width: int = 300, height: int = 320, *, kind: str = "PNG", color: str = "navy") -> bytes:
    """Make a picture of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), color).save(stream, kind)
    return stream.getvalue()


def heavy_picture(size: int) -> bytes:
    """Make a good picture of a given number of bytes: what follows the end of a JPEG is no part of the picture."""
    content = picture(kind="JPEG")
    return content + bytes(size - len(content))


def data_url(content: bytes, kind: str = "image/png") -> str:
    """Put a picture into a URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
