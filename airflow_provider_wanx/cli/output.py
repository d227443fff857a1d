"""What commands print: tables for people, JSON for programs; what is no result goes to the error stream."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

Row = Mapping[str, Any]

_RESULTS: ContextVar[TextIO | None] = ContextVar("airflow_provider_wanx_results", default=None)


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """Send whatever else is printed inside, such as Airflow's own log, to the error stream."""
    token = _RESULTS.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
        sys.stdout.flush()
    finally:
        _RESULTS.reset(token)


def results() -> TextIO:
    """Return the stream that results go to."""
    return _RESULTS.get() or sys.stdout


def print_rows(rows: Sequence[Row], columns: Sequence[str], *, output: str) -> None:
    """Print rows as a table or as a JSON array.

    :param columns: names of the columns, which are keys of the rows; JSON has all keys.
    :param output: ``table`` or ``json``.
    """
    if output == "json":
        _print_json([dict(row) for row in rows])
        return
    heads = [column.replace("_", " ").upper() for column in columns]
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    _print_table(heads, cells)


def print_record(record: Row, *, output: str) -> None:
    """Print one thing as lines of name and value, or as a JSON object.

    :param output: ``table`` or ``json``.
    """
    if output == "json":
        _print_json(dict(record))
        return
    _print_table([], [[name.replace("_", " "), _cell(value)] for name, value in record.items()])


def say(message: str) -> None:
    """Print what is not the result, such as progress, to the error stream."""
    sys.stderr.write(f"{_plain(message)}\n")
    sys.stderr.flush()


def iso(moment: datetime | None) -> str | None:
    """Write a time in UTC, to the second: the service tells some in China's time, and some in UTC."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds")


def _print_json(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    # JSON asks for less to be escaped than may be dangerous to a terminal.
    safe = "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)
    results().write(safe + "\n")


def _plain(text: str) -> str:
    """Leave out what could steer a terminal, or turn its writing around: services, buckets and files may have said it."""
    return "".join(each if each.isprintable() else " " for each in text)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return "\n".join(_plain(str(each)) for each in value) or "-"
    return _plain(str(value))


def _print_table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    lines = [list(heads)] if heads else []
    for row in cells:
        parts = [cell.split("\n") for cell in row]
        lines += [
            [part[number] if number < len(part) else "" for part in parts]
            for number in range(max(map(len, parts)))
        ]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        results().write("  ".join(padded).rstrip() + "\n")


def _width(text: str) -> int:
    """Columns that a text takes in a terminal, where Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)
