"""Pictures that are written out in a text: ``data:`` URLs, and Base64 with nothing before it."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote, unquote_to_bytes

_BARE = re.compile(
    # How JPEG, PNG, WebP and BMP begin in Base64; or a text that is too long for a path.
    r"(?:[/_]9j[/_]|iVBORw0KGgo|UklGR|Qk[0-3])[\w+/=\s-]{96}|[\w+/=\s-]{4097,}\Z",
    re.ASCII,
)


def is_inline(text: str) -> bool:
    """Tell whether a text holds a picture itself, and not its address."""
    return text[:5].lower() == "data:" or _BARE.match(text) is not None


def inline_content(text: str) -> bytes | None:
    """Return the bytes that a text holds, however it is written: line breaks, case, padding and alphabet do not matter.

    :param text: one of which :func:`is_inline` is true.
    :return: None if it cannot be read.
    """
    is_url = text[:5].lower() == "data:"
    header, comma, payload = text.partition(",") if is_url else (";base64", ",", text)
    if not comma:
        return None
    if not re.search(r";\s*base64\s*\Z", header, re.IGNORECASE):
        return unquote_to_bytes(payload)
    letters = "".join(unquote(payload).split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def data_url(content: bytes, content_type: str) -> str:
    """Write a picture as the service takes it."""
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"
