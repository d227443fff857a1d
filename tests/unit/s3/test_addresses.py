"""How addresses in S3 are read."""

from __future__ import annotations

import pytest

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.s3.addresses import split_s3_prefix, split_s3_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket/key", (None, "bucket", "key")),
        ("s3://bucket/a/b c?d#e%20f", (None, "bucket", "a/b c?d#e%20f")),
        ("s3://conn@bucket/key", ("conn", "bucket", "key")),
        ("s3://bucket/a@b", (None, "bucket", "a@b")),
    ],
)
def test_an_s3_url_is_split_into_connection_bucket_and_key(
    url: str, parts: tuple[str | None, str, str]
) -> None:
    assert split_s3_url(url) == parts


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://conn@/key"])
def test_an_s3_url_without_bucket_or_key_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="is not like s3://bucket/key"):
        split_s3_url(url)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket", (None, "bucket", "")),
        ("s3://bucket/", (None, "bucket", "")),
        ("s3://mine@bucket/a/b", ("mine", "bucket", "a/b/")),
        ("S3://bucket/a/", (None, "bucket", "a/")),
    ],
)
def test_a_folder_is_split_into_connection_bucket_and_prefix(
    url: str, parts: tuple[str | None, str, str]
) -> None:
    assert split_s3_prefix(url) == parts


def test_a_folder_without_a_bucket_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="is not like s3://bucket/folder"):
        split_s3_prefix("s3:///folder")
