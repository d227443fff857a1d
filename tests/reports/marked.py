"""What runs write into pages: tables, and parts between two marks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, amounts: Collection[int] = ()) -> str:
    """Make a table of Markdown, without a line break at its end.

    :param amounts: numbers of the columns whose cells stand at the right, from 0
    """
    marks = ["---:" if number in amounts else "---" for number in range(len(head))]
    return "\n".join(f"| {' | '.join(map(one_line, line))} |" for line in (head, marks, *rows))


def one_line(cell: object) -> str:
    """Write what may stand in a cell of a table."""
    return " ".join(str(cell).split()).replace("|", r"\|")


def replace_part(page: Path, name: str, text: str) -> None:
    """Write what is between two marks of a page anew.

    :param name: of the part, as its marks have it
    :param text: what goes between them; it ends with a line break
    :raises ValueError: when the marks are not there
    """
    begin, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, has_begin, rest = page.read_text().partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise ValueError(f"{page} lacks the marks of {name}, between which the figures belong")
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")
