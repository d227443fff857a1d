"""The table: as JSON, and between two marks in the page about reliability."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.reports.marked import replace_part, table
from tests.system.faults.support.case import Row

_NAME = "reliability"
_HEAD = ("Fault", "Injected", "Submissions", "Billed", "Objects", "States", "")


def write(rows: Sequence[Row], *, folder: Path, played_on: str) -> None:
    """Write the table.

    :param folder: where ``reliability.json`` goes, and where the table in ``reliability.md`` is replaced, if that is there
    :param played_on: what it was found out with
    """
    found = [_public(row) for row in rows]
    folder.joinpath(f"{_NAME}.json").write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    page = folder / f"{_NAME}.md"
    if not page.exists():
        return
    replace_part(page, "faults", _table(found, played_on))


def _public(row: Row) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "problems"}


def _table(rows: Sequence[dict[str, Any]], played_on: str) -> str:
    good = sum(row["ok"] for row in rows)
    return (
        f"{good} of {len(rows)} rows are as they must be. {played_on}\n\n{table(_HEAD, map(_cells, rows))}\n"
    )


def _cells(row: dict[str, Any]) -> list[str]:
    images = f" × {row['images']} images" if row["images"] > 1 else ""
    submissions = f"{row['submissions']} of {row['submissions_allowed']}{images}"
    verdict = "ok" if row["ok"] else "**not ok**"
    return [
        row["fault"],
        row["injected"],
        submissions,
        str(row["billed"]),
        str(row["objects"]),
        row["states"],
        verdict,
    ]
