"""Large objects whose bytes break off on the way."""

# ruff: noqa: N803 - the names of arguments are boto3's

from __future__ import annotations

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError

from airflow_provider_wanx.s3.objects import READ_TRIES, ObjectStream

CONTENT = bytes(range(256)) * 40


class _Breaks(io.RawIOBase):
    """Bytes of which some arrive."""

    def __init__(self, body: bytes, *, after: int) -> None:
        self._left = io.BytesIO(body[:after])
        self._is_whole = len(body) <= after

    def read(self, size: int = -1, /) -> bytes:
        if (chunk := self._left.read(size)) or self._is_whole:
            return chunk
        raise ProtocolError("Connection broken")


class _Store:
    """S3 that breaks every answer off after some bytes."""

    def __init__(self, *, after: int) -> None:
        self.body = CONTENT
        self.asked: list[str | None] = []
        self._after = after

    def get_object(
        self, *, Bucket: str, Key: str, Range: str | None = None, **condition: str
    ) -> dict[str, Any]:
        self.asked.append(Range)
        if condition not in ({}, {"IfMatch": f'"{len(self.body)}"'}):
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "GetObject")
        rest = self.body[int((Range or "bytes=0-")[6:-1]) :]
        return {
            "Body": StreamingBody(_Breaks(rest, after=self._after), len(rest)),
            "ContentLength": len(rest),
            "ETag": f'"{len(self.body)}"',
        }


def _read(store: _Store) -> bytes:
    with io.BufferedReader(ObjectStream(store, bucket="b", key="k"), 512) as stream:
        return stream.read()


def test_it_goes_on_where_it_broke_off_however_often() -> None:
    store = _Store(after=1000)
    assert _read(store) == CONTENT
    assert store.asked == [None, *(f"bytes={start}-" for start in range(1000, len(CONTENT), 1000))]


def test_one_of_which_nothing_comes_any_more_is_given_up() -> None:
    store = _Store(after=0)
    with pytest.raises(ResponseStreamingError):
        _read(store)
    assert len(store.asked) == READ_TRIES


def test_the_rest_of_another_version_is_not_taken_for_its_own() -> None:
    store = _Store(after=1000)
    stream = io.BufferedReader(ObjectStream(store, bucket="b", key="k"), 512)
    stream.read(600)
    store.body = CONTENT[::-1] + b"x"
    with pytest.raises(ClientError):
        stream.read()


class _Refusing:
    def get_object(self, **_: Any) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")


@pytest.mark.filterwarnings("error")
def test_one_that_cannot_be_opened_leaves_nothing_that_fails_to_close() -> None:
    stream = ObjectStream.__new__(ObjectStream)
    with pytest.raises(ClientError):
        ObjectStream.__init__(stream, _Refusing(), bucket="b", key="k")
    stream.close()
    assert stream.closed
