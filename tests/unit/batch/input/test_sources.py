"""Which input an operator's arguments mean, and what is wrong with them."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from airflow_provider_wanx.batch.input.rows import InvalidRow
from airflow_provider_wanx.batch.input.sources import Shard, Source, check_destination, open_source
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE


def _open(**given: Any) -> Source:
    nothing: dict[str, Any] = dict.fromkeys(("images", "styles", "style_reference"))
    return open_source(**{**nothing, "aws_conn_id": "aws_default", "rule": ANYWHERE, **given})


def test_a_list_is_repainted_in_every_style_and_can_be_read_again() -> None:
    source = _open(images=["a.png", " s3://b/c.png "], styles=["anime", 99])
    rows = [Row(image=image, style=style) for image in ("a.png", "s3://b/c.png") for style in (2, 99)]
    assert list(source) == list(source) == rows
    assert source.description == "a list of 2 image(s)"


def test_an_empty_entry_of_a_list_is_an_invalid_row_with_its_number() -> None:
    assert list(_open(images=["a.png", None, ""], styles=0)) == [
        Row(image="a.png", style=0),
        InvalidRow("images[1]", "image is empty"),
        InvalidRow("images[2]", "image is empty"),
    ]


def test_parts_share_an_input_evenly() -> None:
    images = [f"{number}.png" for number in range(1000)]
    source = _open(images=images, styles=0)
    parts = [
        [row.image for row in Shard.read(source, f"{part}/4") if isinstance(row, Row)]
        for part in (1, 2, 3, 4)
    ]
    assert sorted(image for part in parts for image in part) == sorted(images)
    assert all(200 < len(part) < 300 for part in parts)


def test_one_image_in_a_tuple_is_a_list() -> None:
    assert list(_open(images=("a.png",), styles=0)) == [Row(image="a.png", style=0)]


@pytest.mark.parametrize(
    "given",
    [
        {"images": ["a.png", "b.png"]},
        {"images": "s3://bucket/people/*.jpg"},
        {"images": "s3://bucket/people.jsonl"},
    ],
)
def test_the_same_arguments_are_the_same_input_however_a_style_is_written(given: dict[str, Any]) -> None:
    identity = _open(**given, styles=["anime", -1], style_reference="r.png").identity
    assert identity == _open(**given, styles="2;-1", style_reference=" r.png").identity
    assert identity == json.loads(json.dumps(identity))
    assert len(json.dumps(identity)) < 300


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"images": ["a.png", "b.png"]}, {"images": ["b.png", "a.png"]}),
        ({"images": ["a.png", "b.png"]}, {"images": ["a.png", "b.png", "c.png"]}),
        ({"images": ["a", "b"]}, {"images": ["a\nb"]}),
        ({"images": ["s3://b/p"]}, {"images": "s3://b/p"}),
        ({"images": "s3://b/p"}, {"images": "s3://b/q"}),
        ({"images": "s3://b/p"}, {"images": "s3://b/p/*"}),
        ({"images": "s3://b/p.csv"}, {"images": "s3://b/q.csv"}),
        ({"images": "s3://b/p.csv"}, {"images": "s3://b/p.csv/"}),
        ({"images": ["a.png"]}, {"images": ["a.png"], "styles": 1}),
        (
            {"images": ["a.png"], "styles": -1, "style_reference": "r.png"},
            {"images": ["a.png"], "styles": -1, "style_reference": "s.png"},
        ),
    ],
)
def test_other_arguments_are_another_input(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert _open(**{"styles": 0, **one}).identity != _open(**{"styles": 0, **other}).identity


def test_a_folder_is_the_same_with_and_without_a_slash_at_its_end() -> None:
    one, other = (_open(images=url, styles=0) for url in ("s3://b/p", " S3://b/p/ "))
    assert one.identity == other.identity
    assert one.description == "pictures (.jpg, .jpeg, .png, .bmp, .webp) in s3://b/p/"


def test_a_web_address_is_no_folder_and_no_manifest_and_its_signature_is_not_told() -> None:
    with pytest.raises(InvalidInputError, match=r"^https://example\.com/a\.csv is a web address") as caught:
        _open(images="https://example.com/a.csv?sig=secret", styles=0)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "images is empty"),
        ({"images": ""}, "images is empty"),
        ({"images": []}, "images is an empty list"),
        ({"images": {"a.png": 1}}, "images is no text and no list, but dict"),
        ({"images": "s3://b/p/a**/b"}, "the pattern 'a\\*\\*/b' cannot be read: "),
        ({"images": "s3:///p"}, "is not like s3://bucket/folder: 's3:///p'"),
        ({"images": "s3://b/p", "styles": None}, "styles is empty"),
        ({"images": ["a.png"], "styles": []}, "styles is empty"),
        (
            {"images": ["a.png"], "styles": "watercolour"},
            "style 'watercolour' is not known. Give a number or",
        ),
        ({"images": ["a.png"], "styles": [0, -1]}, "give style_reference too"),
        ({"images": ["a.png"], "style_reference": "r.png"}, "style_reference goes with style -1 only"),
        ({"images": "s3://b/m.csv", "styles": "watercolour"}, "style 'watercolour' is not known"),
        (
            {"images": "s3://b/m.parquet.gz"},
            r"s3://b/m\.parquet.gz is of no known kind.*\.jsonl, .*\.parquet, .*\.csv\.gz",
        ),
        ({"images": "s3://m.csv"}, "is not like s3://bucket/key"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        _open(**{"styles": 0, **given})


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'airflow-provider-wanx\[parquet\]'"):
        _open(images="s3://b/m.parquet")
    assert _open(images="s3://b/m.csv") is not None


@pytest.mark.parametrize(
    ("source", "bucket", "prefix"),
    [
        ("s3://b/people", "b", "people"),
        ("s3://b/people/", "b", "people/out"),
        ("s3://conn@b/people", "b", "/people/out/"),
        ("S3://b", "b", "out"),
        ("s3://b/", "b", ""),
    ],
)
def test_a_destination_inside_the_source_is_refused(source: str, bucket: str, prefix: str) -> None:
    with pytest.raises(InvalidInputError, match=r"is inside the source s3://.*would repaint its results"):
        check_destination(_open(images=source, styles=0), bucket, prefix)


@pytest.mark.parametrize(
    ("source", "bucket", "prefix"),
    [
        ("s3://b/people", "b", "people-out"),
        ("s3://b/people/raw", "b", "people"),
        ("s3://b/people", "b", ""),
        ("s3://b/people", "c", "people"),
        ("/b/people", "b", "people"),
    ],
)
def test_a_destination_beside_the_source_passes(source: str, bucket: str, prefix: str) -> None:
    check_destination(_open(images=source, styles=0), bucket, prefix)
