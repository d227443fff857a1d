"""The objects that make up a ledger, read and written whole, on a condition, within bounds.

Whoever may write the bucket may have written them. So each is checked when it is read: kinds, bounds, and what must be there.
"""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from airflow_provider_wanx.batch.row import STORED, Count, Row, RowStatus, Seconds
from airflow_provider_wanx.dashscope.errors import (
    ConflictError,
    InvalidInputError,
    LedgerInUseError,
    UnreadableError,
)
from airflow_provider_wanx.dashscope.store import ABSENT, replace
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.s3.objects import ObjectStore

VERSION = 1

JOURNAL, INDEX = "journal.jsonl", "index.json"

MAX_OBJECT_BYTES = 32 * 1024 * 1024
"""Largest object of a ledger that is written, and read again: a thousand rows of 32 KiB each."""

MAX_VALUES = 400_000
"""Commas and opening brackets in one object at most: one of many small values takes thirty times its size in memory."""


@dataclass
class Totals:
    """What some rows come to.

    :param counts: state → number of rows.
    :param failures: code → number of failed rows.
    :param billed: images that the service bills.
    :param bytes: size of all copied results.
    :param submitted_until: when the last of them was submitted, in seconds since 1970.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STORED

    counts: Counter[RowStatus] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    billed: Count = 0
    bytes: Count = 0
    submitted_until: Seconds = 0.0

    def __post_init__(self) -> None:
        # pydantic 2.11.0 leaves strictly read counters as dicts.
        self.counts, self.failures = Counter(self.counts), Counter(self.failures)
        if any(number < 0 for counter in (self.counts, self.failures) for number in counter.values()):
            raise ValueError("a number of rows is below 0")

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Totals:
        """Count some rows."""
        totals = cls()
        for row in rows:
            totals.add(row)
        return totals

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.counts.total()

    @property
    def images(self) -> int:
        """Number of rows that the input has."""
        return self.rows - self.counts[RowStatus.REMOVED]

    @property
    def open(self) -> int:
        """Number of rows for which something is to be done."""
        return sum(number for status, number in self.counts.items() if RowStatus(status).is_open)

    @property
    def in_flight(self) -> int:
        """Number of rows whose task the service has, or may have."""
        return sum(number for status, number in self.counts.items() if RowStatus(status).in_flight)

    def add(self, row: Row, sign: int = 1) -> None:
        """Count a row, or with -1 count it no more."""
        self.counts[row.state] += sign
        self.billed += sign * row.paid_images
        self.bytes += sign * (row.bytes or 0)
        if row.state is RowStatus.FAILED:
            self.failures[row.code or ""] += sign
        self.submitted_until = max(self.submitted_until, row.submit_time or 0.0)

    def merge(self, other: Totals) -> None:
        """Count what others come to as well."""
        self.counts.update(other.counts)
        self.failures.update(other.failures)
        self.billed += other.billed
        self.bytes += other.bytes
        self.submitted_until = max(self.submitted_until, other.submitted_until)


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line of the journal, or of some rows.

    :param lines: how many lines follow.
    :param owner: who owns the ledger; None if nobody does.
    :param expires: until when, in seconds since 1970.
    :param rows: how many rows the index has at least.
    :param token: differs with every write, so that one whose answer was lost can be recognized.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STORED

    version: int = VERSION
    lines: Count = 0
    owner: Identity | None = None
    expires: Seconds = 0.0
    rows: Count = 0
    token: str = ""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A failed row, for whoever wants to know what went wrong."""

    __pydantic_config__: ClassVar[ConfigDict] = STORED

    row: Count
    image: str
    message: str


