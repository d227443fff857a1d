"""The rows of a ledger, a thousand in each object, of which only those are kept in memory that something is to be done for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from airflow_provider_wanx.batch.ledger.stored import Header, Index, LedgerStore, Totals
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.errors import LedgerInUseError
from airflow_provider_wanx.dashscope.store import ABSENT

SEGMENT_ROWS = 1000
"""Rows in one object: few enough to be rewritten often, many enough that a million rows are a thousand objects."""


@dataclass
class _Segment:
    """A thousand rows.

    :param sums: what they come to in the object.
    :param etag: the version of the object.
    :param rows: None if they are not in memory.
    :param changed: whether they have changed since they were read.
    """

    sums: Totals = field(default_factory=Totals)
    etag: str = ABSENT
    rows: list[Row] | None = None
    changed: bool = False

    def totals(self) -> Totals:
        # Another thread may write them, and drop them from memory.
        rows = self.rows
        return self.sums if rows is None else Totals.of(rows)


class Segments:
    """All rows of a ledger.

    :param store: the ledger's objects.
    :param renew: keeps the ledger ours, or fails; with ``at_once=True`` also if that is not due yet.
    """

    def __init__(self, store: LedgerStore, *, renew: Callable[..., None]) -> None:
        self._store = store
        self._renew = renew
        self._segments: list[_Segment] = []
        self._is_known = False

    def begin(self, index: Index, *, is_known: bool) -> bool:
        """Begin with what the index says; nothing is read yet.

        :param is_known: whether objects are refused that are not as the index says.
        :return: whether it can be the index of such rows: all objects are full but the last.
        """
        etags = [*index.etags, *[ABSENT] * len(index.segments)]
        self._segments = [_Segment(sums, etag) for sums, etag in zip(index.segments, etags, strict=False)]
        self._is_known = is_known
        return all(each.rows == SEGMENT_ROWS for each in index.segments[:-1])

    def fill(self, index: Index) -> None:
        """Put into an index what the rows of each object come to, and in which version it is."""
        index.segments = [each.sums for each in self._segments]
        index.etags = [each.etag for each in self._segments]

    def totals(self) -> Totals:
        """Return what all rows come to."""
        total = Totals()
        for each in self._segments:
            total.merge(each.totals())
        return total

    def __getitem__(self, row: int) -> Row:
        return self._load(row // SEGMENT_ROWS)[row % SEGMENT_ROWS]

    def replace(self, row: Row) -> None:
        """Put a row where an earlier revision of it is."""
        if self[row.row].revision < row.revision:
            self._load(row.row // SEGMENT_ROWS)[row.row % SEGMENT_ROWS] = row
            self._segments[row.row // SEGMENT_ROWS].changed = True

    def append(self, row: Row) -> None:
        """Add a row behind the last one."""
        number = row.row // SEGMENT_ROWS
        if number == len(self._segments):
            self._segments.append(_Segment(rows=[]))
        rows = self._load(number)
        rows.append(row)
        self._segments[number].changed = True
        if len(rows) == SEGMENT_ROWS:
            self._write(number)
            self._segments[number].rows = None

    def change(self, changes: Mapping[int, Mapping[str, Any]]) -> None:
        """Give rows new values; objects that were not in memory are written at once, and others by :meth:`write`.

        :param changes: number of the row → its new values.
        """
        for number, numbers in groupby(sorted(changes), lambda row: row // SEGMENT_ROWS):
            segment = self._segments[number]
            was_loaded = segment.rows is not None
            rows = self._load(number)
            for each in numbers:
                row = rows[each % SEGMENT_ROWS]
                for name, value in changes[each].items():
                    setattr(row, name, value)
                row.revision += 1
            segment.changed = True
            if not was_loaded:
                self._write(number)
                segment.rows = None

    def write(self) -> None:
        """Write all that has changed; keep in memory only that for which something is to be done."""
        for number, segment in enumerate(self._segments):
            if segment.changed:
                self._write(number)
            if not segment.sums.open:
                segment.rows = None

    def in_states(self, *states: RowStatus) -> Iterator[Row]:
        """Go through the rows in some states, in order; a row may be changed on the way."""
        for number, segment in enumerate(self._segments):
            counts = segment.totals().counts
            if any(counts[state] for state in states):
                yield from [row for row in self._load(number) if row.state in states]

    def __iter__(self) -> Iterator[Row]:
        """Go through all rows, in order, keeping none of those in memory that were not there before."""
        for number in range(len(self._segments)):
            yield from self._read(number)

    def recount(self) -> Iterator[Row]:
        """Go through all rows, and count them: from now on it is known what they come to, and how they were left."""
        for number, segment in enumerate(self._segments):
            rows = self._read(number)
            segment.sums = Totals.of(rows)
            yield from rows
        self._is_known = True

    def task_ids(self, *, since: float) -> frozenset[str]:
        """Return the ids of all tasks that rows have now and that were submitted since a time in seconds since 1970."""
        return frozenset(
            row.dashscope_task_id
            for number, segment in enumerate(self._segments)
            if segment.rows is not None or segment.sums.submitted_until >= since
            for row in self._read(number)
            if row.dashscope_task_id
        )

    def _load(self, number: int) -> list[Row]:
        """Return some rows, and keep them in memory."""
        rows = self._segments[number].rows = self._read(number)
        return rows

    def _read(self, number: int) -> list[Row]:
        segment, name = self._segments[number], segment_name(number)
        if (loaded := segment.rows) is not None:
            return loaded
        _, rows, etag = self._store.read(name, Header)
        if self._is_known and etag != segment.etag:
            raise LedgerInUseError(
                f"Somebody has changed {self._store.url(name)} without taking the ledger over, so this try ends here. "
                "A retry reads the whole ledger and goes on."
            )
        # What is more was left behind by a plan that was broken off.
        rows = rows[: segment.sums.rows]
        first = number * SEGMENT_ROWS
        if [row.row for row in rows] != list(range(first, first + segment.sums.rows)):
            self._store.miss(name)
        segment.etag = etag
        return rows

    def _write(self, number: int) -> None:
        segment, name = self._segments[number], segment_name(number)
        is_left_behind = (
            segment.etag == ABSENT and (left_behind := self._store.objects.read(name).etag) != ABSENT
        )
        # An object that no index knows is of a plan that was broken off, if the ledger is still ours.
        self._renew(at_once=is_left_behind)
        if is_left_behind:
            segment.etag = left_behind
        segment.etag, _ = self._store.write(name, Header(), segment.rows or [], segment.etag)
        segment.changed = False
        segment.sums = segment.totals()


def segment_name(number: int) -> str:
    """Name the object of a thousand rows."""
    return f"rows-{number:06d}.jsonl"
