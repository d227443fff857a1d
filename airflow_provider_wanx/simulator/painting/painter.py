"""The painter: reads a portrait, repaints it with Pillow's filters, and draws pictures of its own."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from functools import lru_cache, partial
from threading import Condition

from cachetools import LRUCache, cached
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps, UnidentifiedImageError

from airflow_provider_wanx.simulator.catalogue import REFERENCE_STYLE
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_url

OUTPUT_SHORT_SIDE = 1536
MAX_RATIO = 1.5
FORMATS = frozenset({"JPEG", "MPO", "PNG", "BMP", "WEBP"})

# Painted at this size and scaled up: a style must be told apart, not be printed.
_WORKING_SHORT_SIDE = 512

Filter = ImageFilter.Filter | Callable[[Image.Image], Image.Image]


def _digest(data: bytes | None) -> bytes:
    return hashlib.sha256(data or b"").digest()


@cached(LRUCache(256), key=_digest, condition=Condition())
def measure(data: bytes) -> tuple[int, int]:
    """Decode a picture completely, and return its width and height as displayed.

    :raises ServiceError: it is no picture, of a format that the service does not take, or broken.
    """
    return _decode(data).size


def output_size(*, width: int, height: int) -> tuple[int, int]:
    """Size a result as documented: short side 1536, the ratio kept up to 1.5:1, beyond it 2304×1536."""
    long_side = round(OUTPUT_SHORT_SIDE * min(max(width, height) / min(width, height), MAX_RATIO))
    return (long_side, OUTPUT_SHORT_SIDE) if width >= height else (OUTPUT_SHORT_SIDE, long_side)


@cached(
    LRUCache(128),
    key=lambda data, *, style, reference=None: (_digest(data), style, _digest(reference)),
    condition=Condition(),
)
def repaint(data: bytes, *, style: int, reference: bytes | None = None) -> bytes:
    """Repaint a portrait; the same portrait and style give the same bytes.

    :param reference: the file that lends its colours to style -1.
    :return: a JPEG.
    :raises ServiceError: a file cannot be decoded.
    """
    inks, strength, filters = RECIPES[style]
    dark, middle, light = inks.split()
    if style == REFERENCE_STYLE and reference is not None:
        middle = "#{:02x}{:02x}{:02x}".format(*_decode(reference).resize((1, 1)).tobytes())
    portrait = _decode(data)
    width, height = output_size(width=portrait.width, height=portrait.height)
    scale = _WORKING_SHORT_SIDE / OUTPUT_SHORT_SIDE
    canvas = ImageOps.fit(portrait, (round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    ink = ImageOps.colorize(ImageOps.autocontrast(canvas.convert("L")), dark, light, mid=middle)
    canvas = Image.blend(canvas, ink, strength)
    for each in filters:
        canvas = canvas.filter(each) if isinstance(each, ImageFilter.Filter) else each(canvas)
    return _encode(canvas.resize((width, height), Image.Resampling.BICUBIC), "JPEG", quality=88)


@cached(
    LRUCache(128),
    key=lambda *, prompt, size, number=0: (prompt, size, number),
    condition=Condition(),
)
def imagine(*, prompt: str, size: tuple[int, int], number: int = 0) -> bytes:
    """Draw a PNG from nothing but a prompt; the same words give the same picture."""
    dice = random.Random(f"{number}:{prompt}")
    dark, middle, light = (f"#{dice.randrange(1 << 24):06x}" for _ in range(3))
    shades = Image.linear_gradient("L").rotate(dice.randrange(360)).resize(size)
    return _encode(ImageOps.colorize(shades, dark, light, mid=middle), "PNG", compress_level=1)


@lru_cache(maxsize=64)
def draw_portrait(*, width: int = 512, height: int = 512, seed: int = 0) -> bytes:
    """Draw a simple face as a JPEG, an input for demos and tests without a network.

    :param width: in pixels.
    :param height: in pixels.
    :param seed: each gives another person.
    """
    dice = random.Random(seed)
    skin = dice.choice(("#f1cdaa", "#c68c64", "#785038"))
    hair = dice.choice(("#281c14", "#966428", "#5a5a60"))
    shirt = (dice.randrange(40, 220), dice.randrange(40, 220), dice.randrange(40, 220))
    canvas = ImageOps.colorize(Image.linear_gradient("L"), "#78aadc", "#ece2c8").resize((400, 400))
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((60, 320, 340, 560), fill=shirt)
    draw.ellipse((105, 45, 295, 300), fill=hair)
    draw.ellipse((125, 90, 275, 310), fill=skin)
    draw.chord((115, 60, 285, 200), 180, 360, fill=hair)
    for eye in (170, 230):
        draw.ellipse((eye - 16, 185, eye + 16, 205), fill="#fafafa")
        draw.ellipse((eye - 7, 187, eye + 7, 203), fill="#32463c")
    draw.chord((168, 250, 232, 284), 10, 170, fill="#b0323c")
    return _encode(canvas.resize((width, height), Image.Resampling.BICUBIC), "JPEG")


def _encode(picture: Image.Image, kind: str, **how: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **how)
    return buffer.getvalue()


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
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
        return upright.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow's ways to say that a file ends early or contradicts itself.
        raise _invalid_format() from error


def _invalid_format() -> ServiceError:
    return ServiceError("InvalidImageFormat", "The input image is in invalid format.")


def _outline(canvas: Image.Image) -> Image.Image:
    edges = canvas.convert("L").filter(ImageFilter.SMOOTH_MORE).filter(ImageFilter.FIND_EDGES)
    lines = edges.filter(ImageFilter.MaxFilter(3)).point(lambda value: max(0, 255 - 3 * value))
    # The filter also "finds" the picture's own rim.
    return ImageChops.multiply(canvas, ImageOps.expand(ImageOps.crop(lines, 2), 2, 255).convert("RGB"))


def _pixels(canvas: Image.Image) -> Image.Image:
    return canvas.reduce(10).resize(canvas.size, Image.Resampling.NEAREST)


def _flat(bits: int) -> Filter:
    return partial(ImageOps.posterize, bits=bits)


def _bright(factor: float) -> Filter:
    return lambda canvas: ImageEnhance.Color(canvas).enhance(factor)


RECIPES: dict[int, tuple[str, float, tuple[Filter, ...]]] = {
    REFERENCE_STYLE: ("black gray white", 0.7, (ImageFilter.MaxFilter(5),)),
    0: ("#201628 #d45c34 #fae8b2", 0.75, (_flat(3), _outline)),
    1: ("#4a2860 #f492aa #fff0e0", 0.55, (ImageFilter.GaussianBlur(4), _bright(1.5))),
    2: ("#262c5c #78a6f0 #fff6fa", 0.6, (_bright(1.4), _flat(3), _outline)),
    3: ("#467668 #aadebe #fafff6", 0.7, (ImageFilter.GaussianBlur(2),)),
    4: ("#04061e #0084ce #78fffa", 0.85, (_outline,)),
    5: ("#1c1c1c #807e74 #f0e8d0", 0.95, (ImageFilter.GaussianBlur(3), _outline)),
    6: ("#180806 #921a14 #f2be5c", 0.85, (_flat(4), ImageFilter.MaxFilter(7))),
    7: ("#58008c #ff4a78 #fff450", 0.65, (_bright(2.4), _flat(2), _outline)),
    8: ("#2c465c #96bac4 #f6f8f0", 0.85, (ImageFilter.GaussianBlur(3),)),
    9: ("#5a000a #e22822 #ffe282", 0.75, (_bright(1.3),)),
    14: ("#3c2418 #c48c60 #fceece", 0.8, (_outline,)),
    15: ("#783200 #f6a014 #fff6be", 0.75, (_bright(1.4),)),
    30: ("#321e6e #b078e2 #ffe8fa", 0.7, (ImageFilter.GaussianBlur(4), _bright(1.3))),
    31: ("#5c3828 #d8946c #fad8b2", 0.7, (_flat(3), ImageFilter.GaussianBlur(5))),
    32: ("#141a34 #48a060 #eef8aa", 0.5, (_bright(1.6), _pixels, _flat(3))),
    33: ("#123224 #5c8e34 #f6de82", 0.75, (_outline, ImageFilter.MaxFilter(5))),
    34: ("black #969696 white", 1.0, (_flat(1), _outline)),
    35: ("#0a3250 #46bec8 #fffadc", 0.55, (_bright(1.6), ImageFilter.GaussianBlur(4))),
    36: ("#501450 #ff96c8 #e6ffff", 0.65, (_bright(1.8), _flat(3), _outline)),
    37: ("#464650 #d8d6d0 #fffdf6", 0.9, (_outline,)),
    38: ("#283c96 #f0783c #fff096", 0.5, (_bright(2.0), _flat(3), ImageFilter.MaxFilter(5))),
    39: ("#1e3c3c #f06e64 #fafaeb", 0.5, (_bright(1.5), _flat(4))),
    40: ("#3c1446 #fa82a0 #fffac8", 0.5, (_bright(1.5), _flat(4))),
}
"""Each style: the colours that black, grey and white become, how strongly, and the filters in their order."""
