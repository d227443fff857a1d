"""Put what the input wants into the ledger, once, however often the input is read."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from threading import Lock

from airflow_provider_wanx.batch.input.rows import ImageRow
from airflow_provider_wanx.batch.input.sources import InvalidRow
from airflow_provider_wanx.batch.keys import ResultKeys
from airflow_provider_wanx.batch.ledger import Ledger
from airflow_provider_wanx.batch.ledger_rows import LedgerRow, RowStatus
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted

SHOWN = 5
"""Bad rows that a message quotes."""


class SignedAddresses:
    """The addresses of images whose URL is signed. The ledger keeps no signature, so they come from the input whenever needed.

    :param source: the input.
    """

    def __init__(self, source: Iterable[ImageRow | InvalidRow]) -> None:
        self._source = source
        self._rows: dict[bytes, ImageRow] = {}
        self._is_read = False
        self._reading = Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ImageRow | InvalidRow]:
        """Read the input, keeping the rows with signed addresses."""
        for row in self._source:
            if isinstance(row, ImageRow) and row.stored is not row:
                self._rows[row.identity] = row
            yield row
        self._is_read = True

    def whole(self, stored: ImageRow) -> ImageRow:
        """Return a row as the input has it now, with its signatures.

        :param stored: the row as the ledger keeps it.
        """
        with self._reading:
            if not self._is_read:
                deque(self, maxlen=0)
        return self._rows.get(stored.identity, stored)


def plan(ledger: Ledger, source: Iterable[ImageRow | InvalidRow], *, keys: ResultKeys) -> int:
    """Add those rows of an input that the ledger does not have yet.

    An image that is wanted twice in the same style is planned once; the second row refers to the first.

    :param ledger: takes the rows; written only if all of the input is good.
    :param source: the input.
    :param keys: makes the keys of results, which must differ.
    :return: number of rows that were added.
    :raises InvalidInputError: the input has bad rows, or two rows would have results under one key.
    """
    planning = _Planning(ledger, keys)
    invalid: list[InvalidRow] = []
    bad = good = 0
    for wish in source:
        if isinstance(wish, InvalidRow):
            bad += 1
            invalid = [*invalid, wish][:SHOWN]
        else:
            good += 1
            if not bad:
                planning.take(wish)
    if bad:
        quoted = "; ".join(f"{row.place}: {row.reason}" for row in invalid)
        more = f"; and {bad - len(invalid)} more" if bad > len(invalid) else ""
        raise InvalidInputError(
            f"{bad} of {bad + good} rows cannot be repainted: {quoted}{more}. Nothing was submitted."
        )
    ledger.notes["columns"] = list(planning.columns)
    ledger.compact()
    return planning.added


class _Planning:
    """One reading of an input.

    :param ledger: takes the rows that are new.
    :param keys: makes the keys of results.
    """

    def __init__(self, ledger: Ledger, keys: ResultKeys) -> None:
        self.added = 0
        self._ledger = ledger
        self._keys = keys
        self._first: dict[bytes, int] = {}
        self._keys_seen: set[bytes] = set()
        self.columns: dict[str, None] = dict.fromkeys(ledger.notes.get("columns", ()))
        # What the input must bring once more before anything in it is new.
        self._expected: Counter[bytes] = Counter()
        for row in ledger.all_rows():
            identity = row.wish.identity
            self._expected[identity] += 1
            if row.status is not RowStatus.DUPLICATE:
                self._first[identity] = row.row
                self._check_key(row)

    def take(self, wish: ImageRow) -> None:
        """Add a row if it is new."""
        identity = wish.identity
        if self._expected.get(identity):
            self._expected[identity] -= 1
            return
        row = self._ledger.append(wish.stored, duplicate_of=self._first.get(identity))
        self.added += 1
        self.columns.update(dict.fromkeys(wish.columns))
        if row.duplicate_of is None:
            self._first[identity] = row.row
            self._check_key(row)

    def _check_key(self, row: LedgerRow) -> None:
        key = self._keys.before_submission(row)
        if key is None:
            return
        if key in self._keys_seen:
            raise InvalidInputError(
                f"s3_key {quoted(self._keys.template)} gives row {row.row} ({row.image}) the key of another row. "
                "Put {row} into it. Nothing was submitted."
            )
        self._keys_seen.add(key)
