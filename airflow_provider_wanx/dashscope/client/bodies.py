"""Reading the body of an answer: whole, and never more of it than an answer has."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncIterable, Iterable
from typing import cast

import httpx

from airflow_provider_wanx.dashscope.api.answers import Answer
from airflow_provider_wanx.dashscope.errors import InvalidResponseError

MAX_BYTES = 512 * 1024
"""Largest answer, unpacked. A page of a hundred tasks has 60 kB, and an answer takes up to seventy times its size in memory."""

PACKED = "gzip"
"""How answers may be packed: it can be unpacked up to a limit."""


def sync_stream(response: httpx.Response) -> Iterable[bytes]:
    """The bytes of a response as they come in, packed as they are."""
    return cast("httpx.SyncByteStream", response.stream)


def async_stream(response: httpx.Response) -> AsyncIterable[bytes]:
    """The same of the asynchronous client."""
    return cast("httpx.AsyncByteStream", response.stream)


def read_answer(response: httpx.Response, doing: str) -> Answer:
    """Read an answer of which nothing was read yet, and close it.

    :param doing: what was asked, for messages.
    :raises InvalidResponseError: it is too large, or packed in a way that was not offered.
    """
    with contextlib.closing(response):
        body = _AnswerBody(response, doing)
        for chunk in sync_stream(response):
            if not body.takes(chunk):
                break
        return body.answer()


async def aread_answer(response: httpx.Response, doing: str) -> Answer:
    """See :func:`read_answer`."""
    async with contextlib.aclosing(response):
        body = _AnswerBody(response, doing)
        async for chunk in async_stream(response):
            if not body.takes(chunk):
                break
        return body.answer()


class _AnswerBody:
    """Takes the bytes of one answer as they come in."""

    def __init__(self, response: httpx.Response, doing: str) -> None:
        self._response = response
        self._doing = doing
        self._bytes = bytearray()

    def takes(self, chunk: bytes) -> bool:
        """Take the next bytes; return whether more are wanted."""
        self._bytes += chunk
        return len(self._bytes) <= MAX_BYTES

    def answer(self) -> Answer:
        """Return the answer; of a refusal without end, its beginning."""
        body, response = self._unpacked(), self._response
        # A refusal says by its status what it is.
        if len(body) > MAX_BYTES and response.status_code < 400:
            raise InvalidResponseError(
                f"Could not {self._doing}: the answer of {response.url.host} has more than {MAX_BYTES:,} bytes, "
                "as no answer of the service has.",
                http_status=response.status_code,
            )
        return Answer(response.status_code, response.headers, body[:MAX_BYTES], self._doing)

    def _unpacked(self) -> bytes:
        packed = self._response.headers.get("content-encoding", "identity").strip().lower()
        if packed == "identity":
            return bytes(self._bytes)
        try:
            if packed == PACKED:
                stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
                body = stream.decompress(self._bytes, MAX_BYTES + 1)
                if stream.eof or len(body) > MAX_BYTES:
                    return body
        except zlib.error:
            pass
        raise InvalidResponseError(
            f"Could not {self._doing}: the answer of {self._response.url.host} cannot be decoded ({packed}).",
            http_status=self._response.status_code,
        )
