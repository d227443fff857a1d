"""What can be known of an input picture before money is spent on it, by as many of its first bytes as its format needs.

The limits are the repaint model's (its page), checked by content, never by name. Pillow would read more: it wants all of a WebP
file, goes through texts and profiles before it tells the size, and refuses a picture for their length.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from airflow_provider_wanx.dashscope.errors import InvalidInputError

FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "BMP": "image/bmp", "WEBP": "image/webp"}
"""Formats that the model takes → their content type."""

FIRST_BYTES = 16 * 1024
"""So many bytes of a picture's beginning tell format and size nearly always."""

MIN_SIDE_PIXELS = 256
"""Pixels of the shorter side at least."""

MAX_LONG_SIDE, MAX_SHORT_SIDE = 5760, 3240
"""Pixels of the sides at most, upright or lying."""

MAX_PICTURE_BYTES = 10 * 1024 * 1024
"""Size of the file at most: "10 MB", read as the larger of the two possible meanings."""

CERTAIN_BYTES = 10 * 1000 * 1000
"""The smaller meaning: what lies between the two, the service may refuse."""

MAX_ASPECT_RATIO = 2.0
"""Long side by short side at most; the newest page says 2:1, older ones 1.5:1 with cropping. For a style reference it is a
recommendation only."""

_ADVICE = {
    "HEIC": " Convert it to JPEG first. An iPhone writes JPEG with Settings, Camera, Formats, Most Compatible.",
    "AVIF": " Convert it to JPEG first.",
}
"""What helps with a format that phones and browsers write, and the model does not take."""


@dataclass(frozen=True)
class ImageInfo:
    """What a picture is.

    :param format: Pillow's name of its format.
    :param width: in pixels.
    :param height: in pixels.
    :param doubts: sentences about what the service may refuse or do badly with.
    """

    format: str
    width: int
    height: int
    doubts: tuple[str, ...] = ()

    @property
    def content_type(self) -> str:
        """The content type that belongs to the format."""
        return FORMATS[self.format]

    @property
    def extension(self) -> str:
        """The extension that belongs to the format, with its dot."""
        return ".jpg" if self.format == "JPEG" else f".{self.format.lower()}"


def check_image(
    head: bytes, *, what: str, size: int | None = None, is_style_reference: bool = False
) -> ImageInfo:
    """Check a picture against the model's limits, and if all of it is there, that its end is.

    :param head: the file, or as much of its beginning as :func:`bytes_needed` asks for.
    :param what: how to call it in messages: its path or URL without a query.
    :param size: size of the whole file in bytes, where ``head`` is not all of it.
    :param is_style_reference: whether only its style is wanted, so that its shape matters less.
    :return: what it is, and what is doubtful about it.
    :raises InvalidInputError: it breaks a limit; the message names limit and value.
    """
    total = len(head) if size is None else size
    if total > MAX_PICTURE_BYTES:
        raise InvalidInputError(
            f"The picture has {total / 1e6:.1f} MB; the model takes {CERTAIN_BYTES / 1e6:.0f} MB at most: {what}."
        )
    doubts: list[str] = []
    if total > CERTAIN_BYTES:
        doubts.append(
            f"{what} has {total} bytes; the model takes 10 MB at most, and may mean {CERTAIN_BYTES} bytes by that."
        )
    info = _read(head, what)
    long_side, short_side = max(info.width, info.height), min(info.width, info.height)
    shape = f"{info.width}×{info.height} pixels"
    if short_side < MIN_SIDE_PIXELS:
        raise InvalidInputError(
            f"The picture has {shape}; the model takes {MIN_SIDE_PIXELS}×{MIN_SIDE_PIXELS} at least: {what}."
        )
    if long_side > MAX_LONG_SIDE or short_side > MAX_SHORT_SIDE:
        raise InvalidInputError(
            f"The picture has {shape}; the model takes {MAX_LONG_SIDE}×{MAX_SHORT_SIDE} at most: {what}."
        )
    if long_side > MAX_ASPECT_RATIO * short_side:
        shape = f"{shape}, {long_side / short_side:.2f}:1"
        if not is_style_reference:
            raise InvalidInputError(
                f"The picture has {shape}; the model takes {MAX_ASPECT_RATIO:.0f}:1 at most: {what}. Crop it."
            )
        doubts.append(
            f"{what} has {shape}; {MAX_ASPECT_RATIO:.0f}:1 at most is recommended for a picture whose style is taken."
        )
    if len(head) >= total and _is_cut_off(head, info):
        raise InvalidInputError(
            f"The picture is damaged or cut off: {what}. Its {total} bytes end before the picture does, or cannot be decoded. "
            "Put the whole file there."
        )
    return ImageInfo(info.format, info.width, info.height, tuple(doubts))


