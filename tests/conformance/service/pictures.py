"""The pictures that are sent: all of them are made from one portrait."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

PORTRAIT = Path(__file__).parents[2] / "data" / "portraits" / "astronaut.png"
"""A photograph in the public domain."""

NO_PICTURE = "data:image/jpeg;base64," + base64.b64encode(b"This is text and no picture.").decode()

NOWHERE = "https://portrait.invalid/portrait.jpg"
"""No such host can exist, so that a task of it costs nothing, whatever the service does."""


def data_url(data: bytes) -> str:
    """Write a picture into a URL."""
    with Image.open(io.BytesIO(data)) as image:
        kind = Image.MIME[image.format or "JPEG"]
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def jpeg(portrait: bytes) -> bytes:
    """The portrait as it is sent: 768 pixels wide, without what a camera notes."""
    image = _open(portrait)
    return _written(image.resize((768, round(768 * image.height / image.width))), "JPEG")


def small(portrait: bytes) -> bytes:
    """A picture of 128 × 128 pixels, which is too small."""
    return _written(_open(portrait).resize((128, 128)), "JPEG")


def wide(portrait: bytes) -> bytes:
    """A picture of 1.8:1, between the two documented limits."""
    return _written(_on_canvas(portrait, (1382, 768)), "JPEG")


def huge(portrait: bytes) -> bytes:
    """A picture of 5800 × 3300 pixels, which is too large."""
    return _written(_on_canvas(portrait, (5800, 3300)), "JPEG")


def webp(portrait: bytes) -> bytes:
    """The portrait as a WEBP file."""
    return _written(_open(portrait).resize((640, 640)), "WEBP")


def png(portrait: bytes) -> bytes:
    """The portrait as a PNG file."""
    return _written(_open(portrait).resize((512, 512)), "PNG")


def gif(portrait: bytes) -> bytes:
    """The portrait as a GIF file, which is no format of the model."""
    return _written(_open(portrait).resize((512, 512)), "GIF")


def large(portrait: bytes) -> bytes:
    """The portrait as a BMP file of 10,201,062 bytes: more than 10 MB, less than 10 MiB."""
    return _written(_open(portrait).resize((1844, 1844)), "BMP")


def too_large(portrait: bytes) -> bytes:
    """The portrait as a BMP file of 10,603,254 bytes: more than 10 MiB."""
    return _written(_open(portrait).resize((1880, 1880)), "BMP")


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a picture.

    :raises ValueError: it is none.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except UnidentifiedImageError as error:
        raise ValueError("no picture") from error


def _on_canvas(portrait: bytes, size: tuple[int, int]) -> Image.Image:
    """The portrait in the middle of a larger picture of the colour of its corner."""
    width, height = size
    image = _open(portrait).resize((height, height))
    colour = image.resize((1, 1), box=(0, 0, 8, 8)).tobytes()
    canvas = Image.new("RGB", size, (colour[0], colour[1], colour[2]))
    canvas.paste(image, ((width - height) // 2, 0))
    return canvas


def _open(portrait: bytes) -> Image.Image:
    with Image.open(io.BytesIO(portrait)) as image:
        return image.convert("RGB")


def _written(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
