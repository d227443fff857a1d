"""Why mutants may survive: ``reasons.toml``, written by people and checked at every run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from tests.mutation.mutants import Mutant

FILE = Path(__file__).with_name("reasons.toml")


def read() -> dict[Mutant, str]:
    """Return the reason for each mutant that has one.

    :raises ValueError: an entry has no reason, or a mutant has two.
    """
    reasons: dict[Mutant, str] = {}
    for entry in tomllib.loads(FILE.read_text())["survivors"]:
        why = " ".join(entry["why"].split())
        for change in entry["changes"]:
            mutant = Mutant(entry["module"], entry.get("place", ""), change)
            if not why or mutant in reasons:
                raise ValueError(f"{FILE.name}: no reason, or two of them: {mutant}")
            reasons[mutant] = why
    return reasons


def draft(mutants: Iterable[Mutant]) -> str:
    """Return entries for the file, whose reasons are left to be written."""
    entries: dict[tuple[str, str], list[str]] = {}
    for mutant in mutants:
        entries.setdefault((mutant.module, mutant.place), []).append(mutant.change)
    lines = []
    for (module, place), changes in entries.items():
        lines += ["[[survivors]]", f'module = "{module}"', f'place = "{place}"', 'why = ""', "changes = ["]
        lines += [f"  '''{change}'''," for change in dict.fromkeys(changes)]
        lines += ["]", ""]
    return "\n".join(lines)
