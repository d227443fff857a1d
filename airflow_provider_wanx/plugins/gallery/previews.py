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

from cachetools import TTLCache, cached

from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.dashscope.origin import SOURCE, Origin, source_address
from airflow_provider_wanx.plugins.gallery import connections, owned_objects
from airflow_provider_wanx.plugins.gallery.problems import NO_PICTURE, NO_RESULT, NO_SOURCE, TOO_LARGE
from airflow_provider_wanx.s3.addresses import split_s3_url
from airflow_provider_wanx.storage.destination import TASK_ID

if TYPE_CHECKING:
    from PIL.Image import Image

    from airflow_provider_wanx.plugins.gallery.entries import Result
    from airflow_provider_wanx.plugins.gallery.owned_objects import Found, Reader

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 40_000_000
"""More than any picture that the service takes or makes has; larger ones could be meant to fill the reader's memory."""

THUMBNAIL_PIXELS = 20_000_000
"""The same for those that are decoded here, four at a time and 4 bytes a pixel. The service takes 18.7 million."""

THUMBNAIL = 360
"""Longest side of a thumbnail, in pixels."""

_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "BMP": "image/bmp"}
"""Formats that are shown, all of them without scripts → their content types."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is sent to the browser."""

    body: bytes
    content_type: str


_thumbnails: TTLCache[bytes, Picture] = TTLCache(
    maxsize=48 * 1024 * 1024, ttl=600.0, getsizeof=lambda picture: len(picture.body) + owned_objects.ENTRY
)


def find_result(reader: Reader, result: Result, **said: str | None) -> Found:
    """Find the picture that a task has made.

    :param said: more that its metadata must say.
    :raises ProblemError: there is none that belongs to the page.
    """
    if not result.bucket or not result.key:
        raise ProblemError(NO_RESULT)
    said[TASK_ID] = result.dashscope_task_id
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
    source = source_address(result.source) or ""
    if not result.source_is_shown:
        raise ProblemError(NO_SOURCE)
    _, bucket, key = split_s3_url(source)
    if not connections.is_open(bucket, key, beside=result.bucket):
        raise ProblemError(NO_SOURCE)
    name = owned_objects.short(reader, result.url, result.dashscope_task_id, source)
    said = Origin(source=source).metadata()

    def find() -> Found:
        found = find_result(reader, result, **{SOURCE: said[SOURCE]})
        return owned_objects.find_source(reader, found, bucket, key)

    return _picture(name, find, small=small)


def _picture(name: bytes, find: Callable[[], Found], *, small: bool) -> Picture:
    if small:
        return _thumbnail(name, find)
    body = owned_objects.read(find(), limit=MAX_BYTES).body
    return Picture(body, _TYPES[str(_opened(body, MAX_PIXELS).format)])


def _opened(body: bytes, pixels: int) -> Image:
    """Read a picture's header only."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(body), formats=list(_TYPES))
    except Image.DecompressionBombError:
        raise ProblemError(TOO_LARGE) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise ProblemError(NO_PICTURE) from None
    if image.width * image.height > pixels:
        raise ProblemError(TOO_LARGE)
    return image


@cached(_thumbnails, key=lambda name, _: name, lock=Lock())
def _thumbnail(name: bytes, find: Callable[[], Found]) -> Picture:
    from PIL import ImageOps

    image = _opened(owned_objects.read(find(), limit=MAX_BYTES).body, THUMBNAIL_PIXELS)
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
