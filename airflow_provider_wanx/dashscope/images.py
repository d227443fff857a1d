"""What can be known of an input picture before money is spent on it.

The limits are the repaint model's (its page), checked by content, never by name.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, replace

from PIL import Image

from airflow_provider_wanx.dashscope.errors import InvalidInputError

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

_PHOTO_WITH_EXTRAS = "MPO"
"""What Pillow calls a JPEG file that has a preview or a depth map behind the picture, as many phones write it."""

MOST_HEADERS = 16 * 1024
"""So much of a file's beginning is enough to read format and size of most pictures."""

HEADER_BYTES = 256 * 1024
"""So much is nearly always enough."""


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


def check_image(
    head: bytes, *, what: str, size: int | None = None, is_style_reference: bool = False
) -> ImageInfo:
    """Check a picture against the model's limits.

    :param head: the file, or at least its first :data:`HEADER_BYTES` bytes.
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
    info = _read_header(head, what)
    if info.format not in FORMATS:
        raise InvalidInputError(
            f"The file is a {info.format} picture; the model takes {', '.join(FORMATS)}: {what}."
        )
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
    return replace(info, doubts=tuple(doubts))


def _read_header(head: bytes, what: str) -> ImageInfo:
    if not head:
        raise InvalidInputError(f"The picture is empty: {what}.")
    try:
        with warnings.catch_warnings():
            # Pillow warns of pictures with very many pixels; the check of the sides refuses them.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(head)) as image:
                name = "JPEG" if image.format == _PHOTO_WITH_EXTRAS else image.format or "unknown"
                return ImageInfo(name, image.width, image.height)
    except Image.DecompressionBombError:
        raise InvalidInputError(
            f"The picture has far too many pixels; the model takes {MAX_LONG_SIDE}×{MAX_SHORT_SIDE} at most: {what}."
        ) from None
    except (OSError, SyntaxError, ValueError, RuntimeError):
        # Pillow's readers of rarer formats, which are tried too, fail in their own ways.
        is_text = head[:512].isascii() and b"\0" not in head[:512]
        kind = "text" if is_text else "no picture that can be read"
        raise InvalidInputError(
            f"The file is {kind}; the model takes {', '.join(FORMATS)}: {what}."
        ) from None
