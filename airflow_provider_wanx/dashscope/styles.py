"""The styles of ``wanx-style-repaint-v1``: number, Chinese name, English name.

The numbers and the Chinese names are the service's. It has published no English names: the English ones are this
package's translations and are never sent.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import IntEnum
from typing import Self

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted


class WanxStyle(IntEnum):
    """A preset style; its value is what the service calls ``style_index``."""

    REFERENCE_IMAGE = -1, "使用参考图像风格", "reference image"
    RETRO_COMIC = 0, "复古漫画", "retro comic"
    FAIRY_TALE_3D = 1, "3D童话", "3D fairy tale"
    ANIME = 2, "二次元", "anime"
    FRESH = 3, "小清新", "fresh"
    FUTURE_TECH = 4, "未来科技", "future tech"
    TRADITIONAL_CHINESE_PAINTING = 5, "国画古风", "traditional Chinese painting"
    BATTLE_GENERAL = 6, "将军百战", "battle general"
    COLORFUL_CARTOON = 7, "炫彩卡通", "colorful cartoon"
    ELEGANT_CHINESE = 8, "清雅国风", "elegant Chinese"
    HAPPY_NEW_YEAR = 9, "喜迎新年", "happy new year"
    CHINESE_FINE_BRUSH = 14, "国风工笔", "Chinese fine brush"
    NEW_YEAR_GREETINGS = 15, "恭贺新禧", "new year greetings"
    FAIRY_TALE_WORLD = 30, "童话世界", "fairy tale world"
    CLAY_WORLD = 31, "黏土世界", "clay world"
    PIXEL_WORLD = 32, "像素世界", "pixel world"
    ADVENTURE_WORLD = 33, "冒险世界", "adventure world"
    MANGA_WORLD = 34, "日漫世界", "manga world"
    WORLD_3D = 35, "3D世界", "3D world"
    ANIME_WORLD = 36, "二次元世界", "anime world"
    HAND_DRAWN_WORLD = 37, "手绘世界", "hand-drawn world"
    CRAYON_WORLD = 38, "蜡笔世界", "crayon world"
    FRIDGE_MAGNET_WORLD = 39, "冰箱贴世界", "fridge magnet world"
    BADGE_WORLD = 40, "吧唧世界", "badge world"

    chinese: str
    english: str

    def __new__(cls, number: int, chinese: str, english: str) -> Self:
        """Make a member whose value is the number alone."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.chinese = chinese
        member.english = english
        return member

    @property
    def number(self) -> int:
        """The service's ``style_index``."""
        return self._value_


def _folded(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).casefold()


_BY_NAME = {
    _folded(name): style for style in WanxStyle for name in (style.name, style.chinese, style.english)
}


def style_number(style: WanxStyle | int | str) -> int:
    """Turn a style, however it was written, into the service's ``style_index``.

    :param style: a :class:`WanxStyle`, a number, digits, or a name (English, Chinese or the enum's); case, spaces,
        hyphens and underscores in a name do not matter.
    :return: the number. A number that is not in the table comes back unchanged, because the service adds styles
        without notice; ask :func:`is_known_style` when that matters.
    :raises InvalidInputError: the name is none of the known ones, or the value is neither name nor number.
    """
    if isinstance(style, int) and not isinstance(style, bool):
        return int(style)
    if isinstance(style, str):
        if re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", style):
            return int(style)
        if (known := _BY_NAME.get(_folded(style))) is not None:
            return known.number
    from difflib import get_close_matches  # DAG parsing needs it for wrong styles only

    close = (
        get_close_matches(_folded(str(style)), _BY_NAME, n=2, cutoff=0.6) if isinstance(style, str) else []
    )
    meant = " or ".join(dict.fromkeys(repr(_BY_NAME[each].english) for each in close))
    meant = f" Did you mean {meant}?" if meant else ""
    is_empty = style is None or str(style).strip() in ("", "None")
    problem = f"is empty ({quoted(style)})" if is_empty else f"{quoted(style)} is not known"
    names = ", ".join(f"{known.number} {known.english} ({known.chinese})" for known in WanxStyle)
    raise InvalidInputError(f"style {problem}.{meant} Give a number or one of the names: {names}.")


def is_known_style(number: int) -> bool:
    """Tell whether a ``style_index`` is in the table of styles that this version knows."""
    return number in WanxStyle._value2member_map_


def takes_reference(styles: Collection[int]) -> bool:
    """Tell whether one of the styles is taken from a picture."""
    return WanxStyle.REFERENCE_IMAGE.number in styles


def check_style_reference(styles: Collection[int], reference: str | None) -> None:
    """Hold styles and reference against each other: style -1 needs a picture whose style is taken, and no other takes one.

    :raises InvalidInputError: they do not go together.
    """
    if takes_reference(styles) and not reference:
        raise InvalidInputError("style -1 takes the style from a picture: give style_reference too.")
    if reference and not takes_reference(styles):
        raise InvalidInputError("style_reference goes with style -1 only. Ask for style -1, or leave it out.")


def style_name(number: int) -> str:
    """Return a style's English name, ``style 99`` for one that is not in the table."""
    known = WanxStyle._value2member_map_.get(number)
    return known.english if isinstance(known, WanxStyle) else f"style {number}"
