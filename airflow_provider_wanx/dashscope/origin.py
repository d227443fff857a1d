"""What a result was made from, in a form that everybody may see who may see the result."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

from airflow_provider_wanx.dashscope.inline import is_inline
from airflow_provider_wanx.dashscope.redaction import KEY_SCHEMES

SOURCE = "dashscope-source"
"""Metadata of an object: the address of the picture that it was made from, percent-encoded as a whole."""

STYLE = "dashscope-style"
"""Metadata of an object: the number of its style."""

NAMELESS = "portrait"
"""Name of a picture that has none, such as a ``data:`` URL."""

MAX_NAME_BYTES = 120
"""Longest name of a source in a key, in UTF-8: a key has 1,024 bytes, and other parts."""

_MAX_ADDRESS = 4096
"""Characters of the longest path that systems know, and more than a URL has without its query."""

_MAX_METADATA = 1024
"""S3 takes 2 KB of metadata for an object, and the user may add some."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a task was made from, as far as it is known.

    :param source: address of the picture, see :func:`source_address`.
    :param style: the service's ``style_index``.
    :param model: the model's name.
    """

    source: str | None = None
    style: int | None = None
    model: str | None = None

    def metadata(self) -> dict[str, str]:
        """Write it as the metadata of an S3 object, which takes ASCII only. :func:`urllib.parse.unquote` reads the source."""
        metadata = {}
        if self.source is not None:
            metadata[SOURCE] = metadata_text(self.source)
        if self.style is not None:
            metadata[STYLE] = str(self.style)
        return metadata


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
    scheme, separator, rest = text.partition("://")
    if separator:
        if scheme.lower() not in KEY_SCHEMES:
            rest = re.split("[?#]", rest, maxsplit=1)[0]
        place, slash, path = rest.partition("/")
        text = f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"
    # What is longer is no place, and may be anything.
    return text if len(text) <= _MAX_ADDRESS else None


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


def shown(source: str) -> str:
    """Write a source for a log or a message: on one line, and in the order in which it is written."""
    return "".join(each if each.isprintable() else "�" for each in source)


def metadata_text(text: str, *, limit: int = _MAX_METADATA) -> str:
    """Write a text as S3's metadata takes it: percent-encoded where it is not ASCII, and not endless.

    :param limit: its longest form, in characters.
    """
    text = text[:limit]
    while len(encoded := quote(text, safe="/:@!$&'()*+,;=", errors="replace")) > limit:
        text = text[:-1]
    return encoded
