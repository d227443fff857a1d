"""The rows of a ledger, a thousand in each object, of which only those are kept in memory that something is to be done for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from airflow_provider_wanx.batch.ledger.ledger_rows import LedgerRow, RowStatus
from airflow_provider_wanx.batch.ledger.stored import Header, Index, LedgerStore
from airflow_provider_wanx.batch.ledger.totals import Totals
from airflow_provider_wanx.dashscope.errors import LedgerInUseError
from airflow_provider_wanx.dashscope.store import ABSENT

SEGMENT_ROWS = 1000
"""Rows in one object: few enough to be rewritten often, many enough that a million rows are a thousand objects."""


@dataclass
class _Segment:
    """A thousand rows in memory.

    :param etag: the version of the object that they came from.
    :param changed: whether they have changed since.
    """

    rows: list[LedgerRow]
    etag: str = ABSENT
    changed: bool = False

    def totals(self) -> Totals:
        totals = Totals()
        for row in self.rows:
            totals.add(row)
        return totals


class Segments:
    """All rows of a ledger.

    ``sums`` says what the rows of each object come to, and ``etags`` in which version it is.

    :param store: the ledger's objects.
    :param renew: keeps the ledger ours, or fails; with ``at_once=True`` also if that is not due yet.
    """

    def __init__(self, store: LedgerStore, *, renew: Callable[..., None]) -> None:
        self.sums: list[Totals] = []
        self.etags: list[str] = []
        self._is_known = False
        self._store = store
        self._renew = renew
        self._loaded: dict[int, _Segment] = {}

    def fit(self, index: Index) -> bool:
        """Tell whether an index can be one of rows like these: all objects are full but the last."""
        return all(each.rows == SEGMENT_ROWS for each in index.segments[:-1])

    def begin(self, index: Index, *, is_known: bool) -> None:
        """Begin with what the index says; nothing is read yet.

        :param is_known: whether objects are refused that are not as the index says.
        """
        self.sums = index.segments
        self.etags = [*index.etags, *[ABSENT] * len(self.sums)][: len(self.sums)]
        self._is_known = is_known

    def sum(self) -> Totals:
        """Return what all rows come to."""
        total = Totals()
        for number, each in enumerate(self.sums):
            total.merge(self._loaded[number].totals() if number in self._loaded else each)
        return total

    def __getitem__(self, row: int) -> LedgerRow:
        return self._load(row // SEGMENT_ROWS).rows[row % SEGMENT_ROWS]

    def replace(self, row: LedgerRow) -> None:
        """Put a row where an earlier revision of it is."""
        if self[row.row].revision < row.revision:
            segment = self._loaded[row.row // SEGMENT_ROWS]
            segment.rows[row.row % SEGMENT_ROWS] = row
            segment.changed = True

    def append(self, row: LedgerRow) -> None:
        """Add a row behind the last one."""
        number = row.row // SEGMENT_ROWS
        if number == len(self.sums):
            self.sums.append(Totals())
            self.etags.append(ABSENT)
            self._loaded[number] = _Segment([])
        segment = self._load(number)
        segment.rows.append(row)
        segment.changed = True
        if len(segment.rows) == SEGMENT_ROWS:
            self._renew()
            self._write(number)
            del self._loaded[number]

    def change(self, changes: Mapping[int, Mapping[str, Any]]) -> None:
        """Give rows new values; objects that were not in memory are written at once, and others by :meth:`write`."""
        for number, rows in groupby(sorted(changes), lambda row: row // SEGMENT_ROWS):
            was_loaded = number in self._loaded
            segment = self._load(number)
            for each in rows:
                row = segment.rows[each % SEGMENT_ROWS]
                for name, value in changes[each].items():
                    setattr(row, name, value)
                row.revision += 1
            segment.changed = True
            if not was_loaded:
                self._renew()
                self._write(number)
                del self._loaded[number]

    def write(self) -> None:
        """Write all that has changed; keep in memory only that for which something is to be done."""
        for number in sorted(self._loaded):
            if self._loaded[number].changed:
                self._write(number)
            if not self.sums[number].open:
                del self._loaded[number]

    def in_states(self, *states: RowStatus) -> Iterator[LedgerRow]:
        """Go through the rows in some states, in order; a row may be changed on the way."""
        for number, each in enumerate(self.sums):
            totals = self._loaded[number].totals() if number in self._loaded else each
            if any(totals.counts[state] for state in states):
                yield from [row for row in self._load(number).rows if row.state in states]

    def __iter__(self) -> Iterator[LedgerRow]:
        """Go through all rows, in order, keeping none of those in memory that were not there before."""
        for number in range(len(self.sums)):
            yield from self._look(number).rows

    def recount(self) -> Iterator[LedgerRow]:
        """Go through all rows, and count them: from now on it is known what they come to, and how they were left."""
        for number in range(len(self.sums)):
            segment = self._look(number)
            self.sums[number], self.etags[number] = segment.totals(), segment.etag
            yield from segment.rows
        self._is_known = True

    def task_ids(self, *, since: float) -> frozenset[str]:
        """Return the ids of all tasks that rows have now and that were submitted since a time in seconds since 1970."""
        return frozenset(
            row.dashscope_task_id
            for number, each in enumerate(self.sums)
            if number in self._loaded or each.submitted_until >= since
            for row in self._look(number).rows
            if row.dashscope_task_id
        )

    def _look(self, number: int) -> _Segment:
        was_loaded = number in self._loaded
        segment = self._load(number)
        if not was_loaded:
            del self._loaded[number]
        return segment

    def _load(self, number: int) -> _Segment:
        if number not in self._loaded:
            name = segment_name(number)
            _, rows, etag = self._store.read_rows(name)
            if self._is_known and etag != self.etags[number]:
                raise LedgerInUseError(
                    f"Somebody has changed {self._store.url(name)} without taking the ledger over, so this try ends here. "
                    "A retry reads the whole ledger and goes on."
                )
            # What is more was left behind by a plan that was broken off.
            rows = rows[: self.sums[number].rows]
            first = number * SEGMENT_ROWS
            if [row.row for row in rows] != list(range(first, first + self.sums[number].rows)):
                self._store.miss(name)
            self._loaded[number] = _Segment(rows, etag)
        return self._loaded[number]

    def _write(self, number: int) -> None:
        segment, name = self._loaded[number], segment_name(number)
        if segment.etag == ABSENT and (left_behind := self._store.etag(name)):
            # By a plan that was broken off, if the ledger is still ours.
            self._renew(at_once=True)
            segment.etag = left_behind
        segment.etag, _ = self._store.write_rows(name, Header(lines=0), segment.rows, segment.etag)
        segment.changed = False
        self.sums[number], self.etags[number] = segment.totals(), segment.etag


def segment_name(number: int) -> str:
    """Name the object of a thousand rows."""
    return f"rows-{number:06d}.jsonl"
