"""What a run of the matrix writes down, and that nothing of it is lost or different in two places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.matrix import report
from tests.matrix.lines import Row, all_rows, read_lines
from tests.stack import ROOT

ROWS = {row.id: row for row in all_rows()}


def record(row: Row, **fields: Any) -> dict[str, Any]:
    return report.blank(row, problem="") | {"ran": True, "ok": True, "problems": [], **fields}


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "_FIGURES", tmp_path / "compatibility.json")
    monkeypatch.setattr(report, "_PAGE", tmp_path / "compatibility.md")
    return tmp_path


def test_a_run_of_one_row_leaves_the_records_of_the_others(docs: Path) -> None:
    rows = [ROWS["2.11/3.11"], ROWS["3.1/3.11"]]
    report.keep(record(rows[1]), rows=rows)
    report.keep(record(rows[0], ok=False, problems=["unit: 3 failed"]), rows=rows)
    report.keep(record(rows[0], seconds=5), rows=rows)
    written = json.loads((docs / "compatibility.json").read_text())
    assert [each.get("seconds") for each in written] == [5, None]
    assert "2 of 2 environments" in (docs / "compatibility.md").read_text()


def test_a_row_that_was_never_tried_is_in_the_table_and_not_ok(docs: Path) -> None:
    report.keep(record(ROWS["3.1/3.11"]), rows=[ROWS["3.1/3.11"], ROWS["3.1/3.12"]])
    assert [(each["ran"], each["ok"]) for each in report.read()] == [(True, True), (False, False)]
    assert "1 of 2 environments" in (docs / "compatibility.md").read_text()


def test_a_row_that_is_gone_from_the_matrix_is_gone_from_the_table(docs: Path) -> None:
    report.write([record(ROWS["3.0/3.11"])])
    report.keep(record(ROWS["3.1/3.11"]), rows=[ROWS["3.1/3.11"]])
    assert [each["pins"] for each in report.read()] == ["airflow-3.1.txt"]


def test_a_row_that_failed_or_did_not_run_says_so_and_why() -> None:
    row = ROWS["3.1/3.11"]
    failed = record(row, ok=False, problems=["unit: unit failed (exit 1)\n3 failed | 2 passed"])
    not_run = report.blank(ROWS["3.1/3.13"], problem="not run: there is no Python 3.13")
    page = report.page([failed, not_run, record(ROWS["3.2/3.11"])])
    assert "1 of 3 environments are as they must be." in page
    version = row.line.airflow
    assert f"| {version} | 3.11 | — | — | — | — | **not ok** |" in page
    assert f"| {version} | 3.13 | — | — | — | — | **not run** |" in page
    assert rf"- {version}, Python 3.11: unit: unit failed (exit 1) 3 failed \| 2 passed" in page


def test_what_is_absent_is_told_once_with_its_airflows_and_its_message() -> None:
    absent = [{"what": "gallery", "message": None}, {"what": "DAG x", "message": "needs Airflow 3.1"}]
    page = report.page([record(ROWS[f"2.11/{python}"], absent=absent) for python in ("3.11", "3.12")])
    version = ROWS["2.11/3.11"].line.airflow
    assert f"| gallery | {version} |  |" in page
    assert f"| DAG x | {version} | needs Airflow 3.1 |" in page


def test_faults_before_airflow_3_3_and_since_3_4_have_a_table_each() -> None:
    def fault(name: str, *, recorded: bool, submissions: int) -> dict[str, Any]:
        counts = {"submissions": submissions, "submissions_allowed": submissions}
        return {"fault": name, "ok": True, "record_path": recorded, **counts}

    old = [fault("Worker killed", recorded=each, submissions=2 - each) for each in (True, False)]
    new = [fault("Loop", recorded=each, submissions=3) for each in (True, False)]
    page = report.page([record(ROWS["2.11/3.11"], faults=old), record(ROWS["3.4/3.11"], faults=new)])
    before, since = page.split("## Loops, clears")
    assert "| Worker killed | 1 of 1 | 2 of 2 |" in before
    assert "| Loop | 3 of 3 | 3 of 3 |" in since
    assert "Loop" not in before
    assert "Worker killed" not in since


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
