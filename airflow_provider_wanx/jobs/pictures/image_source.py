"""From what a user calls an image to a URL that the service can read, checked on the way."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote, urlsplit

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.picture_address import data_url, file_stem, inline_content
from airflow_provider_wanx.dashscope.redaction import quoted, without_query, without_signature
from airflow_provider_wanx.jobs.pictures.local_files import opened_here, unreadable_is_refused
from airflow_provider_wanx.jobs.pictures.s3_source import Beginning, S3Source
from airflow_provider_wanx.jobs.pictures.source_rule import SourceRule, split_scheme
from airflow_provider_wanx.s3.addresses import split_s3_url

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.images import ImageInfo

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

    :param upload: puts a file into the service's temporary store, as the client's ``upload_file`` does.
    :param model: the model that will read the pictures; uploads are bound to it.
    :param rule: who may name which source.
    :param open_bucket: opens a bucket of S3, from the id of a connection or None, and the bucket's name.
    :param open_file: opens a file, from a path or a URL; by default those of this machine.
    """

    def __init__(
        self,
        *,
        upload: Callable[..., str],
        model: str,
        rule: SourceRule,
        open_bucket: Callable[[str | None, str], S3Source] | None = None,
        open_file: Callable[[str], AbstractContextManager[BinaryIO]] = opened_here,
    ) -> None:
        self._upload = upload
        self._model = model
        self._rule = rule
        self._open_bucket = open_bucket
        self._open_file = open_file
        self._buckets: dict[tuple[str | None, str], S3Source] = {}
        self._opening_bucket = Lock()

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
        from airflow_provider_wanx.dashscope.images import MAX_PICTURE_BYTES, check_image

        check = partial(check_image, what=text, is_style_reference=is_style_reference)
        if scheme == "s3":
            source, key = self._bucket(text)
            _look(partial(source.read, key, limit=MAX_PICTURE_BYTES), check)
        elif scheme in ("https", "http", "oss", "data"):
            self.open(image, field=field, is_style_reference=is_style_reference)
        else:
            with unreadable_is_refused(f"{field} {quoted(text)}"):
                _look(self._file_reader(text), check)

    def _read(self, image: str, field: str) -> tuple[str, str]:
        """Return an image's URL or path, and its scheme; refuse one that may not be named here."""
        text = str(image or "").strip()
        if not text or text == "None":
            raise InvalidInputError(f"{field} is empty.")
        self._rule.check(text, field)
        scheme, text = split_scheme(text)
        return text, scheme

    def _data_url(self, text: str, field: str, check: Callable[..., ImageInfo]) -> Picture:
        from airflow_provider_wanx.dashscope.images import CERTAIN_BYTES

        content = inline_content(text)
        if not content:
            raise InvalidInputError(f"{field} is not a readable data: URL, nor a picture in Base64.")
        info = check(content, what=f"{field} (a data: URL)")
        url = data_url(content, info.content_type)
        # Some models mean their 10 MB of the URL itself.
        if len(url) > CERTAIN_BYTES:
            return self._uploaded(content, text, _digest(content), info)
        return Picture(without_query(url), _digest(content), lambda: url, info.doubts)

    def _s3_object(self, text: str, check: Callable[..., ImageInfo]) -> Picture:
        from airflow_provider_wanx.dashscope.images import MAX_PICTURE_BYTES

        source, key = self._bucket(text)
        read = partial(source.read, key, limit=MAX_PICTURE_BYTES)
        if source.transfer == "upload":
            whole = read(MAX_PICTURE_BYTES)
            info = check(whole.content, what=text, size=whole.size)
            return self._uploaded(whole.content, text, f"{text} {whole.version}", info)
        head, info = _look(read, partial(check, what=text))
        is_told = head.content_type == info.content_type
        answer_as = {} if is_told else {"ResponseContentType": info.content_type}
        return Picture(
            text,
            f"{text} {head.version}",
            lambda: source.link(key, **answer_as),
            (*info.doubts, *source.new_doubts()),
        )

    def _bucket(self, url: str) -> tuple[S3Source, str]:
        conn_id, bucket, key = split_s3_url(url)
        if self._open_bucket is None:
            raise InvalidInputError(f"Nothing leads to S3 here: {quoted(url)}.")
        # Making a client takes longer than reading a header, and is nothing for several threads at a time.
        with self._opening_bucket:
            if (conn_id, bucket) not in self._buckets:
                self._buckets[conn_id, bucket] = self._open_bucket(conn_id, bucket)
            return self._buckets[conn_id, bucket], key

    def _stored_file(self, text: str, field: str, check: Callable[..., ImageInfo]) -> Picture:
        from airflow_provider_wanx.dashscope.images import MAX_PICTURE_BYTES

        with unreadable_is_refused(f"{field} {quoted(text)}"):
            whole = self._file_reader(text)(MAX_PICTURE_BYTES)
        info = check(whole.content, what=text, size=whole.size)
        return self._uploaded(whole.content, text, _digest(whole.content), info)

    def _uploaded(self, content: bytes, text: str, identity: str, info: ImageInfo) -> Picture:
        # The service goes by the extension.
        name = f"{file_stem(text)}{info.extension}"
        return Picture(
            without_query(text),
            identity,
            lambda: self._upload(filename=name, content=content, model=self._model),
            info.doubts,
        )

    def _file_reader(self, place: str) -> _Reader:
        def read(most: int) -> Beginning:
            with self._open_file(place) as file:
                # One byte more tells a file that is too large. What the file system says of the size need not be so.
                content = file.read(most + 1) or b""
                size = max(len(content), file.seek(0, os.SEEK_END))
            return Beginning(content[:most], size)

        return read


def _look(read: _Reader, check: Callable[..., ImageInfo]) -> tuple[Beginning, ImageInfo]:
    """Check a picture by as much of its beginning as its format needs; return that and what the picture is."""
    from airflow_provider_wanx.dashscope.images import FIRST_BYTES, MAX_PICTURE_BYTES, bytes_needed

    head = read(FIRST_BYTES)
    while len(head.content) < min(needed := bytes_needed(head.content), head.size, MAX_PICTURE_BYTES):
        # Many small pieces of metadata may come before the size.
        head = read(min(max(needed, 4 * len(head.content)), MAX_PICTURE_BYTES))
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
