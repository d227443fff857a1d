"""JSONL, CSV and Parquet, each read as a stream of records."""

from __future__ import annotations

import base64
import csv
import datetime
import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from airflow_provider_wanx.batch.input.rows import InvalidRow
from airflow_provider_wanx.dashscope.errors import InvalidInputError

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

    import pyarrow as pa

Record = tuple[str, Mapping[str, Any]]
"""Where it stands in the file, and its cells by column."""

_ROWS_AT_ONCE = 1000


class Reader(Protocol):
    """Reads one format."""

    def __call__(self, file: BinaryIO, *, what: str) -> Iterator[Record | InvalidRow]:
        """Read records.

        :param file: open at its beginning.
        :param what: the file's name for messages.
        :raises InvalidInputError: it is not of this format.
        """
        ...


def read_jsonl(file: BinaryIO, *, what: str) -> Iterator[Record | InvalidRow]:
    """Read a file with a JSON object in every line."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidInputError(f"{what}, line {number} is no JSON: {error}.") from None
            if not isinstance(record, dict):
                raise InvalidInputError(f"{what}, line {number} is no JSON object.")
            yield f"line {number}", record


def read_csv(file: BinaryIO, *, what: str) -> Iterator[Record | InvalidRow]:
    """Read a file with commas between cells and the columns' names in its first row."""
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
        rows = _csv_rows(csv.reader(lines, strict=True), what)
        header = _header(next(rows, ("", []))[1], what)
        for place, cells in rows:
            if len(cells) == len(header):
                yield place, dict(zip(header, cells, strict=True))
            else:
                yield InvalidRow(place, f"it has {len(cells)} cells, and the header has {len(header)}")


def _csv_rows(reader: CsvReader, what: str) -> Iterator[tuple[str, list[str]]]:
    first_line = 1
    try:
        for cells in reader:
            if cells:
                yield f"line {first_line}", cells
            # Quoted cells may hold line breaks: a row is called by its first line.
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidInputError(f"{what}, line {first_line} is no CSV: {error}.") from None


def _header(cells: list[str], what: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InvalidInputError(f"{what} has more than one column named {', '.join(map(repr, twice))}.")
    return header


def read_parquet(file: BinaryIO, *, what: str) -> Iterator[Record | InvalidRow]:
    """Read a Parquet file, some rows of it at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        # Without a buffer of its own, and with pre-buffering, a whole group of rows is read ahead.
        parquet = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        for batch in parquet.iter_batches(batch_size=_ROWS_AT_ONCE):
            for record in _with_texts_for_times(batch).to_pylist():
                number += 1
                yield f"row {number}", record
    except (pa.ArrowException, ValueError) as error:
        raise InvalidInputError(f"{what} cannot be read as Parquet after row {number}: {error}.") from None


def _with_texts_for_times(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Let Arrow write times, because Python's have no nanoseconds."""
    import pyarrow as pa

    for index, column in enumerate(batch.schema):
        if pa.types.is_timestamp(column.type) or pa.types.is_time(column.type):
            batch = batch.set_column(index, column.name, batch.column(index).cast(pa.string()))
    return batch


READERS: Mapping[str, Reader] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
"""How to read a file, by its extension."""


def json_value(cell: Any) -> Any:
    """Turn a cell into what JSON can hold: a number that is none into null, and whatever has no place in JSON into text."""
    match cell:
        case None | bool() | int() | str():
            return cell
        case float():
            return None if math.isnan(cell) else cell if math.isfinite(cell) else str(cell)
        case dict():
            return {str(key): json_value(value) for key, value in cell.items()}
        case list() | tuple():
            return [json_value(value) for value in cell]
        case bytes():
            return _text(cell)
        case datetime.date() | datetime.time():
            return cell.isoformat()
        case _:
            return str(cell)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(content).decode()
