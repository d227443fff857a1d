"""Who may name which source."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE, SourceRule

PLAIN = SourceRule()

URLS = [
    "https://example.com/a.jpg",
    "HTTP://example.com/a@b.jpg",
    "oss://dashscope-instant/a.png",
    "data:image/png;base64,AAAA",
    "DATA:image/png;base64,AAAA",
    "s3://bucket/people/a@b.png",
    "S3://bucket/a::b.png",
    "gs://bucket/a b.png",
    "abfss://container/a.png",
]
"""What anybody may name."""

PATHS = [
    "/etc/shadow",
    "/dev/zero",
    "etc/passwd",
    "./a.png",
    "~/.ssh/id_rsa",
    "a.png",
    "//etc/shadow",
    "///etc/shadow",
    "\\\\host\\share\\a.png",
    "C:\\a.png",
    "file:///etc/shadow",
    "FILE:///etc/shadow",
    "File:/etc/shadow",
    "file:etc/shadow",
    "file://localhost/etc/shadow",
    "  file:///etc/shadow\n",
    "\ufefffile:///etc/shadow",
    "\x00file:///etc/shadow",
    "fi\tle:///etc/shadow",
    "ﬁle:///etc/shadow",
    "local:///etc/shadow",
    "LOCAL:/etc/shadow",
    "%2Fetc%2Fshadow",
    "file%3A///etc/shadow",
    "simplecache::file:///etc/shadow",
    "s3:/bucket/a.png",
    "s3:bucket",
    "ſ3://bucket/a.png",
    "https:/example.com/a.png",
]
"""What is, or could be taken for, a path on the worker."""

OTHERS = [
    "s3://other@bucket/a.png",
    "S3://other@bucket/a.png",
    "s3://@bucket/a.png",
    "s3://other@more@bucket/a.png",
    "s3://key:secret@bucket/a.png",
    "gs://other@bucket/a.png",
    "abfss://container@account.dfs.core.windows.net/a.png",
    "gs://bucket?x@other/a.png",
    "gs://bucket#x@other/a.png",
    "gs://bucket/a.png::file:///etc/shadow",
    "s3a://bucket/a.png",
    "memory://a.png",
    "zip://a.png::file:///tmp/a.zip",
    "simplecache://a.png",
    "github://owner:repository@main/a.png",
    "hdfs://namenode:8020/a.png",
    "webhdfs://namenode/a.png",
    "ftp://host/a.png",
    "sftp://user@host/a.png",
    "smb://host/share/a.png",
]
"""What names a connection, or can be read only with one."""


@pytest.mark.parametrize("place", URLS)
def test_anybody_may_name_a_plain_url(place: str) -> None:
    PLAIN.check(place, "image")


@pytest.mark.parametrize("place", PATHS)
def test_data_may_not_name_a_path_unless_the_author_allows_it(place: str) -> None:
    with pytest.raises(InvalidInputError, match="allow_local_files=True"):
        PLAIN.check(place, "image")
    with pytest.raises(InvalidInputError, match="allow_local_files=True"):
        SourceRule(allow_conn_ids=True).check(place, "image")
    SourceRule(allow_local_files=True).check(place, "image")


@pytest.mark.parametrize("place", OTHERS)
def test_data_may_not_name_a_connection_unless_the_author_allows_it(place: str) -> None:
    with pytest.raises(InvalidInputError, match="allow_conn_ids=True"):
        PLAIN.check(place, "image")
    with pytest.raises(InvalidInputError, match="allow_conn_ids=True"):
        SourceRule(allow_local_files=True).check(place, "image")
    if "::" not in place:
        SourceRule(allow_conn_ids=True).check(place, "image")


def test_one_place_within_another_is_nobodys() -> None:
    with pytest.raises(InvalidInputError, match="only the DAG's author"):
        ANYWHERE.check("gs://bucket/a.png::file:///etc/shadow", "image")


@pytest.mark.parametrize("place", [*PATHS, *OTHERS])
def test_what_the_author_has_written_is_the_authors(place: str) -> None:
    rule = SourceRule(written={"image": frozenset({place})})
    rule.check(place, "image")
    with pytest.raises(InvalidInputError, match="style_reference"):
        rule.check(place, "style_reference")


@pytest.mark.parametrize("place", ["s3://conn@bucket/in/a.png", "s3://conn@bucket/in/b/c.png"])
def test_what_lies_in_a_folder_that_the_author_has_written_is_the_authors(place: str) -> None:
    SourceRule(written={"image": frozenset({"s3://conn@bucket/in/"})}).check(place, "image")


@pytest.mark.parametrize(
    "place",
    [
        "s3://conn@bucket/into.png",
        "s3://conn@bucket/in/../out/a.png",
        "s3://conn@bucket2/in/a.png",
        "s3://other@bucket/in/a.png",
    ],
)
def test_what_lies_beside_such_a_folder_is_not(place: str) -> None:
    with pytest.raises(InvalidInputError, match="allow_conn_ids=True"):
        SourceRule(written={"image": frozenset({"s3://conn@bucket/in/"})}).check(place, "image")


def test_a_local_folder_ends_where_a_link_leads_out_of_it(tmp_path: Path) -> None:
    folder, secret = tmp_path / "in", tmp_path / "secret.png"
    folder.mkdir()
    secret.touch()
    (folder / "a.png").touch()
    (folder / "link.png").symlink_to(secret)
    (folder / "inner.png").symlink_to(folder / "a.png")
    (folder / "up").symlink_to(tmp_path)
    rule = SourceRule(written={"image": frozenset({f"{folder}/"})})
    for good in ("a.png", "inner.png", "./a.png", "not there.png"):
        rule.check(f"{folder}/{good}", "image")
        rule.check(f"file://{folder}/{good}", "image")
    for bad in ("link.png", "up/secret.png", "../secret.png", "\x00.png"):
        with pytest.raises(InvalidInputError, match="allow_local_files=True"):
            rule.check(f"{folder}/{bad}", "image")


def test_a_refusal_tells_nothing_of_what_exists(tmp_path: Path) -> None:
    there = tmp_path / "there.png"
    there.write_text("text")
    os.mkfifo(tmp_path / "pipe.png")
    said = set()
    for name in ("there.png", "not there.png", "pipe.png", ""):
        with pytest.raises(InvalidInputError) as caught:
            PLAIN.check(f"{tmp_path}/{name}", "image")
        said.add(str(caught.value).replace(f"{tmp_path}/{name}", "PLACE"))
    assert len(said) == 1


def test_a_refusal_quotes_neither_an_endless_text_nor_a_secret() -> None:
    for place in ("a b.c/" * 20_000, "s3://AKIA:topsecretvalue@bucket/" + "k" * 5000):
        with pytest.raises(InvalidInputError) as caught:
            PLAIN.check(place, "image")
        assert len(str(caught.value)) < 400
        assert "topsecret" not in str(caught.value)
