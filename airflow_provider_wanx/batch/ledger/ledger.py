"""The ledger of a batch: which images are wanted and how far each has come. It lives beside the results, in the bucket.

Three kinds of objects make it up:

* ``rows-000000.jsonl`` and so on: the rows, a thousand each, as they were when the ledger was last compacted;
* ``journal.jsonl``: the rows that have changed since, and who owns the ledger until when;
* ``index.json``: what every thousand comes to, so that those with nothing left to do are not read on every wake.

Four rules hold, and nothing here may relax them:

1. Every object is replaced only by whoever has seen its last version (S3's conditional writes). A run that was thought
   dead, and whose ledger another has taken over, fails at its next write, before its next submission.
2. The journal is written before a submission leaves; see :mod:`~airflow_provider_wanx.jobs.submitting.submission_record`. It is
   emptied only after its rows have been written to where they belong.
3. A row is replaced only by a later revision of itself.
4. Whoever may write the bucket may have written the ledger. A task believes its sums and its rows only as it has left them
   itself; else all rows are read, counted, and held against the input before anything is submitted.

So a process may be killed at any moment: the ledger says which submissions are then unconfirmed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from threading import RLock
from typing import Any

from airflow_provider_wanx.batch.ledger.segments import Segments
from airflow_provider_wanx.batch.ledger.stored import (
    INDEX,
    JOURNAL,
    Example,
    Header,
    Index,
    LedgerStore,
    Notes,
    Totals,
)
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.errors import InvalidInputError, LedgerInUseError, ProviderError
from airflow_provider_wanx.dashscope.redaction import without_query
from airflow_provider_wanx.dashscope.store import ABSENT
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.s3.objects import ObjectStore

LEASE_SECONDS = 600.0
"""Seconds for which a working run owns the ledger from its last write on."""

LONGEST_LEASE_SECONDS = 3600.0
"""Seconds after its last write for which an owner is believed; nobody who keeps to the rules claims more."""

JOURNAL_BYTES = 128 * 1024
"""Size at which the journal is emptied into the rows: it is written whole before every submission."""

EXAMPLES = 10
"""Rows that stand for all that failed alike, in messages, reports and the index."""


class Ledger:
    """One batch's ledger. One thread keeps it; others may :meth:`update` rows of their own, and :meth:`flush`.

    ``rows`` has all rows, and ``totals`` says what they come to. Whatever writes raises :exc:`LedgerInUseError` once another
    run has taken the ledger over.

    :param objects: the objects, under a prefix of their own.
    :param owner: who wants to work with it.
    :param identity: what makes it this batch's: the input and all that decides about a result.
    :param clock: returns the seconds since 1970.
    """

    def __init__(
        self,
        objects: ObjectStore,
        *,
        owner: Identity,
        identity: Mapping[str, Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = LedgerStore(objects)
        self.url = self._store.url()
        self._owner = owner
        self._clock = clock
        self._lock = RLock()
        self._token = uuid.uuid4().hex
        self._writes = 0
        self._journal: dict[int, Row] = {}
        self._journal_bytes = 0
        self._journal_etag = ABSENT
        self._unwritten = False
        self._expires = 0.0
        self.rows = Segments(self._store, renew=self.renew)
        self._index = Index(identity=dict(identity))
        self._index_etag = ABSENT
        self._index_rows = 0
        self.totals = self.rows.totals()

    @property
    def examples(self) -> dict[str, list[Example]]:
        """Code → some rows that have failed with it."""
        return self._index.examples

    @property
    def notes(self) -> Notes:
        """What whoever works on the batch remembers from one wake to the next."""
        return self._index.notes

    @property
    def version(self) -> str:
        """What :meth:`acquire` recognizes the ledger by as long as nobody has written to it."""
        return f"{self._journal_etag} {self._index_etag}"

    def read(self) -> None:
        """Read the ledger without taking it.

        :raises InvalidInputError: it is another input's, or a newer version's.
        :raises UnreadableError: something in it cannot be read.
        """
        header, rows, _ = self._store.read(JOURNAL, Header)
        self._read_index(header or Header())
        self._load(rows, is_known=False)

    def acquire(self, *, left_as: str | None = None) -> bool:
        """Take the ledger, or make it.

        :param left_as: the :attr:`version` in which the same task has left it.
        :return: whether it is in that version. Else nothing in it is to be believed before a plan has held its rows against
            the input.
        :raises LedgerInUseError: another run owns it, or somebody who does not keep to the rules has changed rows of it.
        :raises InvalidInputError: it is another input's, a newer version's, or its store cannot keep two runs apart.
        :raises UnreadableError: something in it cannot be read.
        """
        found, rows, self._journal_etag = self._store.read(JOURNAL, Header)
        header = found or Header()
        self._check_owner(header)
        self._read_index(header)
        known = self._index_etag if self.version == left_as else None
        self._journal = {row.row: row for row in rows}
        self._write_journal(lease=LEASE_SECONDS)
        try:
            if self._index_etag == ABSENT:
                self._store.objects.check_conditions(JOURNAL)
            # Whoever had it until now may have written to the rest of it since it was read.
            self._read_index(header)
            self._load(rows, is_known=self._index_etag == known)
        except ProviderError:
            self.give_back()
            raise
        return self._index_etag == known

    def give_back(self) -> None:
        """Keep all changes to planned rows, and be the owner no more. Rows that were appended since are dropped."""
        self._write_journal(lease=0)

    def _load(self, journal: Iterable[Row], *, is_known: bool) -> None:
        if not self.rows.begin(self._index, is_known=is_known):
            self._store.miss(INDEX)
        for row in journal:
            if row.row >= self._index_rows:
                self._store.miss(INDEX)
            self.rows.replace(row)
        self.totals = self.rows.totals()

    def _check_owner(self, header: Header) -> None:
        left = header.expires - self._clock()
        if header.owner in (None, self._owner) or not 0 < left <= LONGEST_LEASE_SECONDS:
            return
        until = datetime.fromtimestamp(self._clock() + left, tz=UTC)
        raise LedgerInUseError(
            f"{self.url} belongs to {header.owner} until {until:%Y-%m-%d %H:%M:%S} UTC, unless that renews it. "
            "Nothing was submitted. Let that run end, and let this task be retried; or choose another destination."
        )

    def _read_index(self, journal: Header) -> None:
        """Read the index.

        :param journal: the header of the journal, which knows how many rows the index must have.
        """
        found, _, self._index_etag = self._store.read(INDEX, Index)
        index = found or Index(identity=self._index.identity)
        if index.identity != self._index.identity:
            raise InvalidInputError(
                f"{self.url} is the ledger of another batch: {_differences(index.identity, self._index.identity)}. "
                "Nothing was submitted. Choose another destination for this one."
            )
        self._index, self._index_rows = index, index.rows
        # Without what somebody has deleted, images would be paid for again.
        if index.segments and not journal.token:
            self._store.miss(JOURNAL)
        if index.rows < journal.rows:
            self._store.miss(INDEX)

    def append(self, row: Row, *, duplicate_of: int | None = None) -> Row:
        """Plan one more row. Planned rows are kept by :meth:`compact`; what is lost before is planned again.

        :param row: of the input.
        :param duplicate_of: the row that wants the same.
        """
        status = RowStatus.PLANNED if duplicate_of is None else RowStatus.DUPLICATE
        planned = row.unsigned(row=self.totals.rows, status=status, duplicate_of=duplicate_of)
        self.totals.add(planned)
        self.rows.append(planned)
        return planned

    def revise(self, changes: Mapping[int, Mapping[str, Any]]) -> None:
        """Change many planned rows without the journal; :meth:`compact` keeps the changes.

        :param changes: number of the row → its new values.
        """
        self.rows.change(changes)
        self.totals = self.rows.totals()

    def update(self, row: Row, **changes: Any) -> None:
        """Change a row; :meth:`flush` keeps the change."""
        with self._lock:
            # Other threads read the sums: they see all of the change or nothing.
            totals = Totals()
            totals.merge(self.totals)
            totals.add(row, -1)
            self.rows.change({row.row: changes})
            totals.add(row)
            self.totals = totals
            self._journal[row.row] = self.rows[row.row]
            self._unwritten = True
            self._exemplify(row)

    def _exemplify(self, row: Row) -> None:
        if row.state is RowStatus.FAILED and len(self.examples.get(row.code or "", ())) < EXAMPLES:
            # They go into XCom and status.json, which are no place for signatures and inlined pictures.
            image, message = without_query(row.image)[:200], (row.message or "")[:500]
            example = Example(row=row.row, image=image, message=message)
            self.examples.setdefault(row.code or "", []).append(example)

    def flush(self) -> None:
        """Keep all changes."""
        with self._lock:
            if self._unwritten:
                self._write_journal(lease=LEASE_SECONDS)
                if self._journal_bytes > JOURNAL_BYTES:
                    self.compact()

    def renew(self, *, at_once: bool = False) -> None:
        """Stay the owner, if it is time to say so.

        :param at_once: say so even if it is not.
        """
        if at_once or self._expires - self._clock() < LEASE_SECONDS / 2:
            self._write_journal(lease=LEASE_SECONDS)

    def hold(self) -> None:
        """Stay the owner, for almost as long as anybody is believed, while nobody works on the batch."""
        # Clocks may differ by what is left out.
        self._write_journal(lease=LONGEST_LEASE_SECONDS - LEASE_SECONDS / 2)

    def compact(self, *, lease: float = LEASE_SECONDS) -> None:
        """Write changed rows to where they belong, and empty the journal.

        :param lease: seconds for which the ledger stays this owner's from now on; 0 to give it back.
        """
        with self._lock:
            if self._unwritten:
                self._write_journal(lease=LEASE_SECONDS)
            self.rows.write()
            self.rows.fill(self._index)
            self._index_etag, _ = self._store.write(INDEX, self._index, [], self._index_etag)
            self._index_rows = self._index.rows
            self._journal = {}
            self._write_journal(lease=lease)

    def recount(self) -> Iterator[Row]:
        """Go through all rows, and count them: nothing that the index says of them is believed."""
        self.examples.clear()
        for row in self.rows.recount():
            self._exemplify(row)
            yield row
        self.totals = self.rows.totals()

    def _write_journal(self, *, lease: float) -> None:
        with self._lock:
            self._writes += 1
            self._expires = self._clock() + lease
            header = Header(
                owner=self._owner if lease else None,
                expires=self._expires,
                rows=self._index_rows,
                token=f"{self._token}-{self._writes}",
            )
            rows = list(self._journal.values())
            self._journal_etag, self._journal_bytes = self._store.write(
                JOURNAL, header, rows, self._journal_etag
            )
            self._unwritten = False


def _differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
    # Whoever may write the bucket may have written them, at any length.
    return "; ".join(
        f"{name[:50]} was {repr(there.get(name))[:500]} and is {repr(wanted.get(name))[:500]}"
        for name in names[:10]
    )
