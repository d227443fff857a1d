"""The threat model: each row of its table names who, what, and a test that exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("## Who may do what")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| Who")
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:50])
def test_each_way_in_is_tried_by_tests_that_exist(row: list[str]) -> None:
    who, tried, holds, _, tests = row
    named = re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)*)`", tests)

    assert who
    assert tried
    assert holds
    assert named
    assert tests.count("`") == 2 * len(named)
    for file, names in named:
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in filter(None, names.split("::")):
            assert re.search(rf"(def|class) {name}\b", text), f"{file}::{name}"


def test_each_person_of_the_table_is_introduced() -> None:
    introduced = {name.casefold() for name in re.findall(r"\*([A-Z]?[\w -]+)\*", TEXT)}

    assert {row[0].casefold() for row in ROWS} <= introduced


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        # h11 before 0.16 took malformed chunks for a body; httpcore is what brings it.
        ("httpcore", "1.0.9"),
        # Decoding some JPEGs wrote beyond a buffer.
        ("pillow", "13.0.0"),
        # Headers and line breaks without end took time without end.
        ("python-multipart", "0.0.32"),
        # A large file in a form stopped the event loop. Airflow 3.1 takes none of the versions that close later holes.
        ("starlette", "0.47.2"),
    ],
)
def test_no_version_with_a_known_hole_is_allowed(name: str, fixed: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        each.name: each.specifier
        for text in (*project["dependencies"], *project["optional-dependencies"]["simulator"])
        for each in [Requirement(text)]
    }
    before = (
        f"{fixed.rpartition('.')[0]}.{int(fixed.rpartition('.')[2]) - 1}" if fixed[-1] != "0" else "12.99"
    )

    assert wanted[name].contains(fixed)
    assert not wanted[name].contains(before)
