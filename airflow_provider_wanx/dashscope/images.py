"""What can be known of an input picture before money is spent on it.

The limits are the repaint model's (its page), checked by content, never by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.picture_files import (
    Header,
    is_cut_off,
    name_of_other,
    read_header,
)

FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "BMP": "image/bmp", "WEBP": "image/webp"}
"""Formats that the model takes → their content type."""

MIN_SIDE = 256
"""Pixels of the shorter side at least."""

MAX_LONG_SIDE, MAX_SHORT_SIDE = 5760, 3240
"""Pixels of the sides at most, upright or lying."""

MAX_BYTES = 10 * 1024 * 1024
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
    if total > MAX_BYTES:
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
    if short_side < MIN_SIDE:
        raise InvalidInputError(
            f"The picture has {shape}; the model takes {MIN_SIDE}×{MIN_SIDE} at least: {what}."
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
    if len(head) >= total and is_cut_off(head, info):
        raise InvalidInputError(
            f"The picture is damaged or cut off: {what}. Its {total} bytes end before the picture does, or cannot be decoded. "
            "Put the whole file there."
        )
    return ImageInfo(info.format, info.width, info.height, tuple(doubts))


def bytes_needed(head: bytes) -> int:
    """Tell how many bytes of a file's beginning :func:`check_image` needs; 0 if these suffice.

    :param head: the beginning, as far as it was read.
    """
    found = read_header(head)
    return found if isinstance(found, int) else 0


def _read(head: bytes, what: str) -> Header:
    if not head:
        raise InvalidInputError(f"The picture is empty: {what}.")
    found = read_header(head)
    if isinstance(found, Header) and found.format in FORMATS:
        return found
    name = found.format if isinstance(found, Header) else name_of_other(head) if found is None else None
    if name in FORMATS or name is None:
        is_text = head[:512].isascii() and b"\0" not in head[:512]
        kind = "text" if is_text else "no picture that can be read"
    else:
        kind = f"a {name} picture"
    raise InvalidInputError(
        f"The file is {kind}; the model takes {', '.join(FORMATS)}: {what}.{_ADVICE.get(name or '', '')}"
    )
