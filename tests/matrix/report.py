"""docs/compatibility.json, and docs/compatibility.md with the same figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from packaging.version import Version

from tests.matrix.lines import LOWEST, Row
from tests.reports.marked import one_line, table
from tests.stack import ROOT

_FIGURES = ROOT / "docs" / "compatibility.json"
_PAGE = ROOT / "docs" / "compatibility.md"

_INTRODUCTION = """\
# Compatibility

Written by `make matrix`, as is `compatibility.json` with the same figures. The wheel is built and tried in a fresh environment
of each Airflow, on each Python that both support. Each Airflow has the dependencies that there were on the day of its release:
they are in `tests/matrix/pins`, and `make pins` renews them. The row *lowest* has the lowest versions that the package allows.

In each environment

- Airflow discovers the provider with its hook, links, triggers and plugin, and no warning names them;
- the example DAGs are parsed;
- the unit tests pass with the installed wheel;
- the DAG `wanx_style_repaint` runs with a scheduler, a triggerer, PostgreSQL, a local DashScope and a local S3: there is one
  submission, and the object in S3 is the file that the service has made;
- a worker is killed between the request to submit and the record of the task's id, with a
  [record path](operators.md#where-the-record-is-kept): there is one submission.
"""
_ABSENT = """\
## What is absent

What needs a newer Airflow is not there on an older one. Where it can be asked for, the answer is the message in the table.
Unit tests whose subject is absent are left out, and counted in `compatibility.json`.
"""
_FAULTS = """\
## Submitting once, before Airflow 3.3

Workers are killed, and answers lost, while a real Airflow submits one image. With a record path, each image is submitted once;
when a person clears the task, that means to submit again. Without a record path, a retry after a submission submits, and pays,
again. [Reliability](reliability.md) shows Airflow 3.3, which needs no record path for this.
"""
_LATER = """\
## Loops, clears and retry policies, since Airflow 3.4

What is new in Airflow 3.4, on a real one: each of three iterations of a loop submits once, whatever happens to one of them.
"""


def read() -> list[dict[str, Any]]:
    """Read the records of earlier runs."""
    found: list[dict[str, Any]] = json.loads(_FIGURES.read_text()) if _FIGURES.exists() else []
    return found


def blank(row: Row, *, problem: str) -> dict[str, Any]:
    """Make the record of a row in which nothing was tried.

    :param problem: why not
    """
    return {
        "airflow": row.line.airflow,
        "python": row.python,
        "pins": row.line.pins.name,
        "ran": False,
        "ok": False,
        "absent": [],
        "problems": [problem],
    }


def keep(record: dict[str, Any], *, rows: Sequence[Row]) -> None:
    """Write a record in place of the one of the same row; those of other rows stay.

    :param rows: every row that there is, in the order of the table
    """
    blanks = [blank(row, problem="not run yet") for row in rows]
    records = {_key(each): each for each in [*blanks, *read(), record]}
    write([records[_key(each)] for each in blanks])


def write(records: Sequence[dict[str, Any]]) -> None:
    """Write both files."""
    _FIGURES.write_text(json.dumps(records, ensure_ascii=False, indent=2) + "\n")
    _PAGE.write_text(page(records))


def page(records: Sequence[dict[str, Any]]) -> str:
    """Write the page."""
    good = sum(each["ok"] for each in records)
    parts = [
        _INTRODUCTION,
        f"{good} of {len(records)} environments are as they must be.\n",
        table(
            ("Airflow", "Python", "Example DAGs", "Unit tests", "Main DAG", "Worker killed", ""),
            (_row(each) for each in records),
        )
        + "\n",
        *_problems(records),
        _ABSENT,
        table(("Absent", "On Airflow", "Message"), _absent(records)) + "\n",
        *_faults(records),
    ]
    return "\n".join(parts)


def _key(record: dict[str, Any]) -> tuple[str, str]:
    return record["pins"], record["python"]


def _name(record: dict[str, Any]) -> str:
    lowest = record["pins"] == f"{LOWEST}.txt"
    return f"{record['airflow']}{', lowest' if lowest else ''}"


def _row(record: dict[str, Any]) -> list[str]:
    unit, faults = record.get("unit"), record.get("faults", [])
    passed = f"{unit['passed']:,} passed" if unit else "—"
    if unit and unit["left_out"]:
        passed += f", {sum(unit['left_out'].values())} absent"
    # The one that every environment has.
    killed = [each for each in faults if each["record_path"] and "between POST" in each["fault"]]
    return [
        _name(record),
        record["python"],
        str(len(record["dags"])) if "dags" in record else "—",
        passed,
        "ok" if "main_dag" in record else "—",
        f"{killed[0]['submissions']} of {killed[0]['submissions_allowed']} submissions" if killed else "—",
        "ok" if record["ok"] else "**not run**" if not record["ran"] else "**not ok**",
    ]


def _problems(records: Sequence[dict[str, Any]]) -> list[str]:
    lines = [
        f"- {_name(each)}, Python {each['python']}: {one_line(problem)}"
        for each in records
        for problem in each["problems"]
    ]
    return ["\n".join([*lines, ""])] if lines else []


def _absent(records: Sequence[dict[str, Any]]) -> list[list[str]]:
    where: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for each in record["absent"]:
            versions = where.setdefault((each["what"], each["message"] or ""), [])
            if record["airflow"] not in versions:
                versions.append(record["airflow"])
    return [[what, ", ".join(versions), message] for (what, message), versions in where.items()]


def _faults(records: Sequence[dict[str, Any]]) -> list[str]:
    whole = [each for each in records if len(each.get("faults", [])) > 1]
    before = [each for each in whole if Version(each["airflow"]) < Version("3.3")]
    later = [each for each in whole if each not in before]
    return [*_table_of(before, _FAULTS), *_table_of(later, _LATER)]


def _table_of(whole: Sequence[dict[str, Any]], introduction: str) -> list[str]:
    if not whole:
        return []
    cells: dict[str, dict[tuple[str, bool], str]] = {}
    for record in whole:
        for fault in record["faults"]:
            found = f"{fault['submissions']} of {fault['submissions_allowed']}"
            found += "" if fault["ok"] else " **not ok**"
            cells.setdefault(fault["fault"], {})[record["airflow"], fault["record_path"]] = found
    head = ["Fault"]
    columns = [(each["airflow"], recorded) for each in whole for recorded in (True, False)]
    head += [f"{airflow}, {'with' if recorded else 'without'} a record path" for airflow, recorded in columns]
    rows = [[fault, *(found.get(each, "—") for each in columns)] for fault, found in cells.items()]
    return [introduction, table(head, rows) + "\n"]
