"""What a batch has left in its destination: how far it is, and its manifest, of which one page at a time is read."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Annotated

from cachetools import TTLCache, cached
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_wanx.batch.report import INDEX, MANIFEST, STATUS
from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.plugins.gallery import owned_objects
from airflow_provider_wanx.plugins.gallery.entries import Count, Money, Result, Text, Time, rows_of
from airflow_provider_wanx.plugins.gallery.problems import NO_MANIFEST, NOT_SHOWN, UNREADABLE_BATCH

if TYPE_CHECKING:
    from airflow_provider_wanx.plugins.gallery.entries import Mark
    from airflow_provider_wanx.plugins.gallery.owned_objects import Content, Found, Reader

_STATUS_BYTES = 512 * 1024
"""Bytes of ``status.json`` at most; a hundred failed images take a tenth of that."""

_INDEX_BYTES = 256 * 1024
"""Bytes of the index at most; a million rows need half of it."""

_PART_BYTES = 4 * 1024 * 1024
"""Bytes of one part of the manifest at most; usually it is a hundredth of that."""

_bodies: TTLCache[bytes, Content] = TTLCache(
    maxsize=32 * 1024 * 1024, ttl=30.0, getsizeof=lambda content: len(content.body) + owned_objects.ENTRY
)
"""For half a minute, a page's pictures need not read the manifest again."""


class Example(BaseModel):
    """A failed image."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    row: int | None = None
    image: Text = ""
    message: Text = ""


class Failures(BaseModel):
    """What failed for one reason."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    count: Count = 0
    examples: list[Example] = []


class Status(BaseModel):
    """How far a batch is: its ``status.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: Text
    updated_at: Time = None
    owner: Text = ""
    images: Count = 0
    succeeded: Count = 0
    failed: Count = 0
    duplicate: Count = 0
    in_flight: Count = 0
    images_per_hour: Money | None = None
    seconds_left: Money | None = None
    cost: Money | None = None
    failures: dict[str, Failures] = {}

    @property
    def is_running(self) -> bool:
        """Whether somebody works on it."""
        return self.state == "running"

    @property
    def done(self) -> int:
        """Number of images for which nothing is left to do."""
        return min(self.images, self.succeeded + self.failed + self.duplicate)


class _Index(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    rows: Count
    step: Annotated[int, Field(ge=1, le=10_000)]
    bytes: Annotated[int, Field(ge=0, le=10**12)]
    offsets: list[Annotated[int, Field(ge=0, le=10**12)]]


def read_status(reader: Reader, mark: Mark) -> Status:
    """Read ``status.json``.

    :raises ProblemError: it cannot be read.
    """
    content = owned_objects.read(_find(reader, mark, STATUS), limit=_STATUS_BYTES)
    try:
        return Status.model_validate_json(content.body)
    except ValidationError:
        raise ProblemError(UNREADABLE_BATCH) from None


def count_rows(reader: Reader, mark: Mark) -> int:
    """Return the number of rows of the manifest.

    :raises ProblemError: it cannot be read.
    """
    return _index(reader, mark).rows


def read_rows(reader: Reader, mark: Mark, *, start: int, count: int) -> list[Result | None]:
    """Read some rows of the manifest, None in place of each that is none.

    :param start: the first one, counted from 0.
    :param count: how many at most.
    :raises ProblemError: it cannot be read.
    """
    index = _index(reader, mark)
    end = min(start + count, index.rows)
    rows: list[Result | None] = []
    for number in range(start // index.step, -(-end // index.step)):
        first = number * index.step
        rows += rows_of(_part(reader, mark, index, number)[max(0, start - first) : end - first])
    return rows


def _index(reader: Reader, mark: Mark) -> _Index:
    try:
        index = _Index.model_validate_json(_body(reader, mark, INDEX, _INDEX_BYTES).body)
    except ValidationError:
        raise ProblemError(UNREADABLE_BATCH) from None
    except ProblemError as error:
        raise (ProblemError(NO_MANIFEST) if error.problem is NOT_SHOWN else error) from None
    if len(index.offsets) != -(-index.rows // index.step):
        raise ProblemError(UNREADABLE_BATCH)
    return index


def _part(reader: Reader, mark: Mark, index: _Index, number: int) -> list[bytes]:
    first, last = [*index.offsets, index.bytes][number : number + 2]
    if not first < last <= min(index.bytes, first + _PART_BYTES):
        raise ProblemError(UNREADABLE_BATCH)
    found = _body(reader, mark, f"{MANIFEST}.jsonl", _PART_BYTES, (first, last), index.bytes)
    lines = found.body.removesuffix(b"\n").split(b"\n", index.step)
    if found.size != index.bytes or len(lines) != min(index.step, index.rows - number * index.step):
        raise ProblemError(UNREADABLE_BATCH)
    return lines


@cached(
    _bodies,
    key=lambda reader, mark, *more: owned_objects.short(reader, mark.bucket, mark.prefix, *more),
    lock=Lock(),
)
def _body(
    reader: Reader,
    mark: Mark,
    name: str,
    limit: int,
    part: tuple[int, int] | None = None,
    size: int | None = None,
) -> Content:
    """Read an object of a batch.

    :param size: of the manifest that has the part, so that one which was replaced is read anew.
    """
    return owned_objects.read(_find(reader, mark, name), limit=limit, part=part)


def _find(reader: Reader, mark: Mark, name: str) -> Found:
    return owned_objects.find(reader, mark.bucket, mark.prefix + name)
