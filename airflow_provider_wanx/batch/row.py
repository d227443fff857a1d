"""One row of a batch: an image that is wanted in one style, and what becomes of it, from the input to the manifest.

A row keeps all its life what the input has said of it. The ledger stores it without signatures, and the manifest shows it in
the columns of :data:`COLUMNS`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter

from airflow_provider_wanx.dashscope.picture_address import file_stem, source_address
from airflow_provider_wanx.dashscope.redaction import without_signature
from airflow_provider_wanx.dashscope.styles import style_name
from airflow_provider_wanx.jobs.copying.result_metadata import Provenance

Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)]
"""A time in seconds since 1970, up to the end of the year 9999."""

Digest = bytes
"""The type, in a class that has a field of that name."""

STORED = ConfigDict(strict=True, extra="forbid")
"""How stored objects are read: whoever may write the bucket may have written them."""

COLUMNS = {
    "row": "int",
    "image": "str",
    "style": "int",
    "style_name": "str",
    "style_reference": "str",
    "status": "str",
    "dashscope_task_id": "str",
    "bucket": "str",
    "key": "str",
    "bytes": "int",
    "sha256": "str",
    "content_type": "str",
    "code": "str",
    "message": "str",
    "attempts": "int",
    "submit_time": "str",
    "end_time": "str",
    "duplicate_of": "int",
    "cost": "float",
}
"""The columns of a batch's manifest, in their order, with their types. The user's own columns stand behind these."""

INPUT_COLUMNS = frozenset({"image", "style", "style_reference"})
"""What an input says in these is read; its other columns are the user's own, and are called otherwise than any of these."""


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
class Row:
    """An image that is wanted in one style, and what has become of it.

    :param row: its number, from 0, which it keeps for ever; -1 as long as the ledger does not have it.
    :param image: URL or path.
    :param style: the service's ``style_index``.
    :param style_reference: the picture whose style is taken; with style -1 only.
    :param image_version: what tells the picture from another one at the same address; None if that is not known.
    :param columns: what else the manifest says of it, as JSON values.
    :param status: how far it has come; see also :attr:`state`.
    :param removed: whether the input does not have it any more.
    :param revision: how often it was changed; an older line of the ledger never replaces a newer one.
    :param submission: the record of its submission, as the submitter wrote it.
    :param dashscope_task_id: the service's id of its task, once that is known.
    :param failed_tasks: how many of its submissions and tasks have failed at the service; those cost nothing.
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

    row: Count = -1
    image: str
    style: Annotated[int, Field(ge=-(10**9), le=10**9)]
    style_reference: str | None = None
    image_version: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)
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
    def identity(self) -> Digest:
        """16 bytes, equal for rows with the same addresses and style; neither own columns nor signatures of URLs count."""
        return self._digest()

    @property
    def versioned_identity(self) -> Digest:
        """16 bytes, equal for rows that ask for the same picture; :attr:`identity` if there is no version."""
        return self.identity if self.image_version is None else self._digest(self.image_version)

    def _digest(self, *more: str) -> Digest:
        text = json.dumps([*self._unsigned(), self.style, *more])
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def unsigned(self, **changes: Any) -> Row:
        """Return a copy without what lets somebody in at its addresses, as the ledger keeps it.

        :param changes: further values of the copy.
        """
        image, style_reference = self._unsigned()
        return replace(self, image=image, style_reference=style_reference, **changes)

    def _unsigned(self) -> tuple[str, str | None]:
        return without_signature(self.image), self.style_reference and without_signature(self.style_reference)

    @property
    def name(self) -> str:
        """The image's file name without folders, query and extension, as it is; ``portrait`` if it has none."""
        return file_stem(self.image)

    @property
    def metadata(self) -> dict[str, str]:
        """What the object of its result says of it."""
        return Provenance(source=source_address(self.image), style=self.style).metadata()

    @property
    def state(self) -> RowStatus:
        """As what it counts: a row that the input has no more counts as removed, once the service has nothing of it."""
        return RowStatus.REMOVED if self.removed and not self.status.in_flight else self.status

    @property
    def paid_images(self) -> int:
        """Images that count against a budget: one at least for a result, whatever is said to have been billed."""
        return max(self.billed, int(self.status is RowStatus.SUCCEEDED))

    def to_json(self) -> dict[str, Any]:
        """Return the stored form, without what has its default."""
        stored: dict[str, Any] = _STORED.dump_python(self, exclude_defaults=True)
        return stored

    @classmethod
    def from_line(cls, line: Digest) -> Row:
        """Read a line of the ledger.

        :raises ValueError: it is none, or says what cannot be.
        """
        row = _STORED.validate_json(line)
        if row.row < 0:
            raise ValueError("a row has no number")
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

    def in_manifest(self, *, bucket: str, price: Decimal) -> dict[str, Any]:
        """Return the row of the manifest: what was wanted, what has become of it, and the user's own columns.

        :param bucket: where results go.
        :param price: of one image, in CNY.
        """
        shown = self.unsigned()
        # An inlined picture is not repeated.
        if len(shown.image) > 2048:
            shown.image = f"{shown.image[:64]}… ({len(shown.image)} characters)"
        told = {
            **{name: getattr(shown, name, None) for name in COLUMNS},
            "style_name": style_name(self.style),
            "status": str(self.status),
            "bucket": bucket if self.key else None,
            "attempts": self.failed_tasks + bool(self.dashscope_task_id),
            "submit_time": _iso(self.submit_time),
            "end_time": _iso(self.end_time),
            "cost": money(self.paid_images * price),
        }
        return {**told, **self.columns}


_STORED = TypeAdapter(Row)


def money(amount: Decimal) -> float:
    """Write an amount to the cent."""
    return float(round(amount, 2))


def _iso(seconds: float | None) -> str | None:
    return (
        None
        if seconds is None
        else datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")
    )
