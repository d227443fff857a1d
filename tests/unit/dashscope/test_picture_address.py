"""Addresses of pictures: nothing secret in them, nothing lost that tells which picture it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.picture_address import (
    MAX_NAME_BYTES,
    file_stem,
    on_one_line,
    source_address,
    source_name,
)


@pytest.mark.parametrize(
    ("image", "source"),
    [
        ("https://me:secret@h.example/a/b.png?Signature=x#y", "https://h.example/a/b.png"),
        ("https://h.example?key=secret", "https://h.example"),
        ("HTTPS://h.example/@me/a%20b.png", "HTTPS://h.example/@me/a%20b.png"),
        ("oss://dashscope-instant/x/a.png?x", "oss://dashscope-instant/x/a.png"),
        ("s3://faces/who?/a#1.png", "s3://faces/who?/a#1.png"),
        ("s3://aws_other@faces/a.png", "s3://faces/a.png"),
        ("gs://conn@faces/a.png", "gs://faces/a.png"),
        ("/data/who?.png", "/data/who?.png"),
        ("  a.png ", "a.png"),
        ("data:image/PNG;base64,iVBORw0KGgo=", "data:image/png"),
        ("DATA:,x", "data:"),
        ("data:<script>,x", "data:"),
        ("", None),
        ("None", None),
        (None, None),
        (7, None),
    ],
)
def test_a_pictures_address_is_kept_without_what_may_be_secret(image: object, source: str | None) -> None:
    assert source_address(image) == source


@given(st.text(min_size=1, max_size=30))
def test_nothing_of_a_query_a_fragment_or_a_password_is_kept(secret: str) -> None:
    hidden = f"X{secret}X"
    assert hidden not in str(source_address(f"https://h.example/a.png?k={hidden}"))
    assert hidden not in str(source_address(f"data:image/png;name={hidden};base64,AAAA"))


@pytest.mark.parametrize(
    ("address", "stem"),
    [
        ("s3://faces/2026/ann lee.jpg", "ann lee"),
        ("s3://faces/100%.jpg", "100%"),
        ("https://h.example/a/ann%20lee.jpg?x=/b.png", "ann lee"),
        ("https://h.example/", "portrait"),
        ("https://h.example", "portrait"),
        ("/data/ann.tar.gz", "ann.tar"),
        ("ann", "ann"),
        ("data:image/png", "portrait"),
    ],
)
def test_a_file_is_named_without_folders_query_and_extension(address: str, stem: str) -> None:
    assert file_stem(address) == stem


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("s3://faces/Rene\u0301.jpg", "René"),
        ("s3://faces/肖像.jpg", "肖像"),
        ("s3://faces/..", "portrait"),
        ("https://h.example/%2e%2e%2f%2e%2e.png", "portrait"),
        ("s3://faces/gnp\u202e\u0007a.exe", "gnpa"),
    ],
)
def test_a_name_in_a_key_is_plain(address: str, name: str) -> None:
    assert source_name(address) == name


@given(st.text())
def test_a_name_in_a_key_is_one_short_name_whatever_the_file_is_called(text: str) -> None:
    name = source_name(f"s3://faces/{text}")
    assert name
    assert name.isprintable()
    assert not set("/\\") & set(name)
    assert name not in (".", "..")
    assert len(name.encode()) <= MAX_NAME_BYTES


def test_in_a_log_a_source_stays_on_its_line_and_in_its_order() -> None:
    assert (
        on_one_line("s3://faces/a\nERROR all is lost\u202egnp.exe")
        == "s3://faces/a�ERROR all is lost�gnp.exe"
    )
