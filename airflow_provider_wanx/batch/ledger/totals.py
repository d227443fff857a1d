"""What some rows of a ledger come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict

from airflow_provider_wanx.batch.ledger.ledger_rows import STORED, Count, LedgerRow, RowStatus, Seconds


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
        if any(number < 0 for counter in (self.counts, self.failures) for number in counter.values()):
            raise ValueError("a number of rows is below 0")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.counts.values())

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

    def add(self, row: LedgerRow, sign: int = 1) -> None:
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

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {**vars(self), "counts": dict(+self.counts), "failures": dict(+self.failures)}
