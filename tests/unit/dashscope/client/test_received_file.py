from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import pytest

from airflow_provider_wanx.dashscope.client.download import HEAD_BYTES, ReceivedFile
from airflow_provider_wanx.dashscope.errors import DownloadError

_JPEG = b"\xff\xd8\xff\xe0" + bytes(range(200))


def _file(headers: Mapping[str, str] | None = None, *, extension: str = "") -> ReceivedFile:
    return ReceivedFile(what="result 0", headers=headers or {}, extension=extension)


def _take(file: ReceivedFile, content: bytes, *, piece: int = 7) -> ReceivedFile:
    for start in range(0, len(content), piece):
        file.add(content[start : start + piece])
    return file


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def test_what_comes_is_counted_hashed_and_looked_at() -> None:
    file = _take(_file({"content-type": "Image/JPEG; q=1", "content-length": str(len(_JPEG))}), _JPEG)

    file.finish()

    assert (file.size, file.expected_size, file.content_type) == (len(_JPEG), len(_JPEG), "image/jpeg")
    assert file.sha256 == hashlib.sha256(_JPEG).hexdigest()
    assert file.head == _JPEG[:HEAD_BYTES]


def test_a_file_without_any_announcement_passes() -> None:
    _take(_file(), b"anything").finish()


def test_an_empty_file_is_an_error() -> None:
    with pytest.raises(DownloadError, match=r"^result 0 is empty\.$"):
        _file({"content-length": "0"}).finish()


@pytest.mark.parametrize("length", [len(_JPEG) - 1, len(_JPEG) + 1])
def test_another_length_than_announced_is_an_error(length: int) -> None:
    with pytest.raises(DownloadError, match=f"{len(_JPEG)} of {length} bytes arrived"):
        _take(_file({"content-length": str(length)}), _JPEG).finish()


@pytest.mark.parametrize("length", ["", "many", "-1", "1.5"])
def test_a_length_that_is_none_is_not_compared(length: str) -> None:
    file = _take(_file({"content-length": length}), _JPEG)

    file.finish()

    assert file.expected_size is None


def test_a_checksum_is_compared() -> None:
    _take(_file({"content-md5": _md5(_JPEG)}), _JPEG).finish()
    with pytest.raises(DownloadError, match="damaged on the way"):
        _take(_file({"content-md5": _md5(b"other")}), _JPEG).finish()


def test_a_size_beyond_every_result_is_refused_before_its_first_byte() -> None:
    with pytest.raises(DownloadError, match="would have 1,000,000,000,000 bytes"):
        _file({"content-length": "1000000000000"})


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        ("image/jpeg", ""),
        ("image/png", ".png"),
        ("application/octet-stream", ".jpg"),
        ("", ".webp"),
        ("text/html", ".png"),
    ],
)
def test_an_error_page_in_a_pictures_place_is_no_picture(content_type: str, extension: str) -> None:
    file = _take(_file({"content-type": content_type}, extension=extension), b"<html>Sorry</html>")

    with pytest.raises(DownloadError, match="is no picture: it begins with b'<html>Sorry<'"):
        file.finish()


@pytest.mark.parametrize(
    ("content_type", "extension", "content"),
    [
        ("image/jpeg", ".jpg", _JPEG),
        ("image/png", ".png", b"\x89PNG\r\n\x1a\n..."),
        ("image/png", ".jpg", _JPEG),
        ("image/webp", ".webp", b"RIFF....WEBP"),
        ("image/bmp", ".bmp", b"BM...."),
        ("image/gif", ".gif", b"GIF89a"),
        ("image/svg+xml", ".svg", b"<svg xmlns="),
        ("image/avif", ".avif", b"\x00\x00\x00\x20ftypavif"),
        ("video/mp4", ".mp4", b"\x00\x00\x00\x20ftypisom"),
        ("application/json", ".json", b"{}"),
        ("application/gzip", ".gz", b"\x1f\x8b"),
    ],
)
def test_every_kind_of_result_passes_as_what_it_is(content_type: str, extension: str, content: bytes) -> None:
    _take(_file({"content-type": content_type}, extension=extension), content).finish()
