"""What others may read of a batch: its progress, its summary, and the manifest of all images."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.policy import Ceiling, Pace
from airflow_provider_wanx.batch.row import COLUMNS, RowStatus, money
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.repaint import CURRENCY

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.ledger.ledger import Ledger

STATUS = "status.json"
MANIFEST = "manifest"
INDEX = "manifest.index.json"
"""Where the parts of ``manifest.jsonl`` begin, for readers who want a page of it and not all."""

INDEX_ROWS = 100
"""Rows between two entries of the index."""

FORMATS = {"jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
"""Formats of the manifest → their content type."""

PARQUET_ROWS = 10_000
"""Rows that are written to a Parquet file at a time."""

MOST_CODES = 50
"""Codes of failures that a summary names at most."""


def format_names(formats: str | Sequence[str]) -> tuple[str, ...]:
    """Read formats, which may be one text with commas or semicolons."""
    return tuple(re.split(r"[\s,;]+", formats.strip()) if isinstance(formats, str) else formats)


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that are not known, or cannot be written here.

    :raises InvalidInputError: one is not, or pyarrow is missing for Parquet.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise InvalidInputError(f"manifest_formats has {unknown[0]!r}. Known are {', '.join(FORMATS)}.")
    if "parquet" in formats:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise InvalidInputError(
                "manifest_formats has parquet, which needs pyarrow: install airflow-provider-wanx[parquet]."
            ) from None


def summary(ledger: Ledger, ceiling: Ceiling, *, destination: str) -> dict[str, Any]:
    """Say in a small JSON object what has become of a batch.

    :param destination: URL of the results' prefix.
    """
    totals = ledger.totals
    counts = {str(status): totals.counts[status] for status in RowStatus}
    return {
        "destination": destination,
        "images": totals.images,
        **counts,
        "bytes": totals.bytes,
        "billed": totals.billed,
        "cost": money(ceiling.cost(totals.billed)),
        "currency": CURRENCY,
        "failures": {
            code: {"count": number, "examples": [asdict(each) for each in ledger.examples.get(code, [])]}
            for code, number in totals.failures.most_common(MOST_CODES)
            if number
        },
    }


def status(
    ledger: Ledger, ceiling: Ceiling, pace: Pace, *, destination: str, state: str, owner: str
) -> dict[str, Any]:
    """Say how far a batch has come, for whoever reads the destination.

    :param state: ``running``, ``finished`` or ``stopped``.
    :param owner: the Airflow task that works on it.
    """
    totals = ledger.totals
    return {
        "state": state,
        "updated_at": datetime.fromtimestamp(time.time(), tz=UTC).isoformat(timespec="seconds"),
        "owner": owner,
        "in_flight": totals.in_flight,
        "images_per_hour": round(3600 / pace.seconds_per_image, 1),
        "seconds_left": round(totals.open * pace.seconds_per_image),
        **summary(ledger, ceiling, destination=destination),
    }


def write_manifests(
    rows: Iterator[dict[str, Any]],
    formats: Sequence[str],
    *,
    own_columns: Sequence[str],
    upload: Callable[[Path, str, str], None],
) -> None:
    """Write the manifest in some formats, reading the rows once and keeping few of them in memory.

    :param rows: see :meth:`Row.in_manifest`.
    :param own_columns: names of all the user's columns; not every row need have them.
    :param upload: takes a local file, the object's name and its content type.
    """
    with tempfile.TemporaryDirectory(prefix="wanx-manifest-") as directory, ExitStack() as stack:
        paths = {name: Path(directory) / f"{MANIFEST}.{name}" for name in formats}
        with stack:
            writers = [stack.enter_context(_WRITERS[name](path, own_columns)) for name, path in paths.items()]
            for row in rows:
                for writer in writers:
                    writer.write(row)
        for name, path in paths.items():
            upload(path, path.name, FORMATS[name])
            if name == "jsonl":
                upload(path.with_name(INDEX), INDEX, "application/json")


class _JsonLines:
    """Writes rows as lines of JSON, and beside them an index: at which byte every hundredth row begins."""

    def __init__(self, path: Path, own_columns: Sequence[str]) -> None:
        self._path = path
        self._file = path.open("wb")
        self._rows = 0
        self._offsets: list[int] = []

    def __enter__(self) -> _JsonLines:
        return self

    def __exit__(self, *exc_info: object) -> None:
        size = self._file.tell()
        self._file.close()
        index = {"rows": self._rows, "step": INDEX_ROWS, "bytes": size, "offsets": self._offsets}
        self._path.with_name(INDEX).write_text(json.dumps(index))

    def write(self, row: dict[str, Any]) -> None:
        """Write one row."""
        if self._rows % INDEX_ROWS == 0:
            self._offsets.append(self._file.tell())
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._rows += 1


_PARQUET_TYPES = {"int": "int64", "float": "float64", "str": "string"}


class _Parquet:
    """Writes rows as a Parquet file. Own columns are text there, or JSON, because their types may differ from row to row."""

    def __init__(self, path: Path, own_columns: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = COLUMNS | dict.fromkeys(own_columns, "str")
        self._schema = pa.schema([(name, _PARQUET_TYPES[kind]) for name, kind in columns.items()])
        self._writer = pq.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._flush()
        self._writer.close()

    def write(self, row: dict[str, Any]) -> None:
        """Write one row."""
        self._rows.append(row)
        if len(self._rows) >= PARQUET_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        table = {name: [_cell(name, row.get(name)) for row in self._rows] for name in self._schema.names}
        self._writer.write_table(pa.table(table, schema=self._schema))
        self._rows = []


def _cell(name: str, value: Any) -> Any:
    if value is None or name in COLUMNS or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


_WRITERS: dict[str, Callable[[Path, Sequence[str]], Any]] = {"jsonl": _JsonLines, "parquet": _Parquet}
