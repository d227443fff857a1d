"""What the ledger knows of one row: the image that is wanted, and how far it has come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any

from airflow_provider_wanx.batch.input.rows import ImageRow


class RowStatus(StrEnum):
    """How far a row has come."""

    PLANNED = "planned"
    INTENT = "intent"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DUPLICATE = "duplicate"

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done for the row."""
        return self in (RowStatus.PLANNED, RowStatus.INTENT, RowStatus.SUBMITTED)

    @property
    def in_flight(self) -> bool:
        """Whether the service has the row's task, or may have it."""
        return self in (RowStatus.INTENT, RowStatus.SUBMITTED)


@dataclass(kw_only=True, slots=True)
class LedgerRow:
    """One row of the ledger.

    :param row: its number, from 0, which it keeps for ever.
    :param image: the portrait.
    :param style: the service's ``style_index``.
    :param style_reference: a picture whose style is taken, for style -1.
    :param columns: the user's own columns.
    :param status: how far it has come.
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

    row: int
    image: str
    style: int
    style_reference: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    status: RowStatus = RowStatus.PLANNED
    revision: int = 0
    submission: Mapping[str, Any] | None = None
    dashscope_task_id: str | None = None
    failed_tasks: int = 0
    failed_copies: int = 0
    submit_time: float | None = None
    end_time: float | None = None
    billed: int = 0
    key: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    content_type: str | None = None
    code: str | None = None
    message: str | None = None
    duplicate_of: int | None = None

    @property
    def wish(self) -> ImageRow:
        """The image that is wanted."""
        return ImageRow(
            image=self.image, style=self.style, style_reference=self.style_reference, columns=self.columns
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored form, without what has its default."""
        stored = {"row": self.row, "image": self.image, "style": self.style}
        for each, default in _OPTIONAL.items():
            value = getattr(self, each)
            if value != default:
                stored[each] = value
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> LedgerRow:
        """Read the stored form.

        :raises ValueError: it is none.
        """
        try:
            known = {**stored, "status": RowStatus(stored.get("status", RowStatus.PLANNED))}
            row = cls(**known)
        except TypeError as error:
            raise ValueError(str(error)) from None
        if not isinstance(row.row, int) or not isinstance(row.image, str) or not isinstance(row.style, int):
            raise ValueError("row, image or style is missing")
        return row


_OPTIONAL = {
    each.name: {} if each.default is MISSING else each.default
    for each in fields(LedgerRow)
    if each.name not in ("row", "image", "style")
}
"""Fields that are stored only if they differ from this."""


def to_lines(header: Mapping[str, Any], rows: list[LedgerRow]) -> bytes:
    """Write rows as JSON lines below a header that says how many there are, so that a part of a file shows as such."""
    lines = [{**header, "lines": len(rows)}, *(row.to_json() for row in rows)]
    return b"".join(
        json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for line in lines
    )


def from_lines(body: bytes) -> tuple[dict[str, Any], list[LedgerRow]]:
    """Read what :func:`to_lines` wrote.

    :raises ValueError: it is something else, or not all of it.
    """
    header_line, *lines = body.decode().removesuffix("\n").split("\n")
    header = json.loads(header_line)
    if not isinstance(header, dict) or header.pop("lines", None) != len(lines):
        raise ValueError(f"it announces other than its {len(lines)} lines")
    return header, [LedgerRow.from_json(json.loads(line)) for line in lines]
