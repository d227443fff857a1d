"""Hold the ledger against the input: what is new is added, what is gone is submitted no more, however often that is done."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from airflow_provider_wanx.batch.input.sources import InvalidRow
from airflow_provider_wanx.batch.ledger.ledger import EXAMPLES, Ledger
from airflow_provider_wanx.batch.result_keys import ResultKeys
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted, without_signature


class SignedAddresses:
    """The addresses of images whose URL is signed. The ledger keeps no signature, so they come from the input whenever needed.

    :param source: the input.
    """

    def __init__(self, source: Iterable[Row | InvalidRow]) -> None:
        self._source = source
        self._rows: dict[bytes, Row] = {}
        self._is_read = False
        self._reading = Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row | InvalidRow]:
        """Read the input, keeping the rows with signed addresses."""
        for row in self._source:
            if isinstance(row, Row) and row.unsigned() != row:
                self._rows[row.identity] = row
            yield row
        self._is_read = True

    def signed(self, row: Row) -> Row:
        """Return a row as the input has it now, with its signatures.

        :param row: as the ledger keeps it.
        """
        with self._reading:
            if not self._is_read:
                deque(self, maxlen=0)
        return self._rows.get(row.identity, row)


def plan(
    ledger: Ledger, source: Iterable[Row | InvalidRow], *, keys: ResultKeys, most: int = 1_000_000
) -> int:
    """Let the rows of the ledger be those of an input; those that the input does not have any more are kept aside.

    An image that is wanted twice in the same style is planned once; the second row refers to the first.

    :param ledger: takes the rows; written only if all of the input is good.
    :param source: the input.
    :param keys: makes the keys of results, which must differ.
    :param most: rows of one input. A manifest without end would fill the bucket.
    :return: number of rows that were added.
    :raises InvalidInputError: the input has bad rows, too many, or two rows would have results under one key.
    """
    planning = _Planning(ledger, keys)
    invalid: list[InvalidRow] = []
    bad = number = 0
    for number, row in enumerate(source, start=1):
        if number > most:
            raise InvalidInputError(
                f"The input has more than {most:,} rows. Divide it with shard, or into several batches. "
                "Nothing was submitted."
            )
        if isinstance(row, InvalidRow):
            bad += 1
            invalid = [*invalid, row][:EXAMPLES]
        elif not bad:
            planning.take(row)
    if bad:
        told = "; ".join(f"{each.place}: {each.reason}" for each in invalid)
        more = f"; and {bad - len(invalid)} more" if bad > len(invalid) else ""
        raise InvalidInputError(
            f"{bad} of {number} rows cannot be repainted: {told}{more}. Nothing was submitted."
        )
    ledger.notes.columns = list(planning.columns)
    ledger.revise(planning.changes())
    ledger.compact()
    return planning.added


class _Planning:
    """One reading of an input.

    :param ledger: takes the rows that are new.
    :param keys: makes the keys of results.
    """

    def __init__(self, ledger: Ledger, keys: ResultKeys) -> None:
        self.added = 0
        self.columns: dict[str, None] = {}
        self._ledger = ledger
        self._keys = keys
        self._keys_seen: set[bytes] = set()
        self._first: dict[bytes, int] = {}
        self._repeated: defaultdict[bytes, deque[int]] = defaultdict(deque)
        self._columns_seen: list[bytes] = []
        self._was_wanted, self._is_wanted = bytearray(), bytearray()
        self._changes: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for row in ledger.recount():
            identity = row.versioned_identity
            if self._first.setdefault(identity, row.row) != row.row:
                self._repeated[identity].append(row.row)
            self._columns_seen.append(_digest(row.columns))
            self._was_wanted.append(not row.removed)
            self._is_wanted.append(False)

    def take(self, row: Row) -> None:
        """Match a row with one of the ledger's, or add it."""
        self.columns.update(dict.fromkeys(row.columns))
        identity = row.versioned_identity
        number = self._match(row, identity)
        if number is None:
            number = self._ledger.append(row, duplicate_of=self._first.get(identity)).row
            self.added += 1
        elif _digest(row.columns) != self._columns_seen[number]:
            self._changes[number]["columns"] = dict(row.columns)
        if self._first.setdefault(identity, number) == number:
            self._check_key(replace(row, row=number))

    def changes(self) -> Mapping[int, Mapping[str, Any]]:
        """What is to be changed in rows that the ledger has had before, by their numbers."""
        for number, (was, wanted) in enumerate(zip(self._was_wanted, self._is_wanted, strict=True)):
            if was != wanted:
                self._changes[number]["removed"] = not wanted
        return self._changes

    def _match(self, row: Row, identity: bytes) -> int | None:
        number = self._unmatched(identity)
        if number is None and row.image_version is not None:
            # Planned when nobody asked for the picture's version.
            number = self._unmatched(row.identity)
            if number is not None:
                self._changes[number]["image_version"] = row.image_version
        if number is not None:
            self._is_wanted[number] = True
        return number

    def _unmatched(self, identity: bytes) -> int | None:
        first = self._first.get(identity)
        if first is None or first >= len(self._is_wanted):
            return None
        if not self._is_wanted[first]:
            return first
        repeated = self._repeated.get(identity)
        return repeated.popleft() if repeated else None

    def _check_key(self, row: Row) -> None:
        key = self._keys.before_submission(row)
        if key is None:
            return
        if key in self._keys_seen:
            image = without_signature(row.image)
            raise InvalidInputError(
                f"s3_key {quoted(self._keys.template)} gives row {row.row} ({image}) the key of another row. "
                "Put {row} into it. Nothing was submitted."
            )
        self._keys_seen.add(key)


def _digest(columns: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(json.dumps(columns).encode(), digest_size=8).digest() if columns else b""
