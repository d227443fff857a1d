from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

import pytest

from airflow_provider_wanx.dashscope.client.download import HEAD_BYTES, ReceivedFile
from airflow_provider_wanx.dashscope.errors import DownloadError

_JPEG = b"\xff\xd8\xff\xe0" + bytes(range(200))


def _file(headers: Mapping[str, str] | None = None, extension: str = "") -> ReceivedFile:
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


@pytest.mark.parametrize(
    ("extension", "content_type"),
    [
        (".mp4", "text/html"), (".json", "text/html"), (".wav", "text/html; charset=utf-8"), (".zip", "text/html"),
        (".png", "text/plain"), (".mp4", "application/json"), (".mp3", "application/xml"), (".mp4", "image/png"),
        (".png", "video/mp4"), (".jsonl", "image/jpeg"),
    ],
)  # fmt: skip
def test_a_type_that_contradicts_the_extension_is_refused_before_the_first_byte(
    extension: str, content_type: str
) -> None:
    with pytest.raises(DownloadError, match=f"is no {extension} file: it comes as"):
        _file({"content-type": content_type}, extension)


@pytest.mark.parametrize(
    ("extension", "body"),
    [
        (".mp4", b"<!DOCTYPE html><html><body>Sorry"),
        (".mp4", b'{"code": "NotFound", "message": "there is no such file"}'),
        (".wav", b"Access denied\r\n"),
        (".json", b"  <html><body>Sorry"),
        (".json", b"\xff\xd8\xff\xe0"),
        (".txt", b"\xef\xbb\xbf<HTML>"),
        (".zip", b"<html>"),
    ],
)
@pytest.mark.parametrize("content_type", ["", "application/octet-stream"])
def test_a_beginning_that_contradicts_the_extension_is_refused(
    extension: str, body: bytes, content_type: str
) -> None:
    with pytest.raises(DownloadError, match=f"is no {extension} file: it begins with"):
        _take(_file({"content-type": content_type}, extension), body).finish()


@pytest.mark.parametrize(
    ("extension", "content_type", "body"),
    [
        (".mp4", "video/mp4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"),
        (".mp4", "application/octet-stream", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41"),
        (".wav", "audio/x-wav", b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0"),
        (".wav", "audio/wav", b"RIFF!!!!WAVEfmt \x10\0\0\0\x01\0\x02\0"),
        (".mp3", "audio/mpeg", b"ID3\x04\0\0\0\0\0\x23TSSE\0\0\0\x0f"),
        (".webm", "audio/webm", b"\x1a\x45\xdf\xa3\x9f\x42\x86"),
        (".json", "application/octet-stream", b'\xef\xbb\xbf {"a": 1}'),
        (".json", "text/plain", b"[1, 2]"),
        (".txt", "text/plain", b"no < html"),
        (".srt", "application/x-subrip", b"1\n00:00:00,000 --> 00:00:01,000\nHello\n"),
        (".svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        (".html", "text/html", b"<!doctype html>"),
        (".zip", "application/zip", b"PK\x03\x04"),
        (".glb", "", b"glTF\x02\0\0\0"),
        ("", "text/html", b"<html>"),
    ],
)
def test_what_is_as_it_should_be_passes(extension: str, content_type: str, body: bytes) -> None:
    _take(_file({"content-type": content_type}, extension), body).finish()


def test_the_checksum_of_the_object_store_is_compared() -> None:
    """The value for these digits is that of the algorithm's definition."""
    announced = {"x-oss-hash-crc64ecma": "11051210869376104954"}
    file = _take(_file(announced, ".txt"), b"12345")
    file.add(b"6789")
    file.finish()
    with pytest.raises(DownloadError, match="damaged on the way"):
        _take(_file(announced, ".txt"), b"123456780").finish()
