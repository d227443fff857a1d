"""How each style is painted: which ink, which stroke, which surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from airflow_provider_wanx.simulator.catalogue import REFERENCE_STYLE
from airflow_provider_wanx.simulator.painting import effects

RGB = tuple[int, int, int]
Effect = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One style.

    :param shadow: the colour that black becomes.
    :param middle: the colour that middle grey becomes.
    :param light: the colour that white becomes.
    :param wash: how much of those three colours covers the picture's own, 0 to 1.
    :param saturation: how strong the picture's own colours stay; 1 leaves them.
    :param bits: bits a colour channel keeps; fewer give flatter areas.
    :param softness: blur before painting, in thousandths of the short side.
    :param outline: how dark contours are drawn, 0 to 1.
    :param surface: what it is painted on.
    :param frame: what surrounds it.
    """

    shadow: RGB
    middle: RGB
    light: RGB
    wash: float
    saturation: float = 1.0
    bits: int = 8
    softness: float = 0.0
    outline: float = 0.0
    surface: Effect = effects.plain
    frame: Effect = effects.plain


RECIPES: dict[int, Recipe] = {
    # The reference picture brings the colours; see painter.repaint.
    REFERENCE_STYLE: Recipe(
        shadow=(0, 0, 0), middle=(128, 128, 128), light=(255, 255, 255), wash=0.0, bits=4, softness=4,
        outline=0.3, surface=effects.strokes,
    ),
    0: Recipe(
        shadow=(32, 22, 40), middle=(212, 92, 52), light=(250, 232, 178), wash=0.75, bits=3, softness=4,
        outline=0.9, surface=effects.halftone,
    ),
    1: Recipe(
        shadow=(74, 40, 96), middle=(244, 146, 170), light=(255, 240, 224), wash=0.55, saturation=1.5,
        softness=9, outline=0.1,
    ),
    2: Recipe(
        shadow=(38, 44, 92), middle=(120, 166, 240), light=(255, 246, 250), wash=0.6, saturation=1.4, bits=3,
        softness=6, outline=0.7,
    ),
    3: Recipe(
        shadow=(70, 118, 104), middle=(170, 222, 190), light=(250, 255, 246), wash=0.7, saturation=0.7,
        softness=4,
    ),
    4: Recipe(
        shadow=(4, 6, 30), middle=(0, 132, 206), light=(120, 255, 250), wash=0.85, outline=0.4,
        surface=effects.scanlines,
    ),
    5: Recipe(
        shadow=(28, 28, 28), middle=(128, 126, 116), light=(240, 232, 208), wash=0.95, softness=7, outline=0.6,
        surface=effects.paper,
    ),
    6: Recipe(
        shadow=(24, 8, 6), middle=(146, 26, 20), light=(242, 190, 92), wash=0.85, bits=4, softness=3,
        outline=0.8, surface=effects.strokes,
    ),
    7: Recipe(
        shadow=(88, 0, 140), middle=(255, 74, 120), light=(255, 244, 80), wash=0.65, saturation=2.4, bits=2,
        softness=6, outline=0.8,
    ),
    8: Recipe(
        shadow=(44, 70, 92), middle=(150, 186, 196), light=(246, 248, 240), wash=0.85, softness=6, outline=0.3,
        surface=effects.paper, frame=effects.border,
    ),
    9: Recipe(
        shadow=(90, 0, 10), middle=(226, 40, 34), light=(255, 226, 130), wash=0.75, saturation=1.3, softness=3,
        surface=effects.sparkles, frame=effects.lanterns,
    ),
    14: Recipe(
        shadow=(60, 36, 24), middle=(196, 140, 96), light=(252, 238, 206), wash=0.8, bits=5, outline=1.0,
        surface=effects.paper,
    ),
    15: Recipe(
        shadow=(120, 50, 0), middle=(246, 160, 20), light=(255, 246, 190), wash=0.75, saturation=1.4,
        surface=effects.sparkles, frame=effects.border,
    ),
    30: Recipe(
        shadow=(50, 30, 110), middle=(176, 120, 226), light=(255, 232, 250), wash=0.7, saturation=1.3,
        softness=8, surface=effects.sparkles,
    ),
    31: Recipe(
        shadow=(92, 56, 40), middle=(216, 148, 108), light=(250, 216, 178), wash=0.7, bits=3, softness=12,
        surface=effects.clay,
    ),
    32: Recipe(
        shadow=(20, 26, 52), middle=(72, 160, 96), light=(238, 248, 170), wash=0.5, saturation=1.6, bits=3,
        surface=effects.pixels,
    ),
    33: Recipe(
        shadow=(18, 50, 36), middle=(92, 142, 52), light=(246, 222, 130), wash=0.75, bits=5, softness=3,
        outline=0.5, surface=effects.strokes,
    ),
    34: Recipe(
        shadow=(0, 0, 0), middle=(150, 150, 150), light=(255, 255, 255), wash=1.0, bits=2, softness=3,
        outline=1.0, surface=effects.halftone,
    ),
    35: Recipe(
        shadow=(10, 50, 80), middle=(70, 190, 200), light=(255, 250, 220), wash=0.55, saturation=1.6,
        softness=10, outline=0.2, surface=effects.clay,
    ),
    36: Recipe(
        shadow=(80, 20, 80), middle=(255, 150, 200), light=(230, 255, 255), wash=0.65, saturation=1.8, bits=3,
        softness=5, outline=0.6, surface=effects.sparkles,
    ),
    37: Recipe(
        shadow=(70, 70, 80), middle=(216, 214, 208), light=(255, 253, 246), wash=0.9, outline=1.0,
        surface=effects.paper,
    ),
    38: Recipe(
        shadow=(40, 60, 150), middle=(240, 120, 60), light=(255, 240, 150), wash=0.5, saturation=2.0, bits=3,
        softness=8, outline=0.3, surface=effects.crayon,
    ),
    39: Recipe(
        shadow=(30, 60, 60), middle=(240, 110, 100), light=(250, 250, 235), wash=0.5, saturation=1.5, bits=4,
        softness=5, outline=0.4, frame=effects.magnet,
    ),
    40: Recipe(
        shadow=(60, 20, 70), middle=(250, 130, 160), light=(255, 250, 200), wash=0.5, saturation=1.5, bits=4,
        softness=5, outline=0.4, frame=effects.badge,
    ),
}  # fmt: skip
