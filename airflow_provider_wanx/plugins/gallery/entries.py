"""What the gallery reads: marks, and entries of manifests. Whoever may write XComs may have written them, so all is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from airflow_provider_wanx.dashscope.origin import source_address
from airflow_provider_wanx.dashscope.styles import WanxStyle, is_known_style
from airflow_provider_wanx.storage.marks import VERSION

_LARGEST = 10**9

_LINE_BYTES = 256 * 1024
"""Bytes of a row at most: the user's own columns are part of it, and are not shown."""

Text = Annotated[str, Field(max_length=4096)]
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Money = Annotated[float, Field(ge=0, le=_LARGEST, allow_inf_nan=False)]


def _time(value: object) -> object:
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _beginning(value: object) -> object:
    return value[:2000] if isinstance(value, str) else value


Time = Annotated[datetime | None, BeforeValidator(_time)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Mark(_Record):
    """What a task has said about the pictures that it left, see :mod:`airflow_provider_wanx.storage.marks`."""

    version: Literal[1]
    kind: Literal["copy", "batch"]
    images: Count = 0
    cost: Money | None = None
    rows: Count | None = None
    bucket: Text = ""
    prefix: Text = ""

    @classmethod
    def read(cls, stored: object) -> Mark | None:
        """Read the value of an XCom; None if it is no mark."""
        value = _json(stored)
        if not isinstance(value, Mapping) or value.get("version") != VERSION:
            return None
        try:
            return cls.model_validate(dict(value))
        except ValidationError:
            return None


class Result(_Record):
    """One picture: an entry of a copy's manifest, or a row of a batch's.

    :param source: address of the portrait, without query; None if it is not known.
    :param status: of a row: ``succeeded``, ``failed`` and so on.
    """

    bucket: Text | None = None
    key: Text | None = None
    bytes: Annotated[int, Field(ge=0, le=10**15)] | None = None
    content_type: Text | None = None
    dashscope_task_id: Text | None = None
    model: Text | None = None
    style: Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)] | None = None
    source: Text | None = Field(default=None, validation_alias=AliasChoices("source", "image"))
    status: Text = "succeeded"
    code: Text | None = None
    message: Annotated[str, BeforeValidator(_beginning)] | None = None
    written: bool = True
    submit_time: Time = None
    end_time: Time = None
    cost: Money | None = None

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
        if self.style is None:
            return None
        if not is_known_style(self.style):
            return str(self.style)
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
        place, slash, key = (self.source or "").removeprefix("s3://").partition("/")
        return self.url is not None and (self.source or "")[:5] == "s3://" and bool(place and slash and key)


def results_of(stored: object) -> list[Result | None] | None:
    """Read a copy's manifest; None if it is none, and None in place of each entry that is none."""
    value = _json(stored)
    if not isinstance(value, list):
        return None
    return [Result.read(entry) for entry in value]


def rows_of(lines: Iterable[bytes]) -> list[Result | None]:
    """Read lines of a batch's manifest; None in place of each that is none."""
    return [Result.read(_json(line) if len(line) <= _LINE_BYTES else None) for line in lines]


def _json(stored: Any) -> Any:
    # Not Python's own: it takes what is no Unicode, and goes as deep as its stack.
    try:
        value = from_json(stored) if isinstance(stored, str | bytes) else stored
        # What was set through Airflow's API may be JSON inside JSON.
        return from_json(value) if isinstance(value, str) else value
    except (TypeError, ValueError):
        return None
