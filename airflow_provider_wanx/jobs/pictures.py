"""From what a user calls an image to a URL that the service can read, checked on the way."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.origin import data_url, file_stem, inline_content
from airflow_provider_wanx.dashscope.redaction import quoted, without_query, without_signature
from airflow_provider_wanx.jobs.files import opened, unreadable_is_refused
from airflow_provider_wanx.jobs.s3_source import Beginning, S3Source
from airflow_provider_wanx.jobs.sources import SourceRule, split_scheme
from airflow_provider_wanx.s3.addresses import split_s3_url

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.config import ImageTransfer
    from airflow_provider_wanx.dashscope.images import ImageInfo
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook

_LONGEST_DATA_URL = 10_000_000
"""Characters of a ``data:`` URL that every model takes; a larger picture is uploaded."""

_Reader = Callable[[int], Beginning]
"""Reads so many bytes of a picture's beginning."""


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
    :param transfer: how the service gets what lies in S3; None for the connection's way.
    """

    def __init__(
        self,
        *,
        hook: DashScopeHook,
        model: str,
        aws_conn_id: str | None,
        rule: SourceRule,
        transfer: ImageTransfer | None = None,
    ) -> None:
        self._hook = hook
        self._model = model
        self._aws_conn_id = aws_conn_id
        self._rule = rule
        self._transfer = transfer
        self._s3: dict[tuple[str | None, str], S3Source] = {}
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
            url = _ascii_url(text, field)
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
            with unreadable_is_refused(f"{field} {quoted(text)}"):
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
        content = inline_content(text)
        if not content:
            raise InvalidInputError(f"{field} is not a readable data: URL, nor a picture in Base64.")
        info = check(content, what=f"{field} (a data: URL)")
        url = data_url(content, info.content_type)
        if len(url) > _LONGEST_DATA_URL:
            return self._uploaded(content, text, _digest(content), info)
        return Picture(without_query(url), _digest(content), lambda: url, info.doubts)

    def _s3_object(self, text: str, check: Callable[..., ImageInfo]) -> Picture:
        from airflow_provider_wanx.dashscope.images import MAX_BYTES

        read = self._s3_reader(text)
        if (self._transfer or self._hook.get_conn().config.image_transfer) == "upload":
            whole = read(MAX_BYTES)
            info = check(whole.content, what=text, size=whole.size)
            return self._uploaded(whole.content, text, f"{text} {whole.version}", info)
        head, info = _look(read, partial(check, what=text))
        conn_id, bucket, key = split_s3_url(text)
        source = self._s3_source(conn_id, bucket)
        answer_as = (
            {} if head.content_type == info.content_type else {"ResponseContentType": info.content_type}
        )
        return Picture(
            text,
            f"{text} {head.version}",
            lambda: source.link(key, **answer_as),
            (*info.doubts, *source.new_doubts()),
        )

    def _s3_reader(self, text: str) -> _Reader:
        from airflow_provider_wanx.dashscope.images import MAX_BYTES

        conn_id, bucket, key = split_s3_url(text)
        return partial(self._s3_source(conn_id, bucket).read, key, limit=MAX_BYTES)

    def _s3_source(self, conn_id: str | None, bucket: str) -> S3Source:
        place = (conn_id or self._aws_conn_id, bucket)
        # Making a client takes longer than reading a header, and is nothing for several threads at a time.
        with self._making_s3:
            if place not in self._s3:
                self._s3[place] = S3Source(aws_conn_id=place[0], bucket=bucket)
            return self._s3[place]

    def _stored_file(self, text: str, field: str, check: Callable[..., ImageInfo]) -> Picture:
        from airflow_provider_wanx.dashscope.images import MAX_BYTES

        with unreadable_is_refused(f"{field} {quoted(text)}"):
            whole = _file_reader(text)(MAX_BYTES)
        info = check(whole.content, what=text, size=whole.size)
        return self._uploaded(whole.content, text, _digest(whole.content), info)

    def _uploaded(self, content: bytes, text: str, identity: str, info: ImageInfo) -> Picture:
        # The service goes by the extension.
        name = f"{file_stem(text)}{info.extension}"
        return Picture(
            without_query(text),
            identity,
            lambda: self._hook.upload_file(content, model=self._model, filename=name),
            info.doubts,
        )


def _file_reader(place: str) -> _Reader:
    def read(most: int) -> Beginning:
        with opened(place) as file:
            # One byte more tells a file that is too large. What the file system says of the size need not be so.
            content = file.read(most + 1) or b""
            size = max(len(content), file.seek(0, os.SEEK_END))
        return Beginning(content[:most], size)

    return read


def _look(read: _Reader, check: Callable[..., ImageInfo]) -> tuple[Beginning, ImageInfo]:
    """Check a picture by as much of its beginning as its format needs; return that and what the picture is."""
    from airflow_provider_wanx.dashscope.images import FIRST_BYTES, MAX_BYTES, bytes_needed

    head = read(FIRST_BYTES)
    while len(head.content) < min(needed := bytes_needed(head.content), head.size, MAX_BYTES):
        # Many small pieces of metadata may come before the size.
        head = read(min(max(needed, 4 * len(head.content)), MAX_BYTES))
    return head, check(head.content, size=head.size)


def _ascii_url(text: str, field: str) -> str:
    """Write an address in ASCII, as the service wants it; what is escaped already stays as it is."""
    try:
        place = urlsplit(text).netloc
        user, at, host = place.rpartition("@")
        if not host:
            raise ValueError
    except ValueError:
        raise InvalidInputError(f"{field} has no readable host: {quoted(text)}.") from None
    if not host.isascii():
        host = unicodedata.normalize("NFKC", host).lower().replace("。", ".")
        labels = (
            label if label.isascii() else f"xn--{label.encode('punycode').decode()}"
            for label in host.split(".")
        )
        text = text.replace(place, f"{user}{at}{'.'.join(labels)}", 1)
    return quote(text, safe="%/:?#[]@!$&'()*+,;=~")


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
