"""What the gallery reads: marks, entries of manifests, and what a batch has left in its destination.

Whoever may write XComs, or into a bucket, may have written them, so all is checked, and read in bounded amounts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Any, Literal, Self, TypeVar

from airflow.configuration import conf
from cachetools import cached
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from airflow_provider_wanx.batch.report import INDEX, MANIFEST, STATUS
from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.dashscope.picture_address import source_address
from airflow_provider_wanx.dashscope.styles import WanxStyle, is_known_style
from airflow_provider_wanx.plugins.gallery import owned_objects
from airflow_provider_wanx.plugins.gallery.owned_objects import Content, Reader
from airflow_provider_wanx.plugins.gallery.problems import NO_MANIFEST, NOT_SHOWN, UNREADABLE_BATCH

log = logging.getLogger(__name__)

MAX_PART_BYTES = 4 * 1024 * 1024
"""Of a hundred rows of a batch's manifest. A row, the manifest's index and ``status.json`` have less: read as JSON, small
values take a hundred times their size in memory."""

LARGEST = 2**31 - 1
"""What a database takes as a number; nothing here counts further."""

Text = Annotated[str, Field(max_length=4096)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Amount = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0, le=10**15)]


def _time(value: object) -> object:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        return time.astimezone(UTC) if time and time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _beginning(value: object) -> object:
    return value[:2000] if isinstance(value, str) else value


Time = Annotated[datetime | None, BeforeValidator(_time)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


_Model = TypeVar("_Model", bound=_Record)


class Mark(_Record):
    """What a task has said about the pictures that it left, see :mod:`airflow_provider_wanx.jobs.copying.gallery_marks`."""

    version: Literal[1]
    kind: Literal["copy", "batch"]
    images: Count = 0
    cost: Amount | None = None
    rows: Count | None = None
    bucket: Text = ""
    prefix: Text = ""

    @classmethod
    def read(cls, stored: object) -> Mark | None:
        """Read the value of an XCom; None if it is no mark."""
        try:
            return cls.model_validate(_json(stored))
        except ValidationError:
            return None


class Result(_Record):
    """One picture: an entry of a copy's manifest, or a row of a batch's.

    :param source: address of the portrait, without query; None if it is not known.
    :param status: of a row: ``succeeded``, ``failed`` and so on.
    """

    bucket: Text | None = None
    key: Text | None = None
    bytes: Bytes | None = None
    content_type: Text | None = None
    dashscope_task_id: Text | None = None
    model: Text | None = None
    style: Annotated[int, Field(ge=-LARGEST, le=LARGEST)] | None = None
    source: Text | None = Field(default=None, validation_alias=AliasChoices("source", "image"))
    status: Text = "succeeded"
    code: Text | None = None
    message: Annotated[str, BeforeValidator(_beginning)] | None = None
    written: bool = True
    submit_time: Time = None
    end_time: Time = None
    cost: Amount | None = None

    @classmethod
    def read(cls, stored: object) -> Self | None:
        """Read an entry; None if it is none."""
        try:
            result = cls.model_validate(stored)
        except ValidationError:
            return None
        # Of a batch, it is what the user has given: with a signature, a whole picture, or a connection that nobody here uses.
        return result.model_copy(update={"source": source_address(result.source)})

    @property
    def url(self) -> str | None:
        """``s3://bucket/key`` of the object, None if there is none."""
        return f"s3://{self.bucket}/{self.key}" if self.bucket and self.key else None

    @property
    def name(self) -> str:
        """The source's file name, else the object's."""
        for address in (self.source, self.key):
            if address and (name := address.rstrip("/").rpartition("/")[2]):
                return name
        return "result"

    @property
    def style_label(self) -> str | None:
        """Number, English and Chinese name of the style; None if it has none."""
        if self.style is None or not is_known_style(self.style):
            return None if self.style is None else str(self.style)
        style = next(each for each in WanxStyle if each.number == self.style)
        return f"{style.number} · {style.english} · {style.chinese}"

    @property
    def seconds(self) -> float | None:
        """From the submission to the end of the task, in seconds."""
        if self.submit_time is None or self.end_time is None:
            return None
        return max(0.0, (self.end_time - self.submit_time).total_seconds())

    @property
    def is_picture(self) -> bool:
        """Whether the object is said to be one."""
        return self.url is not None and (self.content_type or "").startswith("image/")

    @property
    def source_is_shown(self) -> bool:
        """Whether the source is an object, and so can be shown as a picture."""
        scheme, _, address = (self.source or "").partition("://")
        bucket, _, key = address.partition("/")
        return self.url is not None and scheme == "s3" and bool(bucket and key)


def results_of(stored: object) -> list[Result | None] | None:
    """Read a copy's manifest; None if it is none, and None in place of each entry that is none."""
    value = _json(stored)
    return [Result.read(entry) for entry in value] if isinstance(value, list) else None


def rows_of(lines: Iterable[bytes]) -> list[Result | None]:
    """Read lines of a batch's manifest; None in place of each that is none."""
    return [Result.read(_json(line) if len(line) <= 256 * 1024 else None) for line in lines]


