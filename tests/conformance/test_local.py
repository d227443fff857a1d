"""The whole list of facts, asked of the local DashScope in real time."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.conformance.__main__ import HOLDS, main
from tests.conformance.facts import FACTS
from tests.conformance.points import FACTS_NOT_OBSERVABLE, POINTS_NOT_OBSERVABLE
from tests.conformance.service.purse import MOST_IMAGES
from tests.conformance.test_points import POINTS


# One test, so that there is one run, which takes half a minute.
def test_every_fact_holds_for_five_images_and_the_report_can_be_pasted(tmp_path: Path) -> None:
    code = main(["--report", str(tmp_path)])
    document = json.loads((tmp_path / "conformance.json").read_text(encoding="utf-8"))
    differing = {each["name"]: each["seen"] for each in document["facts"] if each["verdict"] != "holds"}
    assert (code, differing) == (HOLDS, {})
    assert [each["name"] for each in document["facts"]] == [fact.name for fact in FACTS]
    assert (document["images_paid"], document["images_unsettled"]) == (MOST_IMAGES, 0)
    assert document["cost"] == {"amount": "0.60", "currency": "CNY"}

    points = {each["name"]: each for each in document["points"]}
    assert set(points) == set(POINTS)
    unseen = {name for name, each in points.items() if each["verdict"] == "not observed"}
    assert unseen == set(POINTS_NOT_OBSERVABLE)
    assert all(each["seen"] for each in points.values())

    text = (tmp_path / "conformance.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(POINTS) + len(FACTS)
    # A table of four columns and one of five, whatever was seen.
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {5, 6}
    assert all(f"| {name} | {reason} |" in text for name, reason in FACTS_NOT_OBSERVABLE.items())
    assert f"{MOST_IMAGES} images paid for, 0.60 CNY" in text
