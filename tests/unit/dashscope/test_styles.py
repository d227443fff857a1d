from __future__ import annotations

import pytest

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.styles import WanxStyle, is_known_style, style_name, style_number

_CHINESE = {
    -1: "使用参考图像风格",
    0: "复古漫画",
    1: "3D童话",
    2: "二次元",
    3: "小清新",
    4: "未来科技",
    5: "国画古风",
    6: "将军百战",
    7: "炫彩卡通",
    8: "清雅国风",
    9: "喜迎新年",
    14: "国风工笔",
    15: "恭贺新禧",
    30: "童话世界",
    31: "黏土世界",
    32: "像素世界",
    33: "冒险世界",
    34: "日漫世界",
    35: "3D世界",
    36: "二次元世界",
    37: "手绘世界",
    38: "蜡笔世界",
    39: "冰箱贴世界",
    40: "吧唧世界",
}


def test_the_styles_are_the_services_own() -> None:
    assert {style.number: style.chinese for style in WanxStyle} == _CHINESE


@pytest.mark.parametrize("style", WanxStyle)
def test_every_way_to_write_a_style_means_its_number(style: WanxStyle) -> None:
    ways = (
        style,
        int(style),
        str(int(style)),
        style.name,
        style.chinese,
        style.english,
        style.english.upper(),
    )

    assert {style_number(way) for way in ways} == {style.value}
    assert type(style_number(style)) is int
    assert style_name(style.value) == style.english
    assert is_known_style(style.value)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("retro comic", 0),
        ("Retro-Comic", 0),
        ("retrocomic", 0),
        ("3d  fairy_tale", 1),
        (" 小清新 ", 3),
        (" +7 ", 7),
        ("-1", -1),
        ("reference image", -1),
    ],
)
def test_case_spaces_and_hyphens_do_not_matter(written: str, number: int) -> None:
    assert style_number(written) == number


@pytest.mark.parametrize("number", [10, 99, "99", -7])
def test_a_number_that_is_not_known_passes(number: int | str) -> None:
    assert style_number(number) == int(number)
    assert not is_known_style(int(number))
    assert style_name(int(number)) == f"style {int(number)}"


@pytest.mark.parametrize("wrong", ["nope", "", "3.5", "１", True, 3.0, None, ["anime"]])
def test_what_is_no_style_is_refused_with_the_list_of_all(wrong: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        style_number(wrong)  # type: ignore[arg-type]

    assert repr(wrong) in str(caught.value)
    assert all(f"{number} " in str(caught.value) for number in _CHINESE)
    assert "40 badge world (吧唧世界)" in str(caught.value)
