"""What the styles are painted on, and what surrounds them. Each effect returns a canvas of the same size."""

from __future__ import annotations

import random

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

_PIXEL = 12


def plain(canvas: Image.Image) -> Image.Image:
    """Leave the picture as it is."""
    return canvas


def halftone(canvas: Image.Image) -> Image.Image:
    """Print the dark parts in dots."""
    cell = Image.new("L", (8, 8), 255)
    ImageDraw.Draw(cell).ellipse((2, 2, 5, 5), fill=120)
    dots = _tiled(cell, canvas.size)
    dark = canvas.convert("L").point(lambda value: 255 if value < 140 else 0)
    return Image.composite(ImageChops.multiply(canvas, dots.convert("RGB")), canvas, dark)


def paper(canvas: Image.Image) -> Image.Image:
    """Paint on grainy paper."""
    grain = _noise(canvas.size, spread=26, grain=2)
    return ImageChops.multiply(canvas, grain.point(lambda value: min(255, value + 112)).convert("RGB"))


def pixels(canvas: Image.Image) -> Image.Image:
    """Paint in large square pixels."""
    small = canvas.resize(
        (max(1, canvas.width // _PIXEL), max(1, canvas.height // _PIXEL)), Image.Resampling.BOX
    )
    return small.resize(canvas.size, Image.Resampling.NEAREST)


def crayon(canvas: Image.Image) -> Image.Image:
    """Leave gaps, as wax does on paper."""
    wax = _noise((canvas.width // 4, canvas.height), spread=90, grain=2).resize(canvas.size)
    gaps = wax.point(lambda value: 255 if value > 168 else 0).filter(ImageFilter.GaussianBlur(0.7))
    return Image.composite(Image.new("RGB", canvas.size, (255, 252, 240)), canvas, gaps)


def clay(canvas: Image.Image) -> Image.Image:
    """Model in clay, lit from one side."""
    relief = canvas.convert("L").filter(ImageFilter.GaussianBlur(3)).filter(ImageFilter.EMBOSS)
    lit = ImageChops.add(canvas, relief.convert("RGB"), scale=1.0, offset=-128)
    return ImageEnhance.Contrast(lit).enhance(1.15)


def scanlines(canvas: Image.Image) -> Image.Image:
    """Show on an old screen."""
    line = Image.new("L", (1, 5), 255)
    line.putpixel((0, 0), 90)
    line.putpixel((0, 1), 170)
    return ImageChops.multiply(canvas, _tiled(line, canvas.size).convert("RGB"))


def sparkles(canvas: Image.Image) -> Image.Image:
    """Strew glitter."""
    dice = random.Random(9)
    glitter = Image.new("RGB", canvas.size)
    draw = ImageDraw.Draw(glitter)
    for _ in range(90):
        x, y, size = dice.randrange(canvas.width), dice.randrange(canvas.height), dice.randrange(3, 11)
        draw.line((x - size, y, x + size, y), fill=(255, 240, 170), width=2)
        draw.line((x, y - size, x, y + size), fill=(255, 240, 170), width=2)
    return ImageChops.screen(canvas, glitter.filter(ImageFilter.GaussianBlur(0.8)))


def strokes(canvas: Image.Image) -> Image.Image:
    """Show the strokes of a brush."""
    bristles = _noise(canvas.size, spread=60, grain=1)
    bristles = bristles.resize((max(1, canvas.width // 12), canvas.height)).resize(canvas.size)
    return ImageChops.overlay(canvas.filter(ImageFilter.MedianFilter(5)), bristles.convert("RGB"))


def border(canvas: Image.Image) -> Image.Image:
    """Draw two lines around the picture."""
    framed = canvas.copy()
    draw = ImageDraw.Draw(framed)
    edge = min(canvas.size) // 40
    right, bottom = canvas.width - 1, canvas.height - 1
    draw.rectangle((0, 0, right, bottom), outline=(150, 30, 30), width=edge)
    draw.rectangle((edge * 2, edge * 2, right - edge * 2, bottom - edge * 2), outline=(196, 150, 60), width=3)
    return framed


def lanterns(canvas: Image.Image) -> Image.Image:
    """Hang a lantern into each upper corner."""
    framed = canvas.copy()
    draw = ImageDraw.Draw(framed)
    unit = min(canvas.size) // 12
    for x in (unit, canvas.width - unit):
        draw.line((x, 0, x, unit), fill=(120, 60, 0), width=4)
        draw.ellipse((x - unit * 3 // 4, unit, x + unit * 3 // 4, unit * 5 // 2), fill=(206, 20, 24))
        draw.rectangle((x - unit // 3, unit - 6, x + unit // 3, unit + 6), fill=(240, 190, 60))
        draw.line((x, unit * 5 // 2, x, unit * 7 // 2), fill=(240, 190, 60), width=5)
    return framed


def magnet(canvas: Image.Image) -> Image.Image:
    """Mount as a fridge magnet."""
    margin = min(canvas.size) // 10
    box = (margin, margin, canvas.width - margin, canvas.height - margin)
    return _mounted(canvas, box, radius=margin, door=(206, 214, 218))


def badge(canvas: Image.Image) -> Image.Image:
    """Mount as a round badge."""
    radius = min(canvas.size) // 2 - min(canvas.size) // 20
    x, y = canvas.width // 2, canvas.height // 2
    return _mounted(
        canvas, (x - radius, y - radius, x + radius, y + radius), radius=radius, door=(92, 84, 120)
    )


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
