"""What surrounds the painted portraits."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFilter

from airflow_provider_wanx.simulator.recipes import Frame


def put_frame(canvas: Image.Image, frame: Frame) -> Image.Image:
    """Return the canvas in a frame, at the same size."""
    return _WAYS[frame](canvas)


def _none(canvas: Image.Image) -> Image.Image:
    return canvas


def _border(canvas: Image.Image) -> Image.Image:
    framed = canvas.copy()
    draw = ImageDraw.Draw(framed)
    edge = min(canvas.size) // 40
    right, bottom = canvas.width - 1, canvas.height - 1
    draw.rectangle((0, 0, right, bottom), outline=(150, 30, 30), width=edge)
    draw.rectangle((edge * 2, edge * 2, right - edge * 2, bottom - edge * 2), outline=(196, 150, 60), width=3)
    return framed


def _lanterns(canvas: Image.Image) -> Image.Image:
    framed = canvas.copy()
    draw = ImageDraw.Draw(framed)
    unit = min(canvas.size) // 12
    for x in (unit, canvas.width - unit):
        draw.line((x, 0, x, unit), fill=(120, 60, 0), width=4)
        draw.ellipse((x - unit * 3 // 4, unit, x + unit * 3 // 4, unit * 5 // 2), fill=(206, 20, 24))
        draw.rectangle((x - unit // 3, unit - 6, x + unit // 3, unit + 6), fill=(240, 190, 60))
        draw.line((x, unit * 5 // 2, x, unit * 7 // 2), fill=(240, 190, 60), width=5)
    return framed


def _magnet(canvas: Image.Image) -> Image.Image:
    margin = min(canvas.size) // 10
    box = (margin, margin, canvas.width - margin, canvas.height - margin)
    return _mounted(canvas, box, radius=margin, door=(206, 214, 218))


def _badge(canvas: Image.Image) -> Image.Image:
    radius = min(canvas.size) // 2 - min(canvas.size) // 20
    x, y = canvas.width // 2, canvas.height // 2
    return _mounted(
        canvas, (x - radius, y - radius, x + radius, y + radius), radius=radius, door=(92, 84, 120)
    )


def _mounted(
    canvas: Image.Image, box: tuple[int, int, int, int], *, radius: int, door: tuple[int, int, int]
) -> Image.Image:
    """Put the picture as a white-rimmed piece on a plain ground, with its shadow."""
    left, top, right, bottom = box
    picture = canvas.resize((right - left, bottom - top))
    ground = Image.new("RGB", canvas.size, door)
    shade = Image.new("L", canvas.size)
    ImageDraw.Draw(shade).rounded_rectangle((left + 8, top + 12, right + 8, bottom + 12), radius, fill=150)
    ground.paste((20, 20, 30), (0, 0), shade.filter(ImageFilter.GaussianBlur(9)))
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, picture.width - 1, picture.height - 1), radius, fill=255)
    ground.paste(picture, (left, top), mask)
    ImageDraw.Draw(ground).rounded_rectangle(box, radius, outline=(252, 252, 252), width=10)
    return ground


_WAYS: dict[Frame, Callable[[Image.Image], Image.Image]] = {
    Frame.NONE: _none,
    Frame.BORDER: _border,
    Frame.LANTERNS: _lanterns,
    Frame.MAGNET: _magnet,
    Frame.BADGE: _badge,
}
