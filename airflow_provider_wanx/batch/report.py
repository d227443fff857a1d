"""What others may read of a batch: its progress, its summary, and the manifest of all images."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.policy import Ceiling, Pace, duration
from airflow_provider_wanx.batch.row import COLUMNS, RowStatus, money
from airflow_provider_wanx.dashscope.repaint import CURRENCY

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.batch_destination import BatchDestination
    from airflow_provider_wanx.batch.ledger.ledger import Ledger
    from airflow_provider_wanx.batch.ledger.stored import Totals

STATUS = "status.json"
MANIFEST = "manifest"
INDEX = "manifest.index.json"
"""Where the parts of ``manifest.jsonl`` begin, for readers who want a page of it and not all."""

FORMATS = {"jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
"""Formats of the manifest → their content type."""


def summary(ledger: Ledger, ceiling: Ceiling, *, destination: str) -> dict[str, Any]:
    """Say in a small JSON object what has become of a batch; of all codes of failures it names the fifty most frequent.

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
            for code, number in totals.failures.most_common(50)
            if number
        },
    }


def status(
    ledger: Ledger, ceiling: Ceiling, pace: Pace, *, destination: BatchDestination, state: str
) -> dict[str, Any]:
    """Say how far a batch has come, for whoever reads the destination.

    :param state: ``running``, ``finished`` or ``stopped``.
    """
    totals = ledger.totals
    return {
        "state": state,
        "updated_at": datetime.fromtimestamp(time.time(), tz=UTC).isoformat(timespec="seconds"),
        "owner": str(destination.owner),
        "in_flight": totals.in_flight,
        "images_per_hour": round(3600 / pace.seconds_per_image, 1),
        "seconds_left": round(totals.open * pace.seconds_per_image),
        **summary(ledger, ceiling, destination=destination.url),
    }


def progress(totals: Totals, ceiling: Ceiling, pace: Pace) -> str:
    """Say in one line how far a batch has come."""
    left = totals.open * pace.seconds_per_image
    return (
        f"{totals.counts[RowStatus.SUCCEEDED]} of {totals.images} images done, {totals.counts[RowStatus.FAILED]} failed, "
        f"{totals.in_flight} in flight, {3600 / pace.seconds_per_image:.0f} an hour, about {duration(left)} left, "
        f"{ceiling.cost(totals.billed)} CNY so far."
    )


def write_manifests(
    rows: Iterable[dict[str, Any]],
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
    with tempfile.TemporaryDirectory(prefix="wanx-manifest-") as directory:
        paths = {name: Path(directory) / f"{MANIFEST}.{name}" for name in formats}
        with ExitStack() as stack:
            writers = [stack.enter_context(_WRITERS[name](path, own_columns)) for name, path in paths.items()]
            remaining = iter(rows)
            while some := list(islice(remaining, 1_000)):
                for write in writers:
                    write(some)
        for name, path in paths.items():
            upload(path, path.name, FORMATS[name])
            if name == "jsonl":
                upload(path.with_name(INDEX), INDEX, "application/json")


_Write = Callable[[list[dict[str, Any]]], None]


@contextmanager
def _json_lines(path: Path, _own_columns: Sequence[str], *, step: int = 100) -> Iterator[_Write]:
    """Write rows as lines of JSON, and beside them an index: at which byte every hundredth row begins."""
    index: dict[str, Any] = {"rows": 0, "step": step, "bytes": 0, "offsets": []}
    with path.open("wb") as file:

        def write(rows: list[dict[str, Any]]) -> None:
            for row in rows:
                if index["rows"] % step == 0:
                    index["offsets"].append(file.tell())
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                index["rows"] += 1
            index["bytes"] = file.tell()

        yield write
    path.with_name(INDEX).write_text(json.dumps(index))


@contextmanager
def _parquet(path: Path, own_columns: Sequence[str]) -> Iterator[_Write]:
    """Write rows as a Parquet file. Own columns are text there, or JSON, because their types may differ from row to row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"int": "int64", "float": "float64", "str": "string"}
    columns = COLUMNS | dict.fromkeys(own_columns, "str")
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(path, schema) as writer:

        def write(rows: list[dict[str, Any]]) -> None:
            table = {name: [_cell(name, row.get(name)) for row in rows] for name in schema.names}
            writer.write_table(pa.table(table, schema=schema))

        yield write


def _cell(name: str, value: Any) -> Any:
    is_text = value is None or name in COLUMNS or isinstance(value, str)
    return value if is_text else json.dumps(value, ensure_ascii=False)


_WRITERS: dict[str, Callable[[Path, Sequence[str]], AbstractContextManager[_Write]]] = {
    "jsonl": _json_lines,
    "parquet": _parquet,
}
