"""From what a user calls an image to a URL that the service can read, checked on the way."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import without_query, without_signature
from airflow_provider_wanx.s3.addresses import split_s3_url
from airflow_provider_wanx.s3.errors import s3_errors
from airflow_provider_wanx.storage.files import stored_path, unreadable_is_refused

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from airflow_provider_wanx.dashscope.images import ImageInfo
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook

_SCHEME = re.compile(r"(https?|oss|s3)(?=://)|data(?=:)", re.IGNORECASE)

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
    """

    def __init__(self, *, hook: DashScopeHook, model: str, aws_conn_id: str | None) -> None:
        self._hook = hook
        self._model = model
        self._aws_conn_id = aws_conn_id
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
        text, scheme = _read(image, field)
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
        text, scheme = _read(image, field)
        if scheme:
            self.open(image, field=field, is_style_reference=is_style_reference)
            return
        from airflow_provider_wanx.dashscope.images import HEADER_BYTES, check_image

        with unreadable_is_refused(f"{field} {text!r}"):
            path = stored_path(text)
            size = int(path.stat().st_size)
            with path.open("rb") as file:
                check_image(
                    file.read(HEADER_BYTES), what=text, size=size, is_style_reference=is_style_reference
                )

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
        from airflow_provider_wanx.dashscope.images import HEADER_BYTES, MAX_BYTES, MOST_HEADERS

        conn_id, bucket, key = split_s3_url(text)
        s3 = self._s3_hook(conn_id or self._aws_conn_id)

        def read(last_byte: int) -> tuple[bytes, dict[str, Any]]:
            with s3_errors(f"read {text}"):
                answer: dict[str, Any] = s3.get_conn().get_object(
                    Bucket=bucket, Key=key, Range=f"bytes=0-{last_byte}"
                )
                return answer["Body"].read(), answer

        head, answer = read(MOST_HEADERS - 1)
        total = str(answer.get("ContentRange", "")).rpartition("/")[2]
        size = int(total) if total.isdecimal() else len(head)
        info: ImageInfo | None = None
        # Cameras and editors may write much before the size. What is bad otherwise is refused again.
        for more in (HEADER_BYTES, MAX_BYTES):
            try:
                info = check(head, what=text, size=size)
                break
            except InvalidInputError:
                if not len(head) < size <= MAX_BYTES:
                    raise
            head, answer = read(min(more, size) - 1)
        info = info or check(head, what=text, size=size)

        def publish() -> str:
            url = s3.generate_presigned_url(
                "get_object", {"Bucket": bucket, "Key": key}, expires_in=PRESIGNED_FOR
            )
            if not url:
                raise InvalidInputError(f"The AWS connection cannot presign URLs; check it: {text}.")
            return url

        return Picture(text, f"{text} {answer.get('ETag', '')}", publish, info.doubts)

    def _s3_hook(self, conn_id: str | None) -> S3Hook:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        with self._making_s3:
            if conn_id not in self._s3:
                self._s3[conn_id] = S3Hook(aws_conn_id=conn_id)
                # Making a client takes longer than reading a header, and is nothing for several threads at a time.
                self._s3[conn_id].get_conn()
            return self._s3[conn_id]

    def _stored_file(self, text: str, field: str, check: Callable[..., ImageInfo]) -> Picture:
        from airflow_provider_wanx.dashscope.images import MAX_BYTES

        with unreadable_is_refused(f"{field} {text!r}"):
            path = stored_path(text)
            size = int(path.stat().st_size)
            with path.open("rb") as file:
                # What is too big is refused unread.
                content: bytes = file.read() if size <= MAX_BYTES else b""
                info = check(content, what=text, size=size)
        return Picture(
            text,
            _digest(content),
            lambda: self._hook.upload_file(content, model=self._model, filename=path.name),
            info.doubts,
        )


def _read(image: str, field: str) -> tuple[str, str]:
    """Return an image's URL or path, and its scheme if it is one that is not left to Airflow's object storage."""
    text = str(image or "").strip()
    if not text or text == "None":
        raise InvalidInputError(f"{field} is empty.")
    found = _SCHEME.match(text)
    scheme = found.group().lower() if found else ""
    return scheme + text[len(scheme) :], scheme


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