@dataclass(kw_only=True)
class Notes:
    """What whoever works on the batch remembers from one wake to the next.

    :param pace: times, in seconds since 1970, with the number of images that had ended by then.
    :param ended: how many tasks of the batch have ended.
    :param troubles: how often in a row the service took no submission.
    :param columns: names of the user's own columns, in the input's order.
    :param signed: whether addresses of the input are signed.
    :param accepted_at: when the service has accepted a submission last, in seconds since 1970.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="ignore")

    pace: list[tuple[Seconds, Count]] = field(default_factory=list)
    ended: Count = 0
    troubles: Count = 0
    columns: list[str] = field(default_factory=list)
    signed: bool = False
    accepted_at: Seconds = 0.0


@dataclass(kw_only=True)
class Index:
    """What every thousand rows come to, and what is to be known beside the rows.

    :param identity: what makes the ledger its batch's.
    :param segments: what the rows of each object come to.
    :param etags: the version of each of these objects; empty where it is not known.
    :param examples: code → some rows that have failed with it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STORED

    identity: dict[str, Any]
    version: int = VERSION
    lines: Count = 0
    segments: list[Totals] = field(default_factory=list)
    etags: list[str] = field(default_factory=list)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(each.rows for each in self.segments)


H = TypeVar("H", Header, Index)

_STORED: dict[Any, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (Header, Index)}


class LedgerStore:
    """Reads and writes the objects of one ledger: lines of JSON, of which the first tells of the object; the others are rows.

    :param objects: the objects, under a prefix of their own.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self.url = objects.url

    def read(self, name: str, kind: type[H]) -> tuple[H | None, list[Row], str]:
        """Read an object.

        :param kind: of its first line.
        :return: the first line, the rows, and the object's version; None, none, and :data:`ABSENT` if it does not exist.
        :raises InvalidInputError: a newer version has written it.
        :raises UnreadableError: it cannot be read.
        """
        found = self.objects.read(name)
        if found.etag == ABSENT:
            return None, [], ABSENT
        try:
            _check_values(found.body)
            first, *lines = found.body.removesuffix(b"\n").split(b"\n")
            # It decides how the rest is to be read.
            version = json.loads(first)["version"]
            if version == VERSION:
                header: H = _STORED[kind].validate_json(first)
                if header.lines != len(lines):
                    raise ValueError(f"it announces other than its {len(lines)} lines")
                return header, [Row.from_line(line) for line in lines], found.etag
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnreadableError(
                f"{self.url(name)} cannot be read ({_reason(error)}), so it is not known which images were paid for. "
                "Nothing was submitted. Restore an earlier version of the object, or choose another destination."
            ) from None
        raise InvalidInputError(
            f"{self.url(name)} has version {reprlib.repr(version)} of the ledger, and this airflow-provider-wanx knows "
            f"version {VERSION}. Nothing was submitted. Install a later airflow-provider-wanx, or choose another destination."
        )

    def write(self, name: str, first: Header | Index, rows: list[Row], etag: str) -> tuple[str, int]:
        """Write an object.

        :param first: its first line. That says how many follow, so that a part of the object shows as such.
        :param etag: the version that is replaced.
        :return: the new version, and the size in bytes.
        :raises LedgerInUseError: another run has taken the ledger over.
        :raises InvalidInputError: it would be too large to be read again.
        """
        stored = _STORED[type(first)].dump_python(first) | {"lines": len(rows)}
        body = b"".join(_json(line) + b"\n" for line in (stored, *(row.to_json() for row in rows)))
        try:
            _check_values(body)
        except ValueError as error:
            raise InvalidInputError(
                f"{self.url(name)} cannot be written: {error}. Give less in the input's own columns."
            ) from None
        try:
            return replace(self.objects, name, body, seen=etag), len(body)
        except ConflictError:
            raise LedgerInUseError(
                f"Another run or try has taken over {self.url(name)}, so this one ends here. The images that it has "
                "submitted are in the ledger; the other one goes on with them."
            ) from None

    def miss(self, name: str) -> NoReturn:
        """Refuse to go on without what somebody has deleted: images would be paid for again.

        :raises UnreadableError: always.
        """
        raise UnreadableError(
            f"{self.url(name)} is missing or too old, so it is not known which images were paid for. Nothing was "
            "submitted. Restore its last version, or choose another destination."
        )


def _json(value: Any) -> bytes:
    # A message of the service may hold half a character, which JSON can spell and UTF-8 cannot.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _check_values(body: bytes) -> None:
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES:,} values")


def _reason(error: Exception) -> str:
    """Say what is wrong in few words, and without what somebody may have written there."""
    if not isinstance(error, ValidationError):
        return str(error)[:200] if isinstance(error, ValueError) else "it has no version"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"][:4])
    return f"{place}: {first['msg'][:100]}" if place else str(first["msg"])[:100]
