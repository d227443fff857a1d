"""What a user calls a picture: an address, of which everybody may see what is not secret, or the picture itself in Base64."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote, unquote_to_bytes

from airflow_provider_wanx.dashscope.redaction import KEY_SCHEMES, bare_address

NAMELESS = "portrait"
"""Name of a picture that has none, such as a ``data:`` URL."""

MAX_NAME_BYTES = 120
"""Longest name of a source in a key, in UTF-8: a key has 1,024 bytes, and other parts."""


def source_address(image: object) -> str | None:
    """Return a picture's address as the user gave it, without what may be secret in it.

    Queries, fragments and credentials are cut off, and of a ``data:`` URL its type is left. Paths and keys of object stores
    stay as they are, since ``?`` and ``#`` are parts of names there.

    :param image: what a user gives as a picture.
    :return: None if it is none.
    """
    text = image.strip() if isinstance(image, str) else ""
    if text in ("", "None"):
        return None
    if is_inline(text):
        kind = re.match(r"data:([\w.+-]+/[\w.+-]+)", text[:105], re.IGNORECASE)
        return f"data:{kind[1].lower() if kind else ''}"
    text = bare_address(text)
    # What is longer than any path of a system is no place, and may be anything.
    return text if len(text) <= 4096 else None


def file_stem(address: str) -> str:
    """Return the name of a picture's file without folders, query and extension; :data:`NAMELESS` if it has none.

    :param address: as a user gives it, or of :func:`source_address`.
    """
    source = source_address(address) or ""
    if source.startswith("data:"):
        return NAMELESS
    scheme, separator, path = source.partition("://")
    if separator and scheme.lower() not in KEY_SCHEMES:
        # Without the host, which is no file's name.
        path = unquote(path.partition("/")[2])
    return PurePosixPath(path if separator else source).stem or NAMELESS


def source_name(source: str) -> str:
    """Return the name of a source's file as it may stand in a key: one plain name, and not endless."""
    # Some systems write "é" as two characters, of which the second would be none that a key keeps.
    name = unicodedata.normalize("NFC", file_stem(source))
    name = "".join(each for each in name if each.isprintable() and each not in "/\\").strip(". ")
    return name.encode(errors="replace")[:MAX_NAME_BYTES].decode(errors="ignore").strip(". ") or NAMELESS


def on_one_line(source: str) -> str:
    """Write an address for a log or a message: without line breaks and signs that turn the direction of what follows."""
    return "".join(each if each.isprintable() else "�" for each in source)


_BARE_BASE64 = re.compile(
    # How JPEG, PNG, WebP and BMP begin in Base64; or a text that is too long for a path.
    r"(?:[/_]9j[/_]|iVBORw0KGgo|UklGR|Qk[0-3])[\w+/=\s-]{96}|[\w+/=\s-]{4097,}\Z",
    re.ASCII,
)


def is_inline(text: str) -> bool:
    """Tell whether a text holds a picture itself, and not its address."""
    return text[:5].lower() == "data:" or _BARE_BASE64.match(text) is not None


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
