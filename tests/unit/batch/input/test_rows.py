"""What an image and what a style may look like, and what becomes of them."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.batch.input.rows import InvalidRow, RowMaker, style_numbers
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE


def test_rows_that_ask_for_the_same_picture_have_one_identity_whatever_else_they_say() -> None:
    row = Row(image="a.png", style=0)
    assert row.identity == replace(row, columns={"who": "Ada"}).identity
    assert len(row.identity) == 16


def test_another_image_style_or_reference_is_another_wish() -> None:
    row = Row(image="a.png", style=-1, style_reference="b.png")
    others = [
        replace(row, image="b.png"),
        replace(row, style=1),
        replace(row, style_reference=None),
        replace(row, style_reference="a.png"),
        Row(image="a.png-1b.png", style=-1),
    ]
    assert len({each.identity for each in (row, *others)}) == 6


@given(st.text(st.characters(codec=None), max_size=20))
def test_every_text_has_an_identity_and_a_name(image: str) -> None:
    row = Row(image=image, style=0)
    assert row.identity == replace(row).identity
    assert row.name


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("s3://bucket/people/ada.jpg", "ada"),
        ("s3://conn@bucket/people/a b?#%20.jpg", "a b?#%20"),
        ("https://example.com/people/ada.jpg?sig=a/b.c#x.y", "ada"),
        ("https://example.com/%E8%82%96%E5%83%8F%201.jpg", "肖像 1"),
        ("https://example.com/people%2Fada.jpg", "ada"),
        ("https://example.com/?id=7", "portrait"),
        ("oss://dashscope-instant/x/ada.png", "ada"),
        ("/data/ada.lovelace.png", "ada.lovelace"),
        ("ada", "ada"),
        ("/", "portrait"),
        ("data:image/png;base64,aGVsbG8/x.png", "portrait"),
    ],
)
def test_a_row_is_named_after_its_file(image: str, name: str) -> None:
    assert Row(image=image, style=0).name == name


@pytest.mark.parametrize(
    ("styles", "numbers"),
    [
        (None, ()),
        ("", ()),
        (3, (3,)),
        (WanxStyle.ANIME, (2,)),
        ("3", (3,)),
        ("国画古风", (5,)),
        ("anime; 3D fairy tale;7", (2, 1, 7)),
        ("二次元；5", (2, 5)),
        ([1, "anime", "0;3"], (1, 2, 0, 3)),
        ((2, "anime", 2.0), (2,)),
        (99, (99,)),
    ],
)
def test_styles_are_read_as_one_or_several_names_or_numbers(styles: Any, numbers: tuple[int, ...]) -> None:
    assert style_numbers(styles) == numbers


@pytest.mark.parametrize("styles", ["watercolour", "anime, fresh", ["anime", "x"], 1.5, True, {"style": 1}])
def test_a_style_that_is_no_known_name_and_no_number_is_refused(styles: Any) -> None:
    with pytest.raises(InvalidInputError, match="is not known"):
        style_numbers(styles)


def _rows(maker: RowMaker, **row: Any) -> list[Row | InvalidRow]:
    return list(maker.rows(place="line 2", **row))


PLAIN = RowMaker(styles=(0, 5), style_reference=None, rule=ANYWHERE)
NOTHING = RowMaker(styles=(), style_reference=None, rule=ANYWHERE)
WITH_REFERENCE = RowMaker(styles=(0, -1), style_reference="r.png", rule=ANYWHERE)


def test_an_image_becomes_one_row_for_each_of_the_operators_styles() -> None:
    assert _rows(PLAIN, image=" a.png\n", columns={"who": "Ada"}) == [
        Row(image="a.png", style=0, columns={"who": "Ada"}),
        Row(image="a.png", style=5, columns={"who": "Ada"}),
    ]


def test_an_images_own_styles_come_before_the_operators() -> None:
    assert _rows(PLAIN, image="a.png", style="anime; 99") == [
        Row(image="a.png", style=2),
        Row(image="a.png", style=99),
    ]


def test_the_reference_goes_with_style_minus_1_alone() -> None:
    assert _rows(WITH_REFERENCE, image="a.png") == [
        Row(image="a.png", style=0),
        Row(image="a.png", style=-1, style_reference="r.png"),
    ]
    assert _rows(WITH_REFERENCE, image="a.png", style=3) == [Row(image="a.png", style=3)]


def test_an_images_own_reference_comes_before_the_operators() -> None:
    for maker in (WITH_REFERENCE, NOTHING):
        assert _rows(maker, image="a.png", style=-1, style_reference=" own.png ") == [
            Row(image="a.png", style=-1, style_reference="own.png")
        ]


@pytest.mark.parametrize(
    ("maker", "row", "reason"),
    [
        (PLAIN, {"image": "  "}, "image is empty"),
        (PLAIN, {"image": None}, "image is empty"),
        (PLAIN, {"image": "None"}, "image is empty"),
        (PLAIN, {"image": 7}, "image is no text: 7"),
        (PLAIN, {"image": "a.png", "style": "watercolour"}, "style 'watercolour' is not known"),
        (PLAIN, {"image": "a.png", "style": ["anime", "x"]}, "style ['anime', 'x'] is not known"),
        (
            PLAIN,
            {"image": "a.png", "style": -1},
            "style -1 takes the style from a picture: give style_reference too",
        ),
        (
            PLAIN,
            {"image": "a.png", "style_reference": "r.png"},
            "style_reference goes with style -1 only. Ask for style -1, or leave it out",
        ),
        (
            NOTHING,
            {"image": "a.png", "style": " "},
            "style is empty, and the operator's styles are not given",
        ),
    ],
)
def test_what_cannot_be_painted_is_one_invalid_row_with_place_and_reason(
    maker: RowMaker, row: dict[str, Any], reason: str
) -> None:
    assert _rows(maker, **row) == [InvalidRow("line 2", reason)]


def test_a_reason_does_not_quote_a_whole_cell() -> None:
    (row,) = _rows(PLAIN, image="a.png", style=string.ascii_letters * 1000)
    assert isinstance(row, InvalidRow)
    assert len(row.reason) < 100
