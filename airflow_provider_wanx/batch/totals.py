"""What some rows of a ledger come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_wanx.batch.ledger_rows import LedgerRow, RowStatus


@dataclass
class Totals:
    """What some rows come to.

    :param counts: status → number of rows.
    :param failures: code → number of failed rows.
    :param billed: images that the service bills.
    :param bytes: size of all copied results.
    :param submitted_until: when the last of them was submitted, in seconds since 1970.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    billed: int = 0
    bytes: int = 0
    submitted_until: float = 0.0

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Totals:
        """Read the stored form."""
        counters = {name: Counter(stored[name]) for name in ("counts", "failures")}
        return cls(**{**stored, **counters})

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.counts.total()

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
        self.counts[row.status] += sign
        self.billed += sign * row.billed
        self.bytes += sign * (row.bytes or 0)
        if row.status is RowStatus.FAILED:
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
        return {**asdict(self), "counts": dict(+self.counts), "failures": dict(+self.failures)}
