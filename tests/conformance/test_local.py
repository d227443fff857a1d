"""The whole list of facts, asked of the local DashScope in real time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.__main__ import HOLDS, main
from tests.conformance.facts import FACTS
from tests.conformance.points import FACTS_NOT_OBSERVABLE, POINTS_NOT_OBSERVABLE
from tests.conformance.test_points import POINTS
from tests.conformance.wire import MOST_IMAGES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one run has left its report."""
    folder = tmp_path_factory.mktemp("conformance")
    code = main(["--report", str(folder)])
    document = json.loads((folder / "conformance.json").read_text(encoding="utf-8"))
    differing = {each["name"]: each["seen"] for each in document["facts"] if each["verdict"] != "holds"}
    assert (code, differing) == (HOLDS, {})
    return folder


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, Any]:
    """The report as JSON."""
    document: dict[str, Any] = json.loads((folder / "conformance.json").read_text(encoding="utf-8"))
    return document


def test_every_fact_holds_for_the_price_of_five_images(document: dict[str, Any]) -> None:
    assert [each["name"] for each in document["facts"]] == [fact.name for fact in FACTS]
    assert (document["images_paid"], document["images_unsettled"]) == (MOST_IMAGES, 0)
    assert document["cost"] == {"amount": "0.60", "currency": "CNY"}


def test_the_report_says_of_every_point_of_the_page_what_was_seen(document: dict[str, Any]) -> None:
    points = {each["name"]: each for each in document["points"]}
    assert set(points) == set(POINTS)
    unseen = {name for name, each in points.items() if each["verdict"] == "not observed"}
    assert unseen == set(POINTS_NOT_OBSERVABLE)
    assert all(each["seen"] for each in points.values())


def test_the_markdown_can_be_pasted(folder: Path, document: dict[str, Any]) -> None:
    text = (folder / "conformance.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(("| `", "| price"))]
    assert len(rows) == len(POINTS) + len(FACTS) + 1
    assert all(f"| {name} | {reason} |" in text for name, reason in FACTS_NOT_OBSERVABLE.items())
    assert all(len(re.findall(r"(?<!\\)\|", line)) in (5, 6) for line in rows if line.startswith("| `"))
    assert f"{document['images_paid']} images paid for, 0.60 CNY" in text
