"""The painter: reads a portrait, repaints it in a style, and draws pictures of its own."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps, ImageStat, UnidentifiedImageError

from airflow_provider_wanx.simulator.catalogue import REFERENCE_STYLE
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_url
from airflow_provider_wanx.simulator.painting import effects
from airflow_provider_wanx.simulator.painting.files import Blob
from airflow_provider_wanx.simulator.painting.styles import RECIPES, RGB, Recipe

OUTPUT_SHORT_SIDE = 1536
MAX_RATIO = 1.5
FORMATS = frozenset({"JPEG", "MPO", "PNG", "BMP", "WEBP"})

# Strokes are laid at this size and scaled up: a style must be told apart, not be printed.
_WORKING_SHORT_SIDE = 512
_THUMBNAIL = (240, 240)


@dataclass(frozen=True, kw_only=True)
class PictureInfo:
    """What was found out about a picture by decoding it.

    :param width: in pixels, as displayed.
    :param height: in pixels, as displayed.
    :param thumbnail: a small JPEG of it.
    """

    width: int
    height: int
    thumbnail: bytes


def inspect(data: bytes) -> PictureInfo:
    """Decode a picture completely.

    :param data: the file.
    :raises ServiceError: it is no picture, of a format that the service does not take, or broken.
    """
    picture = _decode(data)
    return PictureInfo(width=picture.width, height=picture.height, thumbnail=_thumbnail(picture))


def output_size(*, width: int, height: int) -> tuple[int, int]:
    """Size a result as documented: short side 1536, the ratio kept up to 1.5:1, beyond it 2304×1536."""
    ratio = min(max(width, height) / min(width, height), MAX_RATIO)
    long_side = round(OUTPUT_SHORT_SIDE * ratio)
    return (long_side, OUTPUT_SHORT_SIDE) if width >= height else (OUTPUT_SHORT_SIDE, long_side)


def repaint(data: bytes, *, style: int, reference: bytes | None = None) -> Blob:
    """Repaint a portrait.

    :param data: the portrait's file.
    :param style: one of the style numbers.
    :param reference: the file that lends its colours to style -1.
    :raises ServiceError: a file cannot be decoded.
    """
    recipe = RECIPES[style]
    portrait = _decode(data)
    full_size = output_size(width=portrait.width, height=portrait.height)
    scale = _WORKING_SHORT_SIDE / OUTPUT_SHORT_SIDE
    working_size = (round(full_size[0] * scale), round(full_size[1] * scale))
    canvas = ImageOps.fit(portrait, working_size, Image.Resampling.BICUBIC)
    canvas = _lay_paint(canvas, recipe)
    if style == REFERENCE_STYLE and reference is not None:
        canvas = _take_colours(canvas, _decode(reference))
    canvas = recipe.frame(recipe.surface(canvas))
    # Pixel art stays sharp only when it is not interpolated.
    resampling = Image.Resampling.NEAREST if recipe.surface is effects.pixels else Image.Resampling.BICUBIC
    return encode(canvas.resize(full_size, resampling), kind="JPEG")


def imagine(*, prompt: str, width: int, height: int, number: int = 0) -> Blob:
    """Draw an abstract picture from nothing but a prompt; the same words give the same picture."""
    dice = random.Random(hashlib.sha256(f"{number}:{prompt}".encode()).digest())
    colours: list[RGB] = [(dice.randrange(256), dice.randrange(256), dice.randrange(256)) for _ in range(3)]
    small = Image.linear_gradient("L").rotate(dice.choice((0, 90, 180, 270))).resize((256, 256))
    canvas = ImageOps.colorize(small, colours[0], colours[2], mid=colours[1])
    draw = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(24):
        x, y, radius = dice.randrange(256), dice.randrange(256), dice.randrange(8, 60)
        fill = (dice.randrange(256), dice.randrange(256), dice.randrange(256), dice.randrange(60, 180))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    return encode(canvas.resize((width, height), Image.Resampling.BICUBIC), kind="PNG")


def draw_portrait(*, width: int = 512, height: int = 512, seed: int = 0, kind: str = "JPEG") -> bytes:
    """Draw a simple face, as an input for demos and tests without a network.

    :param width: in pixels.
    :param height: in pixels.
    :param seed: each gives another person.
    :param kind: the file format, in Pillow's words.
    """
    dice = random.Random(seed)
    skin = dice.choice(((241, 205, 170), (198, 140, 100), (120, 80, 56)))
    hair = dice.choice(((40, 28, 20), (150, 100, 40), (90, 90, 96)))
    shirt = (dice.randrange(40, 220), dice.randrange(40, 220), dice.randrange(40, 220))
    sky = ImageOps.colorize(Image.linear_gradient("L"), (120, 170, 220), (236, 226, 200))
    canvas = sky.resize((400, 400))
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((60, 320, 340, 560), fill=shirt)
    draw.ellipse((105, 45, 295, 300), fill=hair)
    draw.ellipse((125, 90, 275, 310), fill=skin)
    draw.chord((115, 60, 285, 200), 180, 360, fill=hair)
    for eye in (170, 230):
        draw.ellipse((eye - 16, 185, eye + 16, 205), fill=(250, 250, 250))
        draw.ellipse((eye - 7, 187, eye + 7, 203), fill=(50, 70, 60))
        draw.arc((eye - 20, 165, eye + 20, 195), 200, 340, fill=hair, width=5)
    draw.line((200, 200, 192, 240, 206, 242), fill=(160, 100, 80), width=4)
    draw.chord((168, 250, 232, 284), 10, 170, fill=(176, 50, 60))
    buffer = io.BytesIO()
    canvas.resize((width, height), Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def encode(picture: Image.Image, *, kind: str) -> Blob:
    """Write a picture to a file.

    :param picture: what to write.
    :param kind: ``JPEG`` or ``PNG``.
    """
    buffer = io.BytesIO()
    if kind == "PNG":
        picture.save(buffer, "PNG", compress_level=1)
    else:
        picture.save(buffer, "JPEG", quality=88)
    return Blob(data=buffer.getvalue(), content_type=f"image/{kind.lower()}", thumbnail=_thumbnail(picture))


def _decode(data: bytes) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise invalid_url() from error
    if picture.format not in FORMATS:
        raise _invalid_format()
    try:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in ("RGBA", "LA", "PA", "P"):
            upright = Image.alpha_composite(
                Image.new("RGBA", upright.size, (255, 255, 255, 255)), upright.convert("RGBA")
            )
        return upright.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow's ways to say that a file ends early or contradicts itself.
        raise _invalid_format() from error


def _invalid_format() -> ServiceError:
    return ServiceError(code="InvalidImageFormat", message="The input image is in invalid format.")


def _lay_paint(canvas: Image.Image, recipe: Recipe) -> Image.Image:
    contours = _contours(canvas, recipe.outline) if recipe.outline else None
    if recipe.softness:
        radius = recipe.softness * _WORKING_SHORT_SIDE / 1000
        canvas = canvas.filter(ImageFilter.GaussianBlur(radius))
    ink = ImageOps.colorize(
        ImageOps.autocontrast(canvas.convert("L")), recipe.shadow, recipe.light, mid=recipe.middle
    )
    if recipe.saturation != 1.0:
        grey = canvas.convert("L").convert("RGB")
        canvas = Image.blend(grey, canvas, recipe.saturation)
    canvas = Image.blend(canvas, ink, recipe.wash)
    if recipe.bits < 8:
        canvas = ImageOps.posterize(canvas, recipe.bits)
    return ImageChops.multiply(canvas, contours) if contours else canvas


def _contours(canvas: Image.Image, strength: float) -> Image.Image:
    edges = canvas.convert("L").filter(ImageFilter.SMOOTH_MORE).filter(ImageFilter.FIND_EDGES)
    # The filter also "finds" the picture's own rim.
    edges = ImageOps.expand(ImageOps.crop(edges, 2), 2, fill=0)
    lines = edges.filter(ImageFilter.MaxFilter(3)).point(lambda value: min(255, value * 4))
    return ImageOps.invert(lines.point(lambda value: int(value * strength))).convert("RGB")


def _take_colours(canvas: Image.Image, reference: Image.Image) -> Image.Image:
    """Give each channel the reference's mean and spread."""
    own, wanted = ImageStat.Stat(canvas), ImageStat.Stat(reference.resize((128, 128)))
    table: list[int] = []
    for channel in range(3):
        gain = (wanted.stddev[channel] + 1) / (own.stddev[channel] + 1)
        table += [
            max(0, min(255, round((value - own.mean[channel]) * gain + wanted.mean[channel])))
            for value in range(256)
        ]
    return canvas.point(table)


def _thumbnail(picture: Image.Image) -> bytes:
    small = picture.copy()
    small.thumbnail(_THUMBNAIL, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
