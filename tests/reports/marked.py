"""Parts of pages that runs write, between two marks."""

from __future__ import annotations

from pathlib import Path


def replace_part(page: Path, name: str, text: str) -> None:
    """
    Write what is between two marks of a page anew.

    :param page: the page
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