def _json(stored: Any) -> Any:
    # Not Python's own: it takes what is no Unicode, and goes as deep as its stack.
    try:
        value = from_json(stored) if isinstance(stored, str | bytes) else stored
        # What was set through Airflow's API may be JSON inside JSON.
        return from_json(value) if isinstance(value, str) else value
    except (TypeError, ValueError):
        return None


def fetched(stored: Any, dag_id: str, run_id: str) -> Any:
    """Return what an XCom holds: its stored value or, if that names a file of Airflow's object storage backend, its bytes.

    The stored value may be forged, so it opens files of its own run only. Not the backend itself reads them: it would make
    objects of what is in them, and read them without a bound.
    """
    backend = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
    if not isinstance(stored, str) or conf.get("core", "xcom_backend", fallback="") != backend:
        return stored
    try:
        address = from_json(stored)
        # Airflow 3.1 stores JSON inside JSON.
        address = from_json(address) if isinstance(address, str) and address.startswith('"') else address
    except ValueError:
        return stored
    # What needs it only, as it is slow to import.
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    base = ObjectStoragePath(conf.get("common.io", "xcom_objectstorage_path", fallback=""))
    own = f"{str(base).rstrip('/')}/{dag_id}/{run_id}/"
    if not isinstance(address, str) or {".", ".."} & set(address.split("/")) or not address.startswith(own):
        return stored
    try:
        # With the connection that the configuration names, which the address has lost.
        return _unpacked(base / address[len(str(base)) :].lstrip("/"))
    except Exception as error:  # noqa: BLE001 - any file system may raise what it likes
        log.warning("The XCom in %r cannot be read: %s", address, error)
        return stored


_files = owned_objects.cache_of_bytes(64 * 1024 * 1024, seconds=60.0)


@cached(_files, key=str, lock=Lock())
def _unpacked(path: Any) -> bytes:
    with path.open(mode="rb", compression="infer") as file:
        body: bytes = file.read(owned_objects.MAX_BYTES + 1)
    if len(body) > owned_objects.MAX_BYTES:
        raise ValueError(f"it has more than {owned_objects.MAX_BYTES:,} bytes")
    return body


class Example(_Record):
    """A failed image."""

    row: int | None = None
    image: Text = ""
    message: Text = ""


class Failures(_Record):
    """What failed for one reason."""

    count: Count = 0
    examples: list[Example] = []


class Status(_Record):
    """How far a batch is: its ``status.json``."""

    state: Text
    updated_at: Time = None
    owner: Text = ""
    images: Count = 0
    succeeded: Count = 0
    failed: Count = 0
    duplicate: Count = 0
    in_flight: Count = 0
    images_per_hour: Amount | None = None
    seconds_left: Amount | None = None
    cost: Amount | None = None
    failures: dict[str, Failures] = {}

    @property
    def is_running(self) -> bool:
        """Whether somebody works on it."""
        return self.state == "running"

    @property
    def done(self) -> int:
        """Number of images for which nothing is left to do."""
        return min(self.images, self.succeeded + self.failed + self.duplicate)


class _Index(_Record):
    rows: Count
    step: Annotated[int, Field(ge=1, le=10_000)]
    bytes: Bytes
    offsets: list[Bytes]


def read_status(reader: Reader, mark: Mark) -> Status:
    """Read ``status.json``.

    :raises ProblemError: it cannot be read.
    """
    found = owned_objects.find(reader, mark.bucket, mark.prefix + STATUS)
    return _checked(Status, owned_objects.read(found, limit=512 * 1024))


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
        # A million rows need half of the limit.
        index = _checked(_Index, _body(reader, mark, INDEX, 256 * 1024))
    except ProblemError as error:
        raise (ProblemError(NO_MANIFEST) if error.problem is NOT_SHOWN else error) from None
    if len(index.offsets) != -(-index.rows // index.step):
        raise ProblemError(UNREADABLE_BATCH)
    return index


def _part(reader: Reader, mark: Mark, index: _Index, number: int) -> list[bytes]:
    first, last = [*index.offsets, index.bytes][number : number + 2]
    if not first < last <= min(index.bytes, first + MAX_PART_BYTES):
        raise ProblemError(UNREADABLE_BATCH)
    # With its size, so that the parts of a manifest which was replaced are read anew.
    found = _body(reader, mark, f"{MANIFEST}.jsonl", MAX_PART_BYTES, (first, last), index.bytes)
    lines = found.body.removesuffix(b"\n").split(b"\n", index.step)
    if found.size != index.bytes or len(lines) != min(index.step, index.rows - number * index.step):
        raise ProblemError(UNREADABLE_BATCH)
    return lines


_bodies = owned_objects.cache_of_bytes(32 * 1024 * 1024, seconds=30.0)
"""For half a minute, a page's pictures need not read the manifest again."""


@cached(_bodies, key=owned_objects.short, lock=Lock())
def _body(
    reader: Reader,
    mark: Mark,
    name: str,
    limit: int,
    part: tuple[int, int] | None = None,
    size: int | None = None,
) -> Content:
    found = owned_objects.find(reader, mark.bucket, mark.prefix + name)
    return owned_objects.read(found, limit=limit, part=part)


def _checked(model: type[_Model], content: Content) -> _Model:
    try:
        return model.model_validate_json(content.body)
    except ValidationError:
        raise ProblemError(UNREADABLE_BATCH) from None
