"""What the styles are painted on."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from airflow_provider_wanx.simulator.recipes import Surface

_PIXEL = 12


def put_on_surface(canvas: Image.Image, surface: Surface) -> Image.Image:
    """Return the canvas as it looks on a surface."""
    return _WAYS[surface](canvas)


def _smooth(canvas: Image.Image) -> Image.Image:
    return canvas


def _halftone(canvas: Image.Image) -> Image.Image:
    cell = Image.new("L", (8, 8), 255)
    ImageDraw.Draw(cell).ellipse((2, 2, 5, 5), fill=120)
    dots = _tiled(cell, canvas.size)
    dark = canvas.convert("L").point(lambda value: 255 if value < 140 else 0)
    return Image.composite(ImageChops.multiply(canvas, dots.convert("RGB")), canvas, dark)


def _paper(canvas: Image.Image) -> Image.Image:
    grain = _noise(canvas.size, spread=26, grain=2)
    return ImageChops.multiply(canvas, grain.point(lambda value: min(255, value + 112)).convert("RGB"))


def _pixels(canvas: Image.Image) -> Image.Image:
    small = canvas.resize(
        (max(1, canvas.width // _PIXEL), max(1, canvas.height // _PIXEL)), Image.Resampling.BOX
    )
    return small.resize(canvas.size, Image.Resampling.NEAREST)


def _crayon(canvas: Image.Image) -> Image.Image:
    wax = _noise((canvas.width // 4, canvas.height), spread=90, grain=2).resize(canvas.size)
    gaps = wax.point(lambda value: 255 if value > 168 else 0).filter(ImageFilter.GaussianBlur(0.7))
    return Image.composite(Image.new("RGB", canvas.size, (255, 252, 240)), canvas, gaps)


def _clay(canvas: Image.Image) -> Image.Image:
    relief = canvas.convert("L").filter(ImageFilter.GaussianBlur(3)).filter(ImageFilter.EMBOSS)
    lit = ImageChops.add(canvas, relief.convert("RGB"), scale=1.0, offset=-128)
    return ImageEnhance.Contrast(lit).enhance(1.15)


def _scanlines(canvas: Image.Image) -> Image.Image:
    line = Image.new("L", (1, 5), 255)
    line.putpixel((0, 0), 90)
    line.putpixel((0, 1), 170)
    return ImageChops.multiply(canvas, _tiled(line, canvas.size).convert("RGB"))


def _sparkles(canvas: Image.Image) -> Image.Image:
    dice = random.Random(9)
    glitter = Image.new("RGB", canvas.size)
    draw = ImageDraw.Draw(glitter)
    for _ in range(90):
        x, y, size = dice.randrange(canvas.width), dice.randrange(canvas.height), dice.randrange(3, 11)
        draw.line((x - size, y, x + size, y), fill=(255, 240, 170), width=2)
        draw.line((x, y - size, x, y + size), fill=(255, 240, 170), width=2)
    return ImageChops.screen(canvas, glitter.filter(ImageFilter.GaussianBlur(0.8)))


def _strokes(canvas: Image.Image) -> Image.Image:
    bristles = _noise(canvas.size, spread=60, grain=1)
    bristles = bristles.resize((max(1, canvas.width // 12), canvas.height)).resize(canvas.size)
    return ImageChops.overlay(canvas.filter(ImageFilter.MedianFilter(5)), bristles.convert("RGB"))


def _noise(size: tuple[int, int], *, spread: int, grain: int) -> Image.Image:
    """Make grey noise that is the same on every run, so that the same order gives the same bytes."""
    width, height = max(1, size[0] // grain), max(1, size[1] // grain)
    dice = random.Random(spread * 1000 + grain)
    noise = Image.frombytes("L", (width, height), dice.randbytes(width * height))
    return noise.point(lambda value: 128 + (value - 128) * spread // 128).resize(size)


def _tiled(cell: Image.Image, size: tuple[int, int]) -> Image.Image:
    tiled = Image.new("L", size)
    row = Image.new("L", (size[0], cell.height))
    for x in range(0, size[0], cell.width):
        row.paste(cell, (x, 0))
    for y in range(0, size[1], cell.height):
        tiled.paste(row, (0, y))
    return tiled


_WAYS: dict[Surface, Callable[[Image.Image], Image.Image]] = {
    Surface.SMOOTH: _smooth,
    Surface.HALFTONE: _halftone,
    Surface.PAPER: _paper,
    Surface.PIXELS: _pixels,
    Surface.CRAYON: _crayon,
    Surface.CLAY: _clay,
    Surface.SCANLINES: _scanlines,
    Surface.SPARKLES: _sparkles,
    Surface.STROKES: _strokes,
}
