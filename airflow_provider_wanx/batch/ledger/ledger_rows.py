"""What the ledger knows of one row: the image that is wanted, and how far it has come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from airflow_provider_wanx.batch.input.rows import ImageRow

Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]
"""A time in seconds since 1970, up to the end of the year 9999."""

Line = bytes
"""A row as it is stored."""

STORED = ConfigDict(strict=True, extra="forbid")
"""How stored objects are read: whoever may write the bucket may have written them."""


class RowStatus(StrEnum):
    """How far a row has come."""

    PLANNED = "planned"
    INTENT = "intent"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DUPLICATE = "duplicate"
    REMOVED = "removed"

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done for the row."""
        return self in (RowStatus.PLANNED, RowStatus.INTENT, RowStatus.SUBMITTED)

    @property
    def in_flight(self) -> bool:
        """Whether the service has the row's task, or may have it."""
        return self in (RowStatus.INTENT, RowStatus.SUBMITTED)


@dataclass(kw_only=True, slots=True)
class LedgerRow(ImageRow):
    """One row of the ledger: an image that is wanted, and what has become of it.

    :param row: its number, from 0, which it keeps for ever.
    :param status: how far it has come; see also :attr:`state`.
    :param removed: whether the input does not have it any more.
    :param revision: how often it was changed; an older line never replaces a newer one.
    :param submission: the record of its submission, as the submitter wrote it.
    :param dashscope_task_id: the service's id of its task, once that is known.
    :param failed_tasks: how many of its tasks the service has ended as FAILED; those cost nothing.
    :param failed_copies: how often its result could not be copied.
    :param submit_time: when its task was accepted, in seconds since 1970.
    :param end_time: when its task ended, likewise.
    :param billed: images that the service bills for it.
    :param key: key of the copied result.
    :param bytes: its size.
    :param sha256: its digest in hexadecimal.
    :param content_type: its content type.
    :param code: why it failed: the service's code, or one of this package.
    :param message: why it failed, in words.
    :param duplicate_of: the row that wants the same image in the same style.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STORED

    row: Count
    status: RowStatus = RowStatus.PLANNED
    removed: bool = False
    revision: Count = 0
    submission: dict[str, Any] | None = None
    dashscope_task_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    failed_tasks: Count = 0
    failed_copies: Count = 0
    submit_time: Seconds | None = None
    end_time: Seconds | None = None
    billed: Count = 0
    key: str | None = None
    bytes: Count | None = None
    sha256: str | None = None
    content_type: str | None = None
    code: str | None = None
    message: str | None = None
    duplicate_of: Count | None = None

    @property
    def state(self) -> RowStatus:
        """As what it counts: a row that the input has no more counts as removed, once the service has nothing of it."""
        return RowStatus.REMOVED if self.removed and not self.status.in_flight else self.status

    @property
    def paid_images(self) -> int:
        """Images that count against a budget: one at least for a result, whatever is said to have been billed."""
        return max(self.billed, int(self.status is RowStatus.SUCCEEDED))

    @classmethod
    def of(cls, image: ImageRow, **more: Any) -> LedgerRow:
        """Make a row for an image that is wanted, without what lets somebody in at its addresses."""
        wanted = {each.name: getattr(image, each.name) for each in fields(ImageRow)}
        wanted["image"], wanted["style_reference"] = image.unsigned
        return cls(**wanted, **more)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form, without what has its default."""
        stored = {"row": self.row, "image": self.image, "style": self.style}
        for each, default in _OPTIONAL.items():
            value = getattr(self, each)
            if value != default:
                stored[each] = value
        return stored

    @classmethod
    def from_line(cls, line: Line) -> LedgerRow:
        """Read the stored form.

        :raises ValueError: it is none, or says what cannot be.
        """
        row = _READER.validate_json(line)
        missing = {
            RowStatus.INTENT: row.submission is None,
            RowStatus.SUBMITTED: row.dashscope_task_id is None,
            RowStatus.SUCCEEDED: row.key is None,
            RowStatus.DUPLICATE: row.duplicate_of is None or row.duplicate_of >= row.row,
            RowStatus.REMOVED: True,
        }
        if missing.get(row.status):
            raise ValueError(f"row {row.row} is {row.status} and lacks what belongs to that")
        return row


_READER = TypeAdapter(LedgerRow)

_OPTIONAL = {
    each.name: {} if each.default is MISSING else each.default
    for each in fields(LedgerRow)
    if each.name not in ("row", "image", "style")
}
"""Fields that are stored only if they differ from this."""


def to_lines(header: Mapping[str, Any], rows: list[LedgerRow]) -> bytes:
    """Write rows as JSON lines below a header that says how many there are, so that a part of a file shows as such."""
    lines = [{**header, "lines": len(rows)}, *(row.to_json() for row in rows)]
    # A message of the service may hold half a character, which JSON can spell and UTF-8 cannot.
    return b"".join(
        json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"
        for line in lines
    )


def from_lines(body: bytes) -> tuple[bytes, list[LedgerRow]]:
    """Read what :func:`to_lines` wrote.

    :return: the header's line, and the rows.
    :raises ValueError: it is something else.
    """
    header, *lines = body.removesuffix(b"\n").split(b"\n")
    return header, [LedgerRow.from_line(line) for line in lines]
