"""What was found out, as Markdown to be pasted into an issue and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from airflow_provider_wanx.dashscope.repaint import CURRENCY, REPAINT_PRICE
from tests.conformance.core import Finding, Known, Verdict
from tests.conformance.points import FACTS_NOT_OBSERVABLE, POINTS_NOT_OBSERVABLE
from tests.reports.marked import table

DISTRIBUTION = "airflow-provider-wanx"


@dataclass(frozen=True, kw_only=True)
class Report:
    """The findings of one run.

    :param target: what was asked, without names of the account.
    :param began: when.
    :param findings: one for each fact.
    :param paid: images that were paid for, as the answers count them.
    :param unsettled: images that may have to be paid for, because no end of their tasks was seen.
    """

    target: str
    began: datetime
    findings: Sequence[Finding]
    paid: int
    unsettled: int

    @property
    def differing(self) -> list[Finding]:
        """Facts that are documented or recorded, and do not hold."""
        return [
            each
            for each in self.findings
            if each.verdict is Verdict.DIFFERS and each.fact.known is not Known.OPEN
        ]

    def write(self, folder: Path) -> None:
        """Write ``conformance.md`` and ``conformance.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "conformance.md").write_text(self.markdown(), encoding="utf-8")
        (folder / "conformance.json").write_text(
            json.dumps(self.document(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    def spent(self) -> str:
        """Say what the run has cost."""
        text = f"{self.paid} images paid for, {self.paid * REPAINT_PRICE} {CURRENCY}"
        if self.unsettled:
            text += f"; {self.unsettled} more may have to be paid for, because the ends of their tasks were not seen"
        return text

    def markdown(self) -> str:
        """Write the report, the part that is to be pasted first."""
        counts = Counter(each.verdict for each in self.findings)
        summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
        when = f"{self.began:%Y-%m-%d %H:%M} UTC, {DISTRIBUTION} {version(DISTRIBUTION)}"
        parts = [
            f"# Conformance of {self.target}",
            f"{when}. {len(self.findings)} facts: {summary}. {self.spent()}.",
            "## Open points of docs/service.md",
            table(("Point", "Known", "Verdict", "Seen"), map(_point_cells, self._points())),
            "## All facts",
            table(("Fact", "Expected", "Known", "Seen", "Verdict"), map(_fact_cells, self.findings)),
            "## Not observable in one run",
            table(("Fact", "Why"), FACTS_NOT_OBSERVABLE.items()),
        ]
        return "\n\n".join(parts) + "\n"

    def document(self) -> dict[str, Any]:
        """Return the same as plain values."""
        return {
            "target": self.target,
            "began": self.began.isoformat(timespec="seconds"),
            "version": version(DISTRIBUTION),
            "images_paid": self.paid,
            "images_unsettled": self.unsettled,
            "cost": {"amount": str(self.paid * REPAINT_PRICE), "currency": CURRENCY},
            "facts": [
                {
                    "name": each.fact.name,
                    "expected": each.fact.claim,
                    "known": each.fact.known,
                    "source": each.fact.source,
                    "point": each.fact.point,
                    "seen": each.seen,
                    "verdict": each.verdict,
                }
                for each in self.findings
            ],
            "points": [
                {"name": name, "known": known, "verdict": verdict, "seen": seen}
                for name, known, verdict, seen in self._points()
            ],
            "not_observable": FACTS_NOT_OBSERVABLE,
        }

    def _points(self) -> list[tuple[str, str, Verdict, str]]:
        """What became of each point of the page: the worst of its facts, open ones first."""
        named: dict[str, list[Finding]] = {}
        for each in self.findings:
            if each.fact.point is not None:
                named.setdefault(each.fact.point, []).append(each)
        worst = (Verdict.DIFFERS, Verdict.NOT_OBSERVED, Verdict.HOLDS)
        rows = [
            (
                name,
                str(found[0].fact.known),
                min((each.verdict for each in found), key=worst.index),
                "; ".join(f"expected: {each.fact.claim}. Seen: {each.seen}" for each in found),
            )
            for name, found in named.items()
        ]
        unseen = [
            (name, str(known), Verdict.NOT_OBSERVED, f"not observable in one run: {reason}")
            for name, (known, reason) in POINTS_NOT_OBSERVABLE.items()
        ]
        return sorted([*rows, *unseen], key=lambda row: row[1] != Known.OPEN)


def _point_cells(point: tuple[str, str, Verdict, str]) -> tuple[str, ...]:
    name, known, verdict, seen = point
    return (f"`{name}`", known, f"**{verdict}**", seen)


def _fact_cells(found: Finding) -> tuple[str, ...]:
    fact = found.fact
    return (f"`{fact.name}`", fact.claim, f"{fact.known}: {fact.source}", found.seen, f"**{found.verdict}**")