def bytes_needed(head: bytes) -> int:
    """Tell how many bytes of a file's beginning :func:`check_image` needs; 0 if these suffice.

    :param head: the beginning, as far as it was read.
    """
    found = _read_header(head)
    return found if isinstance(found, int) else 0


def _read(head: bytes, what: str) -> _Header:
    if not head:
        raise InvalidInputError(f"The picture is empty: {what}.")
    found = _read_header(head)
    if isinstance(found, _Header) and found.format in FORMATS:
        return found
    name = found.format if isinstance(found, _Header) else _name_of_other(head) if found is None else None
    if name in FORMATS or name is None:
        is_text = head[:512].isascii() and b"\0" not in head[:512]
        kind = "text" if is_text else "no picture that can be read"
    else:
        kind = f"a {name} picture"
    raise InvalidInputError(
        f"The file is {kind}; the model takes {', '.join(FORMATS)}: {what}.{_ADVICE.get(name or '', '')}"
    )


class _Header(NamedTuple):
    """What the beginning of a file tells.

    :param format: Pillow's name of the format.
    :param width: in pixels; 0 where it was not looked for.
    :param height: in pixels.
    """

    format: str
    width: int = 0
    height: int = 0


def _read_header(head: bytes) -> _Header | int | None:
    """Read format and size.

    :param head: the file's beginning.
    :return: the number of bytes that are needed, where these do not suffice; None if it is a file of another kind.
    """
    for magic, read in _READERS.items():
        if head.startswith(magic):
            return read(head)
    return _iso_media(head) if head[4:8] == b"ftyp" else None


def _is_cut_off(content: bytes, header: _Header) -> bool:
    """Tell whether the end of a picture is missing.

    :param content: the whole file.
    :param header: what its beginning tells.
    """
    if header.format == "PNG":
        return not _has_end_of_png(content)
    if header.format == "WEBP":
        return len(content) < 8 + int.from_bytes(content[4:8], "little")
    return not _can_be_decoded(content)


def _png(head: bytes) -> _Header | int | None:
    if len(head) < 24:
        return 24
    if head[12:16] != b"IHDR":
        return None
    return _Header("PNG", int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))


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


def _jpeg(head: bytes) -> _Header | int | None:
    at = 2
    while (at := head.find(b"\xff", at)) >= 0:
        if len(head) < at + 9:
            return at + 9
        marker = head[at + 1]
        if marker in _FRAMES:
            return _Header(
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


def _webp(head: bytes) -> _Header | int | None:
    if len(head) < 30:
        return 30
    if head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return _Header(
            "WEBP", 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        )
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return _Header("WEBP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        sides = int.from_bytes(head[26:30], "little")
        return _Header("WEBP", sides & 0x3FFF, sides >> 16 & 0x3FFF)
    return None


def _bmp(head: bytes) -> _Header | int | None:
    if len(head) < 26:
        return 26
    size = int.from_bytes(head[14:18], "little")
    if size == 12:
        return _Header("BMP", int.from_bytes(head[18:20], "little"), int.from_bytes(head[20:22], "little"))
    if size in (40, 52, 56, 64, 108, 124):
        # A negative height is a picture that begins at its top.
        width, height = (abs(int.from_bytes(head[at : at + 4], "little", signed=True)) for at in (18, 22))
        return _Header("BMP", width, height)
    return None


def _iso_media(head: bytes) -> _Header | None:
    """HEIC and AVIF, which Pillow knows with a library only, if at all."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return _Header("AVIF")
    return (
        _Header("HEIC")
        if any(brand[:3] in (b"hei", b"hev") or brand == b"mif1" for brand in brands)
        else None
    )


_READERS: dict[bytes, Callable[[bytes], _Header | int | None]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"RIFF": _webp,
    b"BM": _bmp,
}


def _name_of_other(head: bytes) -> str | None:
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
