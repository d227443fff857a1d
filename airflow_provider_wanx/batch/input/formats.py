"""JSONL, CSV and Parquet, each read as a stream of records."""

from __future__ import annotations

import base64
import codecs
import csv
import datetime
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_wanx.batch.input.rows import InvalidRow
from airflow_provider_wanx.dashscope.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Record = tuple[str, Mapping[str, Any]]
"""Where it stands in the file, and its cells by column."""

ROW_CHARACTERS = 16 * 1024 * 1024
"""Characters of one row of text: an inlined picture of 10 MB has 14 million."""

GROUP_BYTES = 1024**3
"""Bytes of one group of rows in Parquet, uncompressed."""


def read_jsonl(file: BinaryIO, what: str) -> Iterator[Record | InvalidRow]:
    """Read a file with a JSON object in every line."""
    with closing(_Lines(file, what=what)) as lines:
        for line in lines.texts():
            lines.row_ends()
            if not line.strip():
                continue
            place = f"line {lines.number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidInputError(f"{what}, {place} is no JSON: {error}.") from None
            if not isinstance(record, dict):
                raise InvalidInputError(f"{what}, {place} is no JSON object.")
            yield place, record


def read_csv(file: BinaryIO, what: str) -> Iterator[Record | InvalidRow]:
    """Read a file of cells, with the columns' names in its first row, as spreadsheets write them.

    Between the cells are commas, semicolons or tabs: what a first line like ``sep=;`` says, or else whatever gives the first
    row a cell ``image``. Rows without any text are no rows, and empty cells behind the last column are none.
    """
    with closing(_Lines(file, what=what)) as lines:
        rows = _csv_rows(lines, what)
        header = _header(next(rows, ("", []))[1], what)
        for place, cells in rows:
            if len(cells) == len(header) or (len(cells) > len(header) and not any(cells[len(header) :])):
                yield place, dict(zip(header, cells, strict=False))
            else:
                yield InvalidRow(place, f"it has {len(cells)} cells, and the header has {len(header)}")


class _Lines:
    """The lines of a text; no row is longer than a row may be, and there are not more than some for each row of a batch."""

    most = 5_000_000

    def __init__(self, file: BinaryIO, *, what: str) -> None:
        self.number = 0
        self._what = what
        # Spreadsheets write "Unicode text" in UTF-16, with a mark at its beginning.
        buffered = io.BufferedReader(cast("io.RawIOBase", file))
        encoding = (
            "utf-16" if buffered.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        )
        self._text = io.TextIOWrapper(buffered, encoding=encoding, newline="")
        self._size = 0

    def texts(self) -> Iterator[str]:
        """Go through the lines; :meth:`row_ends` says when a row is complete, which may have several."""
        while line := self._text.readline(ROW_CHARACTERS + 1 - self._size):
            self._size += len(line)
            self.number += 1
            if self._size > ROW_CHARACTERS:
                raise InvalidInputError(
                    f"{self._what}, line {self.number} is too long for a row: it has more than {ROW_CHARACTERS:,} characters."
                )
            if self.number > self.most:
                raise InvalidInputError(f"{self._what} has more than {self.most:,} lines. Divide it.")
            yield line

    def row_ends(self) -> None:
        """Say that what is read next is another row."""
        self._size = 0

    def close(self) -> None:
        """Close the file."""
        self._text.close()


def _csv_rows(lines: _Lines, what: str) -> Iterator[tuple[str, list[str]]]:
    """Go through all rows with text in them, each called by its first line: quoted cells may hold line breaks."""
    # Python's own limit is shorter than an inlined picture. What a row may hold is bounded by its lines.
    csv.field_size_limit(ROW_CHARACTERS)
    texts = lines.texts()
    first = next(texts, "")
    if separator := re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE):
        delimiter = separator[1]
    else:
        delimiter = _delimiter(first)
        texts = chain([first], texts)
    first_line = lines.number + bool(separator)
    try:
        for cells in csv.reader(texts, delimiter=delimiter, strict=True):
            lines.row_ends()
            if any(cell.strip() for cell in cells):
                yield f"line {first_line}", cells
            first_line = lines.number + 1
    except csv.Error as error:
        raise InvalidInputError(f"{what}, line {first_line} is no CSV: {error}.") from None


def _delimiter(header: str) -> str:
    """Find out what stands between the cells of a header."""
    for delimiter in ",;\t":
        names = next(csv.reader([header], delimiter=delimiter), [])
        if "image" in [name.strip() for name in names]:
            return delimiter
    return ","


def _header(cells: list[str], what: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    while header and not header[-1]:
        header.pop()
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InvalidInputError(f"{what} has more than one column named {', '.join(map(repr, twice))}.")
    return header


def read_parquet(file: BinaryIO, what: str) -> Iterator[Record | InvalidRow]:
    """Read a Parquet file, some rows of it at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        # Without a buffer of its own, and with pre-buffering, a whole group of rows is read ahead.
        parquet = pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        _check_sizes(parquet, what)
        for batch in parquet.iter_batches(batch_size=200):
            for record in _with_texts_for_times(batch).to_pylist():
                number += 1
                yield f"row {number}", record
    except (pa.ArrowException, ValueError, OSError, OverflowError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(f"{what} cannot be read as Parquet after row {number}: {error}.") from None


def _check_sizes(parquet: pq.ParquetFile, what: str) -> None:
    """Refuse a file of which a group of rows would not fit into memory."""
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        if group.total_byte_size > GROUP_BYTES:
            raise InvalidInputError(
                f"{what} has {group.total_byte_size:,} bytes in one group of rows, more than {GROUP_BYTES:,}. "
                "Write it with smaller groups."
            )


def _with_texts_for_times(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Let Arrow write times, because Python's have no nanoseconds."""
    import pyarrow as pa

    for index, column in enumerate(batch.schema):
        if pa.types.is_timestamp(column.type) or pa.types.is_time(column.type):
            batch = batch.set_column(index, column.name, batch.column(index).cast(pa.string()))
    return batch


READERS: Mapping[str, Callable[[BinaryIO, str], Iterator[Record | InvalidRow]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
"""How to read a file by its extension: open at its beginning, with its name for messages."""


def json_value(cell: Any, *, levels: int = 100) -> Any:
    """Turn a cell into what JSON can hold: a number that is none into null, and whatever has no place in JSON into text.

    :param levels: of lists and objects within each other. How many JSON may have differs between versions of Python.
    :raises ValueError: it is nested too deeply.
    """
    if not levels:
        raise ValueError("it is nested too deeply")
    match cell:
        case None | bool() | int() | str():
            return cell
        case float():
            return None if math.isnan(cell) else cell if math.isfinite(cell) else str(cell)
        case dict():
            return {str(key): json_value(value, levels=levels - 1) for key, value in cell.items()}
        case list() | tuple():
            return [json_value(value, levels=levels - 1) for value in cell]
        case bytes():
            return _text(cell)
        case Decimal() if cell.is_finite() and cell.as_tuple().exponent == 0:
            return int(cell)
        case Decimal() if cell.is_finite() and Decimal(repr(float(cell))) == cell:
            return float(cell)
        case datetime.date() | datetime.time():
            return cell.isoformat()
        case _:
            return str(cell)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return base64.b64encode(content).decode()
