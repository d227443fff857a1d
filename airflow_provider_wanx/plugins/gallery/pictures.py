"""Pictures for the pages: checked, made small where that will do, and kept for a while.

They go through the API server and not by presigned URLs: so every look at one passes Airflow's access check, a private bucket
will do, no address works for anybody else, and the browser need not be allowed to load anything from elsewhere.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.origin import SOURCE, Origin, source_address
from airflow_provider_wanx.plugins.gallery import objects
from airflow_provider_wanx.plugins.gallery.problems import (
    NO_PICTURE,
    NO_RESULT,
    NOT_IN_S3,
    NOT_OURS,
    TOO_LARGE,
    ProblemError,
)
from airflow_provider_wanx.s3.addresses import split_s3_url
from airflow_provider_wanx.storage.destination import TASK_ID

if TYPE_CHECKING:
    from PIL.Image import Image

    from airflow_provider_wanx.plugins.gallery.records import Mark, Result

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 40_000_000
"""More than any picture that the service takes or makes has; larger ones could be meant to fill the memory."""

THUMBNAIL = 360
"""Longest side of a thumbnail, in pixels."""

_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "BMP": "image/bmp"}
"""Formats that are shown, all of them without scripts → their content types."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is sent to the browser."""

    body: bytes
    content_type: str


_thumbnails: objects.Cache[Picture] = objects.Cache(
    room=48 * 1024 * 1024, seconds=600.0, size=lambda picture: len(picture.body)
)


def check(mark: Mark, result: Result) -> None:
    """Find out whether a result is still there.

    :raises ProblemError: it is not, or cannot be read.
    """
    if result.bucket and result.key:
        _check_task(objects.metadata(mark.aws_conn_id, result.bucket, result.key), result)


def _check_task(said: Mapping[str, str], result: Result) -> None:
    """Refuse an object that the result's task has not made.

    :param said: the object's metadata, which the copy has written.
    """
    if not result.dashscope_task_id or said.get(TASK_ID) != result.dashscope_task_id:
        raise ProblemError(NOT_OURS)


def result_picture(conn_id: str | None, result: Result, *, small: bool) -> Picture:
    """Return the picture that a task has made.

    :param conn_id: the AWS connection that has written it.
    :param small: whether a thumbnail will do.
    :raises ProblemError: it cannot be shown.
    """
    bucket, key = result.bucket, result.key
    if not bucket or not key:
        raise ProblemError(NO_RESULT)

    def content() -> bytes:
        found = objects.read(conn_id, bucket, key, limit=MAX_BYTES)
        _check_task(found.metadata, result)
        return found.body

    return _picture((conn_id, bucket, key, result.dashscope_task_id), content, small=small)


def source_picture(conn_id: str | None, result: Result, *, small: bool) -> Picture:
    """Return the portrait from which a task has made its picture, if it is in S3.

    That a manifest names it is not enough, for it may have been written by hand: the object that the copy has written must
    name it, too.

    :param conn_id: the AWS connection that has written the result; a source may name another.
    :param small: whether a thumbnail will do.
    :raises ProblemError: it cannot be shown.
    """
    source = result.source or ""
    if not result.source_is_shown or not result.bucket or not result.key:
        raise ProblemError(NOT_IN_S3)
    result_bucket, result_key = result.bucket, result.key
    own_conn_id, bucket, key = split_s3_url(source)
    expected = Origin(source=source_address(source)).metadata()

    def content() -> bytes:
        said = objects.metadata(conn_id, result_bucket, result_key)
        _check_task(said, result)
        if said.get(SOURCE) != expected.get(SOURCE):
            raise ProblemError(NOT_OURS)
        return objects.read(own_conn_id or conn_id, bucket, key, limit=MAX_BYTES).body

    return _picture((conn_id, source, result.url, result.dashscope_task_id), content, small=small)


def _picture(name: tuple[object, ...], content: Callable[[], bytes], *, small: bool) -> Picture:
    if small:
        return _thumbnails.get(name, lambda: _thumbnail(content()))
    body = content()
    return Picture(body, _TYPES[str(_opened(body).format)])


def _opened(body: bytes) -> Image:
    """Read a picture's header only."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(body), formats=list(_TYPES))
    except Image.DecompressionBombError:
        raise ProblemError(TOO_LARGE) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise ProblemError(NO_PICTURE) from None
    if image.width * image.height > MAX_PIXELS:
        raise ProblemError(TOO_LARGE)
    return image


def _thumbnail(body: bytes) -> Picture:
    from PIL import ImageOps

    image = _opened(body)
    try:
        # A JPEG is decoded at a fraction of its size, which takes a fraction of the time.
        image.draft("RGB", (THUMBNAIL, THUMBNAIL))
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        upright = ImageOps.exif_transpose(image)
        has_alpha = "A" in upright.getbands() or "transparency" in upright.info
        stream = io.BytesIO()
        upright.convert("RGBA" if has_alpha else "RGB").save(stream, "WEBP", quality=80, method=2)
    except (OSError, ValueError, SyntaxError):
        raise ProblemError(NO_PICTURE) from None
    return Picture(stream.getvalue(), "image/webp")
