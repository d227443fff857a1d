"""From what a user calls an image to a URL that the service can read, checked on the way."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import without_query, without_signature
from airflow_provider_wanx.s3.addresses import split_s3_url
from airflow_provider_wanx.s3.errors import s3_errors
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import read_object
from airflow_provider_wanx.storage.files import opened, unreadable_is_refused
from airflow_provider_wanx.storage.sources import SourceRule, split_scheme

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from airflow_provider_wanx.dashscope.images import ImageInfo
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook

ImageTransfer = Literal["link", "upload"]
"""How the service gets a picture in S3: it fetches it from a presigned URL, or the worker uploads it to the service's store."""

PRESIGNED_FOR = int(2 * QUEUE_TIMEOUT)
"""Seconds for which a presigned S3 URL is valid: the service may queue a task that long before it fetches the input."""


@dataclass(frozen=True)
class Picture:
    """A picture that has passed the checks that were possible.

    :param name: what logs call it: its place without anything secret.
    :param identity: what makes it this picture and no other, the same on every try: its content's digest, its place and
        version, or its URL.
    :param publish: makes it reachable for the service and returns its URL, which may be signed.
    :param doubts: sentences about what the service may refuse or do badly with, for a log.
    """

    name: str
    identity: str
    publish: Callable[[], str]
    doubts: tuple[str, ...] = ()


