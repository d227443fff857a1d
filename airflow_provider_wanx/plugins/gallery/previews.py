"""Pictures for the pages: checked, made small where that will do, and kept for a while.

They go through the API server and not by presigned URLs: so every look at one passes Airflow's access check, a private bucket
will do, no address works for anybody else, and the browser need not be allowed to load anything from elsewhere.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from cachetools import cached

from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.jobs.copying.result_metadata import DASHSCOPE_TASK_ID, SOURCE, metadata_text
from airflow_provider_wanx.plugins.gallery import owned_objects
from airflow_provider_wanx.plugins.gallery.problems import NO_PICTURE, NO_RESULT, NO_SOURCE, TOO_LARGE
from airflow_provider_wanx.s3.addresses import split_s3_url

if TYPE_CHECKING:
    from PIL.Image import Image

    from airflow_provider_wanx.plugins.gallery.entries import Result
    from airflow_provider_wanx.plugins.gallery.owned_objects import Found, Reader

MAX_PIXELS = 20_000_000
"""A picture is decoded here into 4 bytes a pixel, four pictures at a time. The service takes 18.7 million, no more is made."""

_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "BMP": "image/bmp"}
"""Formats that are shown, all of them without scripts → their content types."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is sent to the browser."""

    body: bytes
    content_type: str


_thumbnails = owned_objects.cache_of_bytes(48 * 1024 * 1024, seconds=600.0)


def find_result(reader: Reader, result: Result, **said: str | None) -> Found:
    """Find the picture that a task has made.

    :param said: more that its metadata must say.
    :raises ProblemError: there is none that belongs to the page.
    """
    if not result.bucket or not result.key:
        raise ProblemError(NO_RESULT)
    said[DASHSCOPE_TASK_ID] = result.dashscope_task_id
    return owned_objects.find(reader, result.bucket, result.key, **said)


def result_picture(reader: Reader, result: Result, *, small: bool) -> Picture:
    """Return the picture that a task has made.

    :param small: whether a thumbnail will do.
    :raises ProblemError: it cannot be shown.
    """
    name = owned_objects.short(reader, result.url, result.dashscope_task_id)
    return _picture(name, lambda: find_result(reader, result), small=small)


def source_picture(reader: Reader, result: Result, *, small: bool) -> Picture:
    """Return the portrait from which a task has made its picture, if the gallery may read it.

    That a manifest names it is not enough, for it may have been written by hand: the object that the copy has written must
    name it, too. And as that may have been forged by whoever may write beside it, it opens no other bucket by itself.

    :param small: whether a thumbnail will do.
    :raises ProblemError: it cannot be shown.
    """
    if result.source is None or not result.source_is_shown:
        raise ProblemError(NO_SOURCE)
    _, bucket, key = split_s3_url(result.source)
    if not owned_objects.is_open(bucket, key, beside=result.bucket):
        raise ProblemError(NO_SOURCE)
    name = owned_objects.short(reader, result.url, result.dashscope_task_id, result.source)
    said = {SOURCE: metadata_text(result.source)}

    def find() -> Found:
        found = find_result(reader, result, **said)
        return owned_objects.find_source(reader, found, bucket, key)

    return _picture(name, find, small=small)


def _picture(name: bytes, find: Callable[[], Found], *, small: bool) -> Picture:
    if small:
        return _thumbnail(name, find)
    body = owned_objects.read(find(), limit=owned_objects.MAX_BYTES).body
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


@cached(_thumbnails, key=lambda name, _: name, lock=Lock())
def _thumbnail(name: bytes, find: Callable[[], Found]) -> Picture:
    from PIL import ImageOps

    image = _opened(owned_objects.read(find(), limit=owned_objects.MAX_BYTES).body)
    longest_sides = (360, 360)
    try:
        # A JPEG is decoded at a fraction of its size, which takes a fraction of the time.
        image.draft("RGB", longest_sides)
        image.thumbnail(longest_sides)
        upright = ImageOps.exif_transpose(image)
        has_alpha = "A" in upright.getbands() or "transparency" in upright.info
        stream = io.BytesIO()
        upright.convert("RGBA" if has_alpha else "RGB").save(stream, "WEBP", quality=80, method=2)
    except (OSError, ValueError, SyntaxError):
        raise ProblemError(NO_PICTURE) from None
    return Picture(stream.getvalue(), "image/webp")
