"""What a batch has left in its destination: how far it is, and its manifest, of which one page at a time is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airflow_provider_wanx.batch.report import INDEX, MANIFEST, STATUS
from airflow_provider_wanx.plugins.gallery import objects
from airflow_provider_wanx.plugins.gallery.problems import (
    NO_MANIFEST,
    NO_OBJECT,
    UNREADABLE_BATCH,
    ProblemError,
)
from airflow_provider_wanx.plugins.gallery.records import Count, Money, Result, Text, Time, rows_of

if TYPE_CHECKING:
    from airflow_provider_wanx.plugins.gallery.records import Mark

_SMALL = 4 * 1024 * 1024
"""Bytes of ``status.json`` and of the index at most; a million rows need an index of a tenth of a megabyte."""

_PART = 4 * 1024 * 1024
"""Bytes of one part of the manifest at most; usually it is a hundredth of that."""

_SHORTLY = 30.0
"""Seconds for which a page's pictures need not read the manifest again."""


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


_indexes: objects.Cache[_Index] = objects.Cache(room=64, seconds=_SHORTLY)
_parts: objects.Cache[list[Result | None]] = objects.Cache(room=20_000, seconds=_SHORTLY, size=len)


def read_status(mark: Mark) -> Status:
    """Read ``status.json``.

    :raises ProblemError: it cannot be read.
    """
    body = objects.read(mark.aws_conn_id, mark.bucket, mark.prefix + STATUS, limit=_SMALL).body
    try:
        return Status.model_validate_json(body)
    except ValidationError:
        raise ProblemError(UNREADABLE_BATCH) from None


def count_rows(mark: Mark) -> int:
    """Return the number of rows of the manifest.

    :raises ProblemError: it cannot be read.
    """
    return _index(mark).rows


def read_rows(mark: Mark, *, start: int, count: int) -> list[Result | None]:
    """Read some rows of the manifest, None in place of each that is none.

    :param start: the first one, counted from 0.
    :param count: how many at most.
    :raises ProblemError: it cannot be read.
    """
    index = _index(mark)
    end = min(start + count, index.rows)
    rows: list[Result | None] = []
    for number in range(start // index.step, -(-end // index.step)):
        first = number * index.step
        rows += _part(mark, index, number)[max(0, start - first) : end - first]
    return rows


def _index(mark: Mark) -> _Index:
    def read() -> _Index:
        try:
            body = objects.read(mark.aws_conn_id, mark.bucket, mark.prefix + INDEX, limit=_SMALL).body
            index = _Index.model_validate_json(body)
        except ValidationError:
            raise ProblemError(UNREADABLE_BATCH) from None
        except ProblemError as error:
            raise (ProblemError(NO_MANIFEST) if error.problem is NO_OBJECT else error) from None
        if len(index.offsets) != -(-index.rows // index.step):
            raise ProblemError(UNREADABLE_BATCH)
        return index

    return _indexes.get(_name(mark), read)


def _part(mark: Mark, index: _Index, number: int) -> list[Result | None]:
    first, last = [*index.offsets, index.bytes][number : number + 2]

    def read() -> list[Result | None]:
        if not first < last <= min(index.bytes, first + _PART):
            raise ProblemError(UNREADABLE_BATCH)
        found = objects.read(
            mark.aws_conn_id,
            mark.bucket,
            f"{mark.prefix}{MANIFEST}.jsonl",
            limit=_PART,
            part=(first, last),
        )
        rows = rows_of(found.body.removesuffix(b"\n").split(b"\n"))
        if found.size != index.bytes or len(rows) != min(index.step, index.rows - number * index.step):
            raise ProblemError(UNREADABLE_BATCH)
        return rows

    return _parts.get((*_name(mark), index.bytes, first, last), read)


def _name(mark: Mark) -> tuple[Any, ...]:
    return mark.aws_conn_id, mark.bucket, mark.prefix
