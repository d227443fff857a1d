"""Pictures, good and bad."""

from __future__ import annotations

import base64
import io
import zlib
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


def picture_behind_metadata(size: int) -> bytes:
    """Make a good JPEG picture that has so many bytes of metadata, or a few more, before what tells its width and height."""
    content, longest = picture(kind="JPEG"), 65_000
    segment = b"\xff\xe1" + (longest + 2).to_bytes(2, "big") + bytes(longest)
    return content[:2] + segment * (size // longest + 1) + content[2:]


def picture_claiming(side: int) -> bytes:
    """Make a small PNG whose header tells of a square with this many pixels a side."""
    content = picture()
    header = content[12:16] + side.to_bytes(4, "big") * 2 + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]


def data_url(content: bytes, kind: str = "image/png") -> str:
    """Put a picture into a URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
