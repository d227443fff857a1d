"""What the matrix makes of the output of other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.matrix import trying
from tests.matrix.environments import find_python
from tests.matrix.lines import all_rows
from tests.stack import StackError


def test_a_python_that_is_not_there_is_not_run_and_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "find_python", lambda version, more: None)
    monkeypatch.setattr(trying, "build_wheel", lambda: Path("wheel.whl"))
    row = all_rows()[0]
    kept: list[Any] = []
    (record,) = trying.try_all([row], pythons=[], lanes=1, keep=kept.append)
    assert kept == [record]
    assert (record["ran"], record["ok"]) == (False, False)
    assert record["problems"] == [f"not run: there is no Python {row.python} on this machine"]


def test_the_interpreter_that_was_given_is_used_if_it_is_of_that_version() -> None:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_python(own, (Path(sys.executable),)) == Path(sys.executable)
    assert find_python("3.0", (Path(sys.executable), Path("/nowhere/python"))) is None


def test_a_suite_that_failed_is_told_by_its_tests() -> None:
    failed = "\n".join(f"FAILED tests/unit/test_x.py::test_{number} - assert 0" for number in range(7))
    told = trying._reason(StackError(f"unit failed (exit 1)\n{failed}\n7 failed, 3 passed"))
    assert told.startswith("tests/unit/test_x.py::test_0 - assert 0; ")
    assert told.endswith("test_4 - assert 0 and 2 more")


def test_tests_are_counted_and_those_that_were_left_out_by_their_subjects(tmp_path: Path) -> None:
    results = tmp_path / "unit.xml"
    results.write_text('<testsuites><testsuite tests="12" failures="0" errors="0" skipped="2"/></testsuites>')
    assert trying._counts(results) == {"passed": 10, "skipped": 2}
    text = (
        "== absent on Airflow 2.11.2: 131 tests left out ==\nabsent: the gallery (Airflow 3.1): 130 tests\n"
    )
    assert [match.groups() for match in trying._LEFT_OUT.finditer(text)] == [
        ("the gallery (Airflow 3.1)", "130")
    ]
