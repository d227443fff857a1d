"""docs/mutation.json, and the part of docs/mutation.md between two marks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from importlib.metadata import version

from tests.mutation.mutants import ROOT, Mutant, Outcome
from tests.reports.marked import replace_part, table

DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Score:
    """How many mutants of a module were made, and what became of them."""

    module: str
    mutants: int
    killed: int
    timeout: int
    survived: int

    @property
    def percent(self) -> float:
        """Part of the mutants that some test has noticed."""
        return 100 * (self.killed + self.timeout) / self.mutants


def scores(results: Sequence[tuple[Mutant, Outcome]]) -> list[Score]:
    """Return the score of each module, and of all together as the last one."""
    counts: dict[str, Counter[Outcome]] = {}
    for mutant, outcome in results:
        counts.setdefault(mutant.module, Counter())[outcome] += 1
    rows = [_score(module, counts[module]) for module in sorted(counts)]
    return [*rows, _score("all", sum(counts.values(), Counter()))]


def _score(module: str, count: Counter[Outcome]) -> Score:
    return Score(
        module, count.total(), count[Outcome.KILLED], count[Outcome.TIMEOUT], count[Outcome.SURVIVED]
    )


def write(results: Sequence[tuple[Mutant, Outcome]], reasons: Mapping[Mutant, str]) -> None:
    """Write figures and page.

    :param results: all mutants
    :param reasons: why those that survived may
    """
    rows = scores(results)
    survivors = sorted(
        {mutant for mutant, outcome in results if outcome is Outcome.SURVIVED},
        key=lambda each: (each.module, reasons[each], each.place, each.change),
    )
    figures = {
        "tool": f"mutmut {version('mutmut')}",
        "modules": [{**asdict(row), "percent": round(row.percent, 1)} for row in rows],
        "survivors": [{**asdict(mutant), "why": reasons[mutant]} for mutant in survivors],
    }
    (DOCS / "mutation.json").write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n")
    page = DOCS / "mutation.md"
    text = "\n".join([_table(rows), "", *_survivors(survivors, reasons)])
    replace_part(page, "mutants", text)


def _table(rows: Sequence[Score]) -> str:
    cells = [
        ("all" if row is rows[-1] else f"`{row.module}`", *astuple(row)[1:], f"{row.percent:.1f} %")
        for row in rows
    ]
    head = ("Module", "Mutants", "Killed", "Without end", "Survived", "Noticed")
    return table(head, cells, amounts=range(1, 6))


def _survivors(survivors: Sequence[Mutant], reasons: Mapping[Mutant, str]) -> list[str]:
    """Group them by module and reason, each with its change as a diff."""
    lines = ["## What survives, and why it may", ""]
    module = why = ""
    for mutant in survivors:
        if mutant.module != module:
            module, why = mutant.module, ""
            lines += [f"### `{module}`", ""]
        if reasons[mutant] != why:
            why = reasons[mutant]
            lines += [why, ""]
        before, _, after = mutant.change.partition(" => ")
        head = [f"# {mutant.place}"] if mutant.place else []
        lines += ["```diff", *head, f"- {before}", f"+ {after}", "```", ""]
    return lines
