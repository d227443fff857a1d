"""What is done in a row, and what is written down about it."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.matrix.environments import Environment, build_wheel, find_python, make_environment
from tests.matrix.lines import Row
from tests.matrix.playing import play
from tests.matrix.report import blank
from tests.stack import ROOT, StackError

Record = dict[str, Any]
"""One entry of docs/compatibility.json."""

WHOLE = {"2.11/3.11", "3.1/3.11", "3.4/3.11"}
"""Rows with every fault that the fault run does not play on their Airflow; the others have one killed worker."""

# One suite at a time: some of its tests wait for threads, which takes long on a busy machine.
_TESTING = threading.Semaphore(1)
_INSTALLED = Path(__file__).parent / "installed"
_NAMED = 5
_SHORT, _LONG = 300.0, 1200.0
_BEGAN = time.monotonic()
_SAYING = threading.Lock()
_LEFT_OUT = re.compile(r"^absent: (?P<subject>.+): (?P<tests>\d+) tests$", re.MULTILINE)


def try_all(
    rows: Sequence[Row], *, pythons: Sequence[Path], lanes: int, keep: Callable[[Record], None]
) -> list[Record]:
    """Try rows, some of them at a time.

    :param pythons: interpreters that are preferred to those found on this machine
    :param lanes: how many rows are tried at a time: where one waits, another one works
    :param keep: called with each record as soon as it is there
    :return: the records
    """
    wheel = build_wheel()
    keeping = threading.Lock()

    def attempt(row: Row) -> Record:
        record = _try(row, python=find_python(row.python, tuple(pythons)), wheel=wheel)
        with keeping:
            keep(record)
        return record

    with ThreadPoolExecutor(max_workers=lanes, thread_name_prefix="row") as pool:
        # The rows with more to do first, so that no one waits for them in the end.
        longest_first = sorted(rows, key=lambda row: row.id not in WHOLE)
        return list(pool.map(attempt, longest_first))


def _try(row: Row, *, python: Path | None, wheel: Path) -> Record:
    if python is None:
        record = blank(row, problem=f"not run: there is no Python {row.python} on this machine")
        _say(row, record["problems"][0])
        return record
    began = time.monotonic()
    record = blank(row, problem="") | {"ran": True, "problems": []}
    _Attempt(row=row, record=record).go(python=python, wheel=wheel)
    record["seconds"] = round(time.monotonic() - began)
    record["ok"] = not record["problems"]
    _say(row, "ok" if record["ok"] else "NOT OK: " + "; ".join(record["problems"]))
    return record


class _Attempt:
    """One row being tried. A step that fails is a problem, and the next one comes all the same."""

    def __init__(self, *, row: Row, record: Record) -> None:
        self._row = row
        self._record = record

    def go(self, *, python: Path, wheel: Path) -> None:
        """Make the environment and do every step.

        :param python: the interpreter
        """
        made = self._step("install", lambda: make_environment(self._row, python=python, wheel=wheel))
        if made is None:
            return
        self._step("provider", lambda: self._discover(made))
        self._step("dags", lambda: self._import_dags(made))
        self._step("unit", lambda: self._test(made))
        self._step("play", lambda: self._play(made))

    def _step(self, name: str, do: Callable[[], Any]) -> Any:
        began = time.monotonic()
        try:
            return do()
        # Whatever has happened, it belongs into the table.
        except Exception as error:  # noqa: BLE001
            self._record["problems"].append(f"{name}: {_reason(error)}")
            return None
        finally:
            seconds = time.monotonic() - began
            self._record.setdefault("steps", {})[name] = round(seconds)
            _say(self._row, f"{name} {seconds:.0f} s")

    def _discover(self, made: Environment) -> None:
        command: list[str | Path] = [made.python, "-P", "-W", "always", _INSTALLED / "discovery.py"]
        text = made.run(command, name="provider", env=made.variables("provider"), timeout=_SHORT)
        # The checkout's own path may name the package. Airflow tells on level INFO what it does not need.
        lines = [line for line in text.replace(str(ROOT), "").splitlines() if "wanx" in line.lower()]
        if warnings := [line for line in lines if not re.search(r"\binfo\b", line, re.IGNORECASE)]:
            raise StackError("\n".join(warnings))
        self._record["provider"] = "found without a warning"

    def _import_dags(self, made: Environment) -> None:
        findings = made.folder / "features.json"
        command: list[str | Path] = [made.python, "-P", _INSTALLED / "features.py", ROOT / "dags", findings]
        made.run(command, name="dags", env=made.variables("features"), timeout=_SHORT)
        found = json.loads(findings.read_text())
        self._record["dags"] = found["dags"]
        self._record["absent"] += found["absent"]

    def _test(self, made: Environment) -> None:
        with _TESTING:
            self._run_tests(made)

    def _run_tests(self, made: Environment) -> None:
        results = made.folder / "unit.xml"
        command: list[str | Path] = [made.python, "-P", "-m", "pytest"]
        command += ["-p", "tests.matrix.installed.wheel_only", "-o", "pythonpath="]
        # These are about what the checkout's environment starts: no row has its database driver and its Playwright.
        command += ["-n", "auto", "--dist", "worksteal", "-q", f"--junit-xml={results}"]
        command += [f"--ignore={ROOT / 'tests/unit' / name}" for name in ("matrix", "test_programs.py")]
        command += [ROOT / "tests" / "unit"]
        text = made.run(command, name="unit", env=made.variables("unit"), timeout=_LONG)
        counts = _counts(results)
        left_out = {match["subject"]: int(match["tests"]) for match in _LEFT_OUT.finditer(text)}
        self._record["unit"] = {"passed": counts["passed"], "left_out": left_out}
        if counts["skipped"]:
            raise StackError(f"{counts['skipped']} tests were skipped, which says nothing about this Airflow")

    def _play(self, made: Environment) -> None:
        played = play(made, dag_ids=self._record["dags"], whole=self._row.id in WHOLE)
        self._record["main_dag"] = "one submission, the object is the service's file"
        self._record["faults"] = list(played.faults)
        self._record["absent"] += list(played.absent)
        for fault in played.faults:
            if not fault["ok"]:
                raise StackError(f"{fault['fault']}: {'; '.join(fault['problems'])}")


def _counts(results: Path) -> dict[str, int]:
    suite = ElementTree.parse(results).getroot().find("testsuite")
    if suite is None:
        raise StackError("pytest has left no results")
    tests, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    return {"passed": tests - skipped, "skipped": skipped}


def _reason(error: BaseException) -> str:
    """What an error tells, shortened; of tests that failed, their names."""
    text = str(error).replace(str(ROOT), "").strip()
    if failed := re.findall(r"^(?:FAILED|ERROR) (.*)", text, re.MULTILINE):
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        return "; ".join(failed[:_NAMED]) + more
    return text if len(text) < 1500 else f"{text[:300]} … {text[-1200:]}"


def _say(row: Row, what: str) -> None:
    with _SAYING:
        sys.stderr.write(f"{time.monotonic() - _BEGAN:5.0f} s  {row.id}: {what}\n")
        sys.stderr.flush()
