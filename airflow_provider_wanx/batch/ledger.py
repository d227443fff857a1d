"""The ledger of a batch: which images are wanted and how far each has come. It lives beside the results, in the bucket.

Three kinds of objects make it up:

* ``rows-000000.jsonl`` and so on: the rows, a thousand each, as they were when the ledger was last compacted;
* ``journal.jsonl``: the rows that have changed since, and who owns the ledger until when;
* ``index.json``: what every thousand comes to, so that those with nothing left to do are never read again.

Three rules hold, and nothing here may relax them:

1. Every object is replaced only by whoever has seen its last version (S3's conditional writes). A run that was thought
   dead, and whose ledger another has taken over, fails at its next write, before its next submission.
2. The journal is written before a submission leaves; see :mod:`submission.record`. It is emptied only after its rows have
   been written to where they belong.
3. A row is replaced only by a later revision of itself.

So a process may be killed at any moment: at most one submission is then unconfirmed, and the ledger says which.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

from airflow_provider_wanx.batch.input.rows import ImageRow
from airflow_provider_wanx.batch.ledger_rows import LedgerRow, RowStatus, from_lines, to_lines
from airflow_provider_wanx.batch.totals import Totals
from airflow_provider_wanx.dashscope.errors import DashScopeError, InvalidInputError
from airflow_provider_wanx.dashscope.redaction import without_query
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.s3.objects import ABSENT, ConflictError, ObjectStore

T = TypeVar("T")

VERSION = 1

SEGMENT_ROWS = 1000
"""Rows in one object: few enough to be rewritten often, many enough that a million rows are a thousand objects."""

LEASE = 600.0
"""Seconds for which a working run owns the ledger from its last write on."""

JOURNAL_BYTES = 128 * 1024
"""Size at which the journal is emptied into the rows: it is written whole before every submission."""

MAX_OBJECT_BYTES = 64 * 1024 * 1024
"""Largest object of a ledger that is written, and read again: a thousand rows of 64 KiB each."""

EXAMPLES = 10
"""Failed rows that the index names for each code."""

JOURNAL, INDEX = "journal.jsonl", "index.json"

WRITE_TRIES = 3
"""Tries of one write that S3 refuses although nobody else has written, as it does when two requests meet."""


class UnreadableLedgerError(DashScopeError):
    """An object of the ledger is not what this version would have written."""


class LedgerInUseError(DashScopeError):
    """Another run owns the ledger."""


class LedgerLostError(DashScopeError):
    """Another run or try has taken the ledger over; this one must not go on.

    A retry may: it takes the ledger again, if it is the owner's.
    """

    retryable = True


@dataclass
class _Segment:
    """A thousand rows in memory.

    :param etag: the version of the object that they came from.
    :param changed: whether they have changed since.
    """

    rows: list[LedgerRow]
    etag: str
    changed: bool = False

    def totals(self) -> Totals:
        totals = Totals()
        for row in self.rows:
            totals.add(row)
        return totals


class Ledger:
    """One batch's ledger. Not safe for threads: one of them keeps it.

    ``totals`` says what all rows come to, ``examples`` holds some failed rows for each code, and ``notes`` is for whoever
    works with it: small JSON values that are kept with the index.

    :param store: the objects, under a prefix of their own.
    :param owner: who wants to work with it.
    :param identity: what makes it this batch's: the input and all that decides about a result.
    :param clock: returns the seconds since 1970.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        owner: Identity,
        identity: Mapping[str, Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._owner = owner
        self._identity = dict(identity)
        self._clock = clock
        self._token = uuid.uuid4().hex
        self._sequence = 0
        self._journal: dict[int, LedgerRow] = {}
        self._journal_bytes = 0
        self._journal_etag = ABSENT
        self._unwritten = False
        self._expires = 0.0
        self._segments: dict[int, _Segment] = {}
        self._index: list[Totals] = []
        self._index_etag = ABSENT
        self._planned = 0
        self.totals = Totals()
        self.examples: dict[str, list[dict[str, Any]]] = {}
        self.notes: dict[str, Any] = {}

    def read(self) -> None:
        """Read the ledger without taking it.

        :raises InvalidInputError: it is another input's, or a newer version's.
        :raises UnreadableLedgerError: something in it cannot be read.
        """
        header, rows, _ = self._read_journal()
        self._load(header, rows)

    def acquire(self) -> None:
        """Take the ledger, or make it.

        :raises LedgerInUseError: another run owns it.
        :raises InvalidInputError: it is another input's, a newer version's, or its store cannot keep two runs apart.
        :raises UnreadableLedgerError: something in it cannot be read.
        """
        header, rows, self._journal_etag = self._read_journal()
        self._check_owner(header)
        self._read_index(header)
        self._journal = {row.row: row for row in rows}
        self._write_journal(lease=LEASE)
        if self._index_etag == ABSENT:
            self._store.check_conditions(JOURNAL)
        try:
            # Whoever had it until now may have written to the rest of it since it was read.
            self._load(header, rows)
        except DashScopeError:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Keep all changes to planned rows, and be the owner no more. Rows that were appended since are dropped.

        :raises LedgerLostError: another run has taken the ledger over.
        """
        self._write_journal(lease=0)

    def _load(self, header: Mapping[str, Any], journal: Iterable[LedgerRow]) -> None:
        self._read_index(header)
        for row in journal:
            self._take_over(row)
        self._count_anew()

    def _check_owner(self, header: Mapping[str, Any]) -> None:
        owner = header.get("owner")
        if owner is None or header["expires"] <= self._clock() or Identity(**owner) == self._owner:
            return
        until = datetime.fromtimestamp(header["expires"], tz=UTC)
        raise LedgerInUseError(
            f"{self._store.url('')} belongs to {Identity(**owner)} until {until:%Y-%m-%d %H:%M:%S} UTC, unless that renews it. "
            "Nothing was submitted. Let that run end, or choose another destination."
        )

    def _read_journal(self) -> tuple[dict[str, Any], list[LedgerRow], str]:
        found = self._store.read(JOURNAL)
        if found.etag == ABSENT:
            return {}, [], ABSENT
        header, rows = self._parse(JOURNAL, found.body, from_lines)
        return header, rows, found.etag

    def _read_index(self, journal: Mapping[str, Any]) -> None:
        """Read the index.

        :param journal: the header of the journal, which knows how many rows the index must have.
        """
        found = self._store.read(INDEX)
        self._index_etag = found.etag
        if found.etag == ABSENT:
            self._index, self.examples, self.notes = [], {}, {}
            self._check_complete(journal)
            return
        index = self._parse(INDEX, found.body, json.loads)
        if index["identity"] != self._identity:
            raise InvalidInputError(
                f"{self._store.url('')} is the ledger of another batch: {_differences(index['identity'], self._identity)}. "
                "Nothing was submitted. Choose another destination for this one."
            )
        self._index = [Totals.from_json(each) for each in index["segments"]]
        self.examples, self.notes = index["examples"], index["notes"]
        self._planned = sum(each.rows for each in self._index)
        self._check_complete(journal)

    def _check_complete(self, journal: Mapping[str, Any]) -> None:
        """Refuse to go on without what somebody has deleted: images would be paid for again."""
        if self._index and not journal:
            self._miss(JOURNAL)
        if self._planned < journal.get("rows", 0):
            self._miss(INDEX)

    def _miss(self, name: str) -> NoReturn:
        raise UnreadableLedgerError(
            f"{self._store.url(name)} is missing or too old, so it is not known which images were paid for. Nothing was "
            "submitted. Restore its last version, or choose another destination."
        )

    def _parse(self, name: str, body: bytes, read: Callable[[bytes], T]) -> T:
        try:
            # The version is in the first line of every object, and decides how the rest is to be read.
            version = json.loads(body.partition(b"\n")[0])["version"]
            content = read(body) if version == VERSION else None
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableLedgerError(
                f"{self._store.url(name)} cannot be read ({error}), so it is not known which images were paid for. Nothing was "
                "submitted. Restore an earlier version of the object, or choose another destination."
            ) from None
        if content is None:
            raise InvalidInputError(
                f"{self._store.url(name)} has version {version} of the ledger, and this airflow-provider-wanx knows version "
                f"{VERSION}. Nothing was submitted. Install a later airflow-provider-wanx, or choose another destination."
            )
        return content

    def _take_over(self, row: LedgerRow) -> None:
        """Put a row of the journal where it belongs."""
        number, place = divmod(row.row, SEGMENT_ROWS)
        if row.row >= self._planned:
            self._miss(INDEX)
        segment = self._segment(number)
        if segment.rows[place].revision < row.revision:
            segment.rows[place] = row
            segment.changed = True

    def _count_anew(self) -> None:
        for number, segment in self._segments.items():
            self._index[number] = segment.totals()
        self.totals = Totals()
        for each in self._index:
            self.totals.merge(each)

    def _segment(self, number: int) -> _Segment:
        if number not in self._segments:
            name = _segment_name(number)
            found = self._store.read(name)
            rows = [] if found.etag == ABSENT else self._parse(name, found.body, from_lines)[1]
            planned = self._index[number].rows
            expected = range(number * SEGMENT_ROWS, number * SEGMENT_ROWS + planned)
            # What is more was left behind by a plan that was broken off.
            if [row.row for row in rows[:planned]] != list(expected):
                self._miss(name)
            self._segments[number] = _Segment(rows[:planned], found.etag)
        return self._segments[number]

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.totals.rows

    def __getitem__(self, row: int) -> LedgerRow:
        return self._segment(row // SEGMENT_ROWS).rows[row % SEGMENT_ROWS]

    def append(self, wish: ImageRow, *, duplicate_of: int | None = None) -> LedgerRow:
        """Plan one more row. Planned rows are kept by :meth:`compact`; what is lost before is planned again.

        :param duplicate_of: the row that wants the same.
        """
        number = len(self)
        row = LedgerRow(
            row=number,
            image=wish.image,
            style=wish.style,
            style_reference=wish.style_reference,
            columns=wish.columns,
            status=RowStatus.PLANNED if duplicate_of is None else RowStatus.DUPLICATE,
            duplicate_of=duplicate_of,
        )
        place = number // SEGMENT_ROWS
        if place == len(self._index):
            self._index.append(Totals())
            self._segments[place] = _Segment([], ABSENT)
        segment = self._segment(place)
        segment.rows.append(row)
        segment.changed = True
        self.totals.add(row)
        if len(segment.rows) == SEGMENT_ROWS:
            self.renew()
            self._write_segment(place)
            del self._segments[place]
        return row

    def update(self, row: LedgerRow, **changes: Any) -> None:
        """Change a row; :meth:`flush` keeps the change."""
        self.totals.add(row, -1)
        for name, value in changes.items():
            setattr(row, name, value)
        row.revision += 1
        self.totals.add(row)
        self._segment(row.row // SEGMENT_ROWS).changed = True
        self._journal[row.row] = row
        self._unwritten = True
        if row.status is RowStatus.FAILED:
            examples = self.examples.setdefault(row.code or "", [])
            if len(examples) < EXAMPLES:
                # They go into XCom and status.json, which are no place for signatures and inlined pictures.
                image, message = without_query(row.image)[:200], (row.message or "")[:500]
                examples.append({"row": row.row, "image": image, "message": message})

    def flush(self) -> None:
        """Keep all changes.

        :raises LedgerLostError: another run has taken the ledger over.
        """
        if self._unwritten:
            self._write_journal(lease=LEASE)
            if self._journal_bytes > JOURNAL_BYTES:
                self.compact()

    def renew(self) -> None:
        """Stay the owner, if it is time to say so.

        :raises LedgerLostError: another run has taken the ledger over.
        """
        if self._expires - self._clock() < LEASE / 2:
            self._write_journal(lease=LEASE)

    def hold(self, seconds: float) -> None:
        """Stay the owner for some time in which nobody works on the batch.

        :raises LedgerLostError: another run has taken the ledger over.
        """
        self._write_journal(lease=seconds)

    def compact(self, *, lease: float = LEASE) -> None:
        """Write changed rows to where they belong, and empty the journal.

        :param lease: seconds for which the ledger stays this owner's from now on; 0 to give it back.
        :raises LedgerLostError: another run has taken the ledger over.
        """
        if self._unwritten:
            self._write_journal(lease=LEASE)
        for number in sorted(self._segments):
            if self._segments[number].changed:
                self._write_segment(number)
            if not self._index[number].open:
                del self._segments[number]
        self._write_index()
        self._journal = {}
        self._write_journal(lease=lease)

    def rows_in(self, *statuses: RowStatus) -> Iterator[LedgerRow]:
        """Go through the rows in some states, in order; a row may be changed on the way."""
        for number in range(len(self._index)):
            totals = self._index[number] if number not in self._segments else self._segments[number].totals()
            if any(totals.counts[status] for status in statuses):
                yield from [row for row in self._segment(number).rows if row.status in statuses]

    def all_rows(self) -> Iterator[LedgerRow]:
        """Go through all rows, in order, keeping none of those in memory that were not there before."""
        for number in range(len(self._index)):
            known = number in self._segments
            yield from self._segment(number).rows
            if not known:
                del self._segments[number]

    def task_ids(self, *, since: float) -> frozenset[str]:
        """Return the ids of all tasks that rows have now and that were submitted since a time in seconds since 1970."""
        ids: set[str] = set()
        for number in range(len(self._index)):
            known = number in self._segments
            if known or self._index[number].submitted_until >= since:
                ids.update(
                    row.dashscope_task_id for row in self._segment(number).rows if row.dashscope_task_id
                )
                if not known:
                    del self._segments[number]
        return frozenset(ids)

    def _write_segment(self, number: int) -> None:
        segment, name = self._segments[number], _segment_name(number)
        body = to_lines({"version": VERSION}, segment.rows)
        if segment.etag == ABSENT and (left_behind := self._store.read(name).etag):
            # By a plan that was broken off, if the ledger is still ours.
            self._write_journal(lease=LEASE)
            segment.etag = left_behind
        segment.etag = self._write(name, body, segment.etag)
        segment.changed = False
        self._index[number] = segment.totals()

    def _write_index(self) -> None:
        index = {
            "version": VERSION,
            "identity": self._identity,
            "segments": [totals.to_json() for totals in self._index],
            "examples": self.examples,
            "notes": self.notes,
        }
        self._index_etag = self._write(INDEX, json.dumps(index).encode(), self._index_etag)
        self._planned = len(self)

    def _write_journal(self, *, lease: float) -> None:
        self._sequence += 1
        self._expires = self._clock() + lease
        header = {
            "version": VERSION,
            "owner": self._owner.to_json() if lease else None,
            "expires": self._expires,
            "rows": self._planned,
            # What is written differs with every write, so that one whose answer was lost can be recognized.
            "token": f"{self._token}-{self._sequence}",
        }
        body = to_lines(header, list(self._journal.values()))
        self._journal_etag = self._write(JOURNAL, body, self._journal_etag)
        self._journal_bytes, self._unwritten = len(body), False

    def _write(self, name: str, body: bytes, etag: str) -> str:
        content_type = "application/json" if name == INDEX else "application/jsonl"
        for _ in range(WRITE_TRIES):
            try:
                return self._store.write(name, body, content_type=content_type, replacing=etag)
            except ConflictError:
                found = self._store.read(name)
            if found.body == body:
                # The first try of this write has arrived, and only its answer was lost.
                return found.etag
            if found.etag != etag:
                break
        raise LedgerLostError(
            f"Another run or try has taken over {self._store.url(name)}, so this one ends here. The images that it has "
            "submitted are in the ledger; the other one goes on with them."
        )


def _segment_name(number: int) -> str:
    return f"rows-{number:06d}.jsonl"


def _differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
    return "; ".join(f"{name} was {there.get(name)!r} and is {wanted.get(name)!r}" for name in names)
