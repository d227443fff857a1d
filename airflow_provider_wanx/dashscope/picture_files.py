"""Format and size of a picture, by as many of its first bytes as its format needs.

Pillow reads more than that: it wants all of a WebP file, goes through texts and profiles before it tells the size, and refuses
a picture for their length.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

FIRST_BYTES = 16 * 1024
"""So many bytes of a picture's beginning tell format and size nearly always."""


class Header(NamedTuple):
    """What the beginning of a file tells.

    :param format: Pillow's name of the format.
    :param width: in pixels; 0 where it was not looked for.
    :param height: in pixels.
    """

    format: str
    width: int = 0
    height: int = 0


def read_header(head: bytes) -> Header | int | None:
    """Read format and size.

    :param head: the file's beginning.
    :return: the number of bytes that are needed, where these do not suffice; None if it is a file of another kind.
    """
    for magic, read in _READERS.items():
        if head.startswith(magic):
            return read(head)
    return _iso_media(head) if head[4:8] == b"ftyp" else None


def is_cut_off(content: bytes, header: Header) -> bool:
    """Tell whether the end of a picture is missing.

    :param content: the whole file.
    :param header: what its beginning tells.
    """
    if header.format == "PNG":
        return not _has_end_of_png(content)
    if header.format == "WEBP":
        return len(content) < 8 + int.from_bytes(content[4:8], "little")
    return not _can_be_decoded(content)


def _png(head: bytes) -> Header | int | None:
    if len(head) < 24:
        return 24
    if head[12:16] != b"IHDR":
        return None
    return Header("PNG", int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))


def _has_end_of_png(content: bytes) -> bool:
    at = 8
    while at + 12 <= len(content):
        if content[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return False


_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG's markers before the size."""

_SCAN, _END = 0xDA, 0xD9


def _jpeg(head: bytes) -> Header | int | None:
    at = 2
    while (at := head.find(b"\xff", at)) >= 0:
        if len(head) < at + 9:
            return at + 9
        marker = head[at + 1]
        if marker in _FRAMES:
            return Header(
                "JPEG",
                int.from_bytes(head[at + 7 : at + 9], "big"),
                int.from_bytes(head[at + 5 : at + 7], "big"),
            )
        if marker in (_SCAN, _END):
            return None
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker < _END:
            at += 1
        else:
            at += 2 + max(2, int.from_bytes(head[at + 2 : at + 4], "big"))
            if at >= len(head):
                return at + 9
    return len(head) + 9


def _webp(head: bytes) -> Header | int | None:
    if len(head) < 30:
        return 30
    if head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return Header(
            "WEBP", 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        )
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return Header("WEBP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        sides = int.from_bytes(head[26:30], "little")
        return Header("WEBP", sides & 0x3FFF, sides >> 16 & 0x3FFF)
    return None


def _bmp(head: bytes) -> Header | int | None:
    if len(head) < 26:
        return 26
    size = int.from_bytes(head[14:18], "little")
    if size == 12:
        return Header("BMP", int.from_bytes(head[18:20], "little"), int.from_bytes(head[20:22], "little"))
    if size in (40, 52, 56, 64, 108, 124):
        # A negative height is a picture that begins at its top.
        width, height = (abs(int.from_bytes(head[at : at + 4], "little", signed=True)) for at in (18, 22))
        return Header("BMP", width, height)
    return None


def _iso_media(head: bytes) -> Header | None:
    """HEIC and AVIF, which Pillow knows with a library only, if at all."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return Header("AVIF")
    return (
        Header("HEIC") if any(brand[:3] in (b"hei", b"hev") or brand == b"mif1" for brand in brands) else None
    )


_READERS: dict[bytes, Callable[[bytes], Header | int | None]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"RIFF": _webp,
    b"BM": _bmp,
}


def name_of_other(head: bytes) -> str | None:
    """Ask Pillow what a file is that is none of these; None if it does not know."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(head)) as image:
                return image.format
    except (OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError):
        # Pillow's readers of rarer formats, which are tried too, fail in their own ways.
        return None


def _can_be_decoded(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as image:
            # An eighth of the sides takes little memory, and goes through all bytes as well.
            image.draft("L", (image.width // 8, image.height // 8))
            image.load()
    except (OSError, SyntaxError, ValueError, RuntimeError):
        return False
    return True