class ImageSource:
    """Opens pictures wherever data teams keep them; may be used by several threads.

    :param hook: uploads what the service could not reach otherwise.
    :param model: the model that will read the pictures; uploads are bound to it.
    :param aws_conn_id: AWS connection for ``s3://`` URLs.
    :param rule: who may name which source.
    :param transfer: how the service gets what lies in S3.
    """

    def __init__(
        self,
        *,
        hook: DashScopeHook,
        model: str,
        aws_conn_id: str | None,
        rule: SourceRule,
        transfer: ImageTransfer = "link",
    ) -> None:
        self._hook = hook
        self._model = model
        self._aws_conn_id = aws_conn_id
        self._rule = rule
        self._transfer = transfer
        self._s3: dict[str | None, S3Hook] = {}
        self._making_s3 = Lock()

    def open(self, image: str, *, field: str, is_style_reference: bool = False) -> Picture:
        """Find a picture and check what can be checked without sending anything.

        :param image: URL or path.
        :param field: the operator's argument, for messages.
        :param is_style_reference: see :func:`~airflow_provider_wanx.dashscope.images.check_image`.
        :raises InvalidInputError: it is missing, unreadable, or breaks the model's limits.
        :raises S3Error: S3 does not give it.
        """
        text, scheme = self._read(image, field)
        if scheme in ("https", "http", "oss"):
            # The service refuses URLs with characters outside ASCII; what is escaped already stays as it is.
            url = quote(text, safe="%/:?#[]@!$&'()*+,;=~")
            return Picture(without_query(url), without_signature(url), lambda: url)
        from airflow_provider_wanx.dashscope.images import check_image  # loads Pillow

        check = partial(check_image, is_style_reference=is_style_reference)
        if scheme == "data":
            return self._data_url(text, field, check)
        if scheme == "s3":
            return self._s3_object(text, check)
        return self._stored_file(text, field, check)

    def check(self, image: str, *, field: str, is_style_reference: bool = False) -> None:
        """Check what :meth:`open` checks, reading no more of a file than its beginning where that is enough."""
        text, scheme = self._read(image, field)
        from airflow_provider_wanx.dashscope.images import check_image

        check = partial(check_image, what=text, is_style_reference=is_style_reference)
        if scheme == "s3":
            _look(self._s3_reader(text), check)
        elif scheme in ("https", "http", "oss", "data"):
            self.open(image, field=field, is_style_reference=is_style_reference)
        else:
            with unreadable_is_refused(f"{field} {text!r}"):
                _look(_file_reader(text), check)

    def _read(self, image: str, field: str) -> tuple[str, str]:
        """Return an image's URL or path, and its scheme; refuse one that may not be named here."""
        text = str(image or "").strip()
        if not text or text == "None":
            raise InvalidInputError(f"{field} is empty.")
        self._rule.check(text, field)
        scheme, text = split_scheme(text)
        return text, scheme

    def _data_url(self, text: str, field: str, check: Callable[..., ImageInfo]) -> Picture:
        header, comma, payload = text.partition(",")
        try:
            content = (
                base64.b64decode("".join(payload.split()), validate=True)
                if header.endswith(";base64")
                else unquote_to_bytes(payload)
            )
        except (binascii.Error, ValueError):
            content = b""
        if not comma or not content:
            raise InvalidInputError(f"{field} is not a readable data: URL.")
        info = check(content, what=f"{field} (a data: URL)")
        return Picture(without_query(text), _digest(content), lambda: text, info.doubts)

    def _s3_object(self, text: str, check: Callable[..., ImageInfo]) -> Picture:
        from airflow_provider_wanx.dashscope.images import MAX_BYTES

        read = self._s3_reader(text)
        if self._transfer == "upload":
            content, size, version = read(MAX_BYTES)
            return self._uploaded(content, text, f"{text} {version}", check(content, what=text, size=size))
        version, info = _look(read, partial(check, what=text))
        conn_id, bucket, key = split_s3_url(text)
        s3 = self._s3_hook(conn_id or self._aws_conn_id)

        def publish() -> str:
            url = s3.generate_presigned_url(
                "get_object", {"Bucket": bucket, "Key": key}, expires_in=PRESIGNED_FOR
            )
            if not url:
                raise InvalidInputError(f"The AWS connection cannot presign URLs; check it: {text}.")
            return url

        return Picture(text, f"{text} {version}", publish, info.doubts)

    def _s3_reader(self, text: str) -> _Reader:
        from airflow_provider_wanx.dashscope.images import MAX_BYTES

        conn_id, bucket, key = split_s3_url(text)
        s3 = self._s3_hook(conn_id or self._aws_conn_id)

        def read(most: int) -> _Beginning:
            with s3_errors(f"read {text}"):
                content, answer = read_object(
                    s3.get_conn(), bucket=bucket, key=key, limit=MAX_BYTES, Range=f"bytes=0-{most - 1}"
                )
            total = str(answer.get("ContentRange", "")).rpartition("/")[2]
            size = int(total) if total.isdecimal() else len(content)
            return _Beginning(content, size, str(answer.get("ETag", "")))

        return read

    def _s3_hook(self, conn_id: str | None) -> S3Hook:
        with self._making_s3:
            if conn_id not in self._s3:
                self._s3[conn_id] = s3_hook(conn_id)
                # Making a client takes longer than reading a header, and is nothing for several threads at a time.
                self._s3[conn_id].get_conn()
            return self._s3[conn_id]

    def _stored_file(self, text: str, field: str, check: Callable[..., ImageInfo]) -> Picture:
        from airflow_provider_wanx.dashscope.images import MAX_BYTES

        with unreadable_is_refused(f"{field} {text!r}"):
            content, size, _ = _file_reader(text)(MAX_BYTES)
        return self._uploaded(content, text, _digest(content), check(content, what=text, size=size))

    def _uploaded(self, content: bytes, text: str, identity: str, info: ImageInfo) -> Picture:
        name = PurePosixPath(text).name
        return Picture(
            text,
            identity,
            lambda: self._hook.upload_file(content, model=self._model, filename=name),
            info.doubts,
        )


class _Beginning(NamedTuple):
    content: bytes
    size: int
    """Of the whole."""
    version: str = ""


_Reader = Callable[[int], _Beginning]
"""Reads so many bytes of a picture's beginning."""


def _file_reader(place: str) -> _Reader:
    def read(most: int) -> _Beginning:
        with opened(place) as file:
            # One byte more tells a file that is too large. What the file system says of the size need not be so.
            content = file.read(most + 1) or b""
            size = max(len(content), file.seek(0, os.SEEK_END))
        return _Beginning(content[:most], size)

    return read


def _look(read: _Reader, check: Callable[..., ImageInfo]) -> tuple[str, ImageInfo]:
    """Check a picture by as much of its beginning as that needs; return its version, and what it is."""
    from airflow_provider_wanx.dashscope.images import HEADER_BYTES, MAX_BYTES, MOST_HEADERS

    for most in (MOST_HEADERS, HEADER_BYTES, MAX_BYTES):
        content, size, version = read(most)
        with suppress(InvalidInputError):
            return version, check(content, size=size)
        # Cameras and editors may write much before the size. What is bad otherwise is refused again.
        if not len(content) < size <= MAX_BYTES:
            break
    return version, check(content, size=size)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
