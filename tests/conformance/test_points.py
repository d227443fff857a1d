"""The list of facts, held against ``docs/service.md``."""

from __future__ import annotations

import re

from tests.conformance.core import Known
from tests.conformance.facts import FACTS
from tests.conformance.points import FACTS_NOT_OBSERVABLE, POINTS_NOT_OBSERVABLE
from tests.stack import ROOT

PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
_POINT = re.compile(r'<a id="([\w-]+)"></a>`([\w-]+)`')
POINTS = [name for name, _ in _POINT.findall(PAGE)]


def test_every_row_of_the_page_has_a_name_that_can_be_linked_to() -> None:
    tables = PAGE.partition("## How this is checked")[0]
    rows = [line for line in tables.splitlines() if re.match(r"\| (?!-)", line)]
    heads = [line for line in rows if line.startswith("| Point |")]
    assert len(rows) - len(heads) == len(POINTS) == len(set(POINTS))
    assert all(anchor == name for anchor, name in _POINT.findall(PAGE))


def test_every_point_of_the_page_has_a_fact_or_a_reason_why_it_cannot_be_observed() -> None:
    looked_for = {fact.point for fact in FACTS if fact.point is not None}
    assert looked_for | set(POINTS_NOT_OBSERVABLE) == set(POINTS)
    assert not looked_for & set(POINTS_NOT_OBSERVABLE)


def test_what_is_open_on_the_page_is_open_in_the_list_and_the_other_way_round() -> None:
    unconfirmed = PAGE.partition("## What recordings show")[0]
    nothing_known = [line for line in PAGE.splitlines() if re.search(r"\| nothing \|", line)]
    on_page = {name for name, _ in _POINT.findall(unconfirmed + "\n".join(nothing_known))}
    open_facts = {fact.point for fact in FACTS if fact.known is Known.OPEN}
    assert None not in open_facts
    assert on_page - set(POINTS_NOT_OBSERVABLE) - open_facts <= {"time-zone"}
    assert open_facts - on_page <= {"list-time-filter"}


def test_names_are_used_once() -> None:
    names = [fact.name for fact in FACTS]
    assert len(names) == len(set(names))
    assert not set(names) & set(FACTS_NOT_OBSERVABLE)


def test_the_page_about_live_runs_counts_the_facts() -> None:
    page = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert f"what a client can observe of the service: {len(FACTS)} of them" in page
