"""The columns of a batch's manifest, written down once: the file in every format, its reader, and what an input may not use."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestRow:
    """An image that was wanted, and what has become of it. The user's own columns stand beside these.

    :param row: its number, from 0.
    :param attempts: how often it was submitted.
    :param submit_time: in ISO format, with milliseconds, as is ``end_time``.
    :param duplicate_of: the row that wants the same image in the same style.
    :param cost: in CNY.
    """

    row: int
    image: str
    style: int
    style_name: str
    style_reference: str | None
    status: str
    dashscope_task_id: str | None
    bucket: str | None
    key: str | None
    bytes: int | None
    sha256: str | None
    content_type: str | None
    code: str | None
    message: str | None
    attempts: int
    submit_time: str | None
    end_time: str | None
    duplicate_of: int | None
    cost: float


COLUMNS = {each.name: str(each.type).removesuffix(" | None") for each in fields(ManifestRow)}
"""Name of a column → ``int``, ``float`` or ``str``."""

INPUT_COLUMNS = frozenset({"image", "style", "style_reference"})
"""What an input says in these is read; its other columns are the user's own, and are called otherwise than any of these."""
