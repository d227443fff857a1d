"""Tables of figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
Rows = Sequence[Row]
Column = tuple[str, Callable[[Row], str]]


Section = Callable[[Rows], str]


def section(*benches: str) -> Callable[[Section], Section]:
    """Make a section of the rows of some benches; where there are none, it is left out."""

    def decorate(write: Section) -> Section:
        def written(rows: Rows) -> str:
            found = [row for row in rows if row["bench"] in benches]
            return write(found) if found else ""

        return written

    return decorate


def table(rows: Rows, columns: Sequence[Column]) -> str:
    """Write a table.

    :param columns: titles, and what shows a row's cell
    """
    lines = [
        "| " + " | ".join(title for title, _ in columns) + " |",
        "|" + "|".join("---" if number == 0 else "---:" for number in range(len(columns))) + "|",
    ]
    lines += ["| " + " | ".join(show(row) for _, show in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def number(key: str, *, digits: int = 0, factor: float = 1.0, unit: str = "") -> Callable[[Row], str]:
    """Show a figure.

    :param digits: behind the point
    :param factor: what it is multiplied by
    :param unit: written after it
    """

    def show(row: Row) -> str:
        value = row.get(key)
        return "–" if value is None else f"{value * factor:,.{digits}f}{unit}"

    return show
