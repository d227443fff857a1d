"""Keys of a batch's results."""

from __future__ import annotations

import pytest

from airflow_provider_wanx.batch.result_keys import DEFAULT_KEY, ResultKeys
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError


def key(template: str, *, image: str = "s3://people/2026/Ann B.JPG", row: int = 7, style: int = 38) -> str:
    made = Row(row=row, image=image, style=style, dashscope_task_id="id-1")
    return ResultKeys(template).key(made, extension=".png")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (DEFAULT_KEY, "crayon-world/Ann-B-000007.png"),
        ("{style}/", "38/Ann-B-000007.png"),
        ("/all/{dashscope_task_id}{extension}", "all/id-1.png"),
        ("{row}", "000007"),
    ],
)
def test_its_fields_are_filled_in(template: str, expected: str) -> None:
    assert key(template) == expected


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("https://example.com/a/b%20c.jpg?Signature=x/y", "b-c"),
        ("data:image/png;base64,AAAA/BBBB", "portrait"),
        ("s3://people/..jpg", "."),
        ("肖像.png", "肖像"),
        ("s3://people/what?.jpg", "what-"),
    ],
)
def test_the_name_is_the_files_and_safe(image: str, name: str) -> None:
    assert key("x/{name}-{row}", image=image) == f"x/{name}-000007"


def test_the_default_differs_for_every_row_and_sorts_like_the_rows() -> None:
    keys = [key("{row}", row=number) for number in (0, 9, 10, 999_999)]
    assert keys == sorted(keys)
    assert key(DEFAULT_KEY, row=1) != key(DEFAULT_KEY, row=2)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{0}", r"s3_key has \{0\}, which is not known\. Known are \{row\}, \{name\}"),
        ("../{row}", "no safe key"),
        ("", "s3_key is empty"),
        ("s3://bucket/{row}", "is a URL"),
    ],
)
def test_a_bad_template_is_told(template: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        ResultKeys(template)


def test_a_name_that_makes_no_key_is_told() -> None:
    with pytest.raises(InvalidInputError, match="no safe key"):
        key("{name}", image=f"{'x' * 1100}.jpg")


def test_a_template_that_ends_in_a_slash_gets_the_usual_name() -> None:
    assert ResultKeys("all/").template == "all/{name}-{row}{extension}"


def test_a_row_that_was_not_submitted_yet_has_a_key_without_an_id() -> None:
    row = Row(row=7, image="s3://people/Ann.jpg", style=38)
    assert ResultKeys("{dashscope_task_id}x").key(row, extension="") == "x"


@pytest.mark.parametrize("template", [DEFAULT_KEY, "{row}", "{style}/{dashscope_task_id}", "all/"])
def test_a_template_whose_keys_differ_by_themselves_needs_no_comparison(template: str) -> None:
    row = Row(row=7, image="s3://people/Ann.jpg", style=38)
    assert ResultKeys(template).before_submission(row) is None


def test_any_other_template_tells_before_a_submission_which_rows_would_overwrite_each_other() -> None:
    keys = ResultKeys("{style}/{name}{extension}")
    ann, bea, again, other_style = [
        keys.before_submission(Row(row=number, image=f"s3://people/{name}", style=style))
        for number, (name, style) in enumerate(
            [("Ann.jpg", 1), ("Bea.jpg", 1), ("old/Ann.png", 1), ("Ann.jpg", 2)]
        )
    ]
    assert ann == again
    assert len({ann, bea, other_style}) == 3
    # One is kept for each of up to a million rows.
    assert ann is not None
    assert len(ann) == 16


@pytest.mark.parametrize(
    "image", ["s3://people/status.jpg", "s3://people/manifest.index.png", "s3://people/manifest"]
)
def test_no_result_takes_the_place_of_what_the_batch_itself_writes(image: str) -> None:
    with pytest.raises(InvalidInputError, match="The batch itself writes"):
        key("{name}{extension}", image=image)
    assert key("{style}/{name}{extension}", image=image).startswith("38/")
