"""What a run of the matrix writes down, and that nothing of it is lost or different in two places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.matrix import report
from tests.matrix.lines import all_rows, read_lines
from tests.stack import ROOT


def record(airflow: str = "3.1.8", python: str = "3.11", **fields: Any) -> dict[str, Any]:
    pins = f"airflow-{airflow.rpartition('.')[0]}.txt"
    return {
        "airflow": airflow,
        "python": python,
        "pins": pins,
        "ran": True,
        "ok": True,
        "absent": [],
        "problems": [],
        **fields,
    }


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "_FIGURES", tmp_path / "compatibility.json")
    monkeypatch.setattr(report, "_PAGE", tmp_path / "compatibility.md")
    return tmp_path


def test_a_run_of_one_row_leaves_the_records_of_the_others(docs: Path) -> None:
    order = [("airflow-2.11.txt", "3.11"), ("airflow-3.1.txt", "3.11")]
    report.keep(record("3.1.8"), order=order)
    report.keep(record("2.11.2", ok=False, problems=["unit: 3 failed"]), order=order)
    report.keep(record("2.11.2", seconds=5), order=order)
    written = json.loads((docs / "compatibility.json").read_text())
    assert [(each["airflow"], each.get("seconds")) for each in written] == [("2.11.2", 5), ("3.1.8", None)]
    assert "2 of 2 environments" in (docs / "compatibility.md").read_text()


def test_a_row_that_is_gone_from_the_matrix_is_gone_from_the_table(docs: Path) -> None:
    report.write([record("3.0.6")])
    report.keep(record("3.1.8"), order=[("airflow-3.1.txt", "3.11")])
    assert [each["airflow"] for each in report.read()] == ["3.1.8"]


def test_a_row_that_failed_or_did_not_run_says_so_and_why() -> None:
    failed = record(ok=False, problems=["unit: unit failed (exit 1)\n3 failed | 2 passed"])
    not_run = record(python="3.13", ok=False, ran=False, problems=["not run: there is no Python 3.13"])
    page = report.page([failed, not_run, record("3.2.2")])
    assert "1 of 3 environments are as they must be." in page
    assert "| 3.1.8 | 3.11 | — | — | — | — | **not ok** |" in page
    assert "| 3.1.8 | 3.13 | — | — | — | — | **not run** |" in page
    assert r"- 3.1.8, Python 3.11: unit: unit failed (exit 1) 3 failed \| 2 passed" in page


def test_what_is_absent_is_told_once_with_its_airflows_and_its_message() -> None:
    absent = [{"what": "gallery", "message": None}, {"what": "DAG x", "message": "needs Airflow 3.1"}]
    page = report.page([record("2.11.2", python=each, absent=absent) for each in ("3.11", "3.12")])
    assert "| gallery | 2.11.2 |  |" in page
    assert "| DAG x | 2.11.2 | needs Airflow 3.1 |" in page


def test_the_page_has_the_figures_of_the_json_file() -> None:
    assert report._PAGE.read_text() == report.page(report.read())


@pytest.mark.parametrize("line", read_lines(), ids=lambda line: line.name)
def test_pins_hold_exact_versions_of_their_airflow_and_no_address(line: Any) -> None:
    text = line.pins.read_text()
    pins = [Requirement(each) for each in text.splitlines() if not each.startswith("#")]
    assert all(str(pin.specifier).startswith("==") and pin.url is None for pin in pins)
    assert f"apache-airflow=={line.airflow}\n" in text
    assert "://" not in text


def test_every_python_of_the_package_has_a_row_and_every_row_its_pins() -> None:
    rows = all_rows()
    classifiers = (ROOT / "pyproject.toml").read_text()
    assert {row.python for row in rows} == {f"3.{n}" for n in range(10, 20) if f':: 3.{n}"' in classifiers}
    assert len({row.id for row in rows}) == len(rows)
