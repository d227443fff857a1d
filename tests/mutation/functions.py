"""Mutants of functions: mutmut makes and runs them. It imports the code once and switches a function when it is called."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

from tests.mutation.mutants import PACKAGE, ROOT, WORKPLACE, Mutant, Outcome, change

_OUTCOMES = {
    "killed": Outcome.KILLED,
    "survived": Outcome.SURVIVED,
    "no tests": Outcome.SURVIVED,
    "timeout": Outcome.TIMEOUT,
    "segfault": Outcome.TIMEOUT,
}
"""What counts as what. mutmut calls a process that it had to kill a segfault."""


def run(*, processes: int) -> list[tuple[Mutant, Outcome]]:
    """Run the mutants that are new, and those that survived the last time: a test may have come that kills them.

    :raises RuntimeError: mutmut has left mutants without an outcome.
    """
    _forget_what_is_outdated()
    survivors = [name for name, status in _statuses() if _OUTCOMES.get(status) is not Outcome.KILLED]
    _mutmut(processes)
    if again := sorted(set(survivors) & {name for name, _ in _statuses()}):
        _mutmut(processes, *again)
    return _outcomes()


def _mutmut(processes: int, *names: str) -> None:
    program = Path(sys.executable).with_name("mutmut")
    subprocess.run([program, "run", "--max-children", str(processes), *names], cwd=ROOT, check=True)


def _forget_what_is_outdated() -> None:
    """Drop what another configuration has made, and copies of tests that may be no more."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    made_with = hashlib.sha256(repr((settings, version("mutmut"))).encode()).hexdigest()
    note = WORKPLACE / "made_with"
    if WORKPLACE.exists() and (not note.exists() or note.read_text() != made_with):
        shutil.rmtree(WORKPLACE)
    shutil.rmtree(WORKPLACE / "tests", ignore_errors=True)
    WORKPLACE.mkdir(exist_ok=True)
    note.write_text(made_with)


def _statuses() -> list[tuple[str, str]]:
    return [(name, status) for path in _paths() for name, status in _of(path)]


def _paths() -> list[Path]:
    return [Path(path) for path in config().only_mutate]


def _of(path: Path) -> list[tuple[str, str]]:
    data = SourceFileMutationData(path=path)
    data.load()
    return [(name, status_by_exit_code[code]) for name, code in data.exit_code_by_key.items()]


def _outcomes() -> list[tuple[Mutant, Outcome]]:
    found = []
    for path in _paths():
        for name, status in _of(path):
            if status not in _OUTCOMES:
                raise RuntimeError(f"{name} has no outcome: {status}. Run it again.")
            function, owner = orig_function_and_class_names_from_key(name)
            place = f"{owner}.{function}" if owner else function
            diff = get_diff_for_mutant(name, path=path).splitlines()[2:]
            mutant = Mutant(str(path.relative_to(PACKAGE)), place, change(diff))
            found.append((mutant, _OUTCOMES[status]))
    return found
