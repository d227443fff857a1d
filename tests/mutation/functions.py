"""Mutants of functions: mutmut makes and runs them. It imports the code once and switches a function when it is called."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

from tests.mutation.mutants import CALLED_AT_IMPORT, PACKAGE, ROOT, WORKPLACE, Mutant, Outcome, change

_OUTCOMES = {
    "killed": Outcome.KILLED,
    "survived": Outcome.SURVIVED,
    "no tests": Outcome.SURVIVED,
    "timeout": Outcome.TIMEOUT,
    "segfault": Outcome.TIMEOUT,
}
"""What counts as what. mutmut calls a process that it had to kill a segfault."""


def run(*, processes: int) -> list[tuple[Mutant, Outcome]]:
    """Run the mutants that are new, and those again that were not killed the last time.

    A test may have come that kills them, and on a busy machine a mutant may only have been too slow.

    :raises RuntimeError: mutmut has left mutants without an outcome.
    """
    _forget_what_is_outdated()
    earlier = _not_killed()
    _mutmut(processes)
    if again := sorted(earlier & _not_killed()):
        _mutmut(processes, *again)
    return [(_mutant(path, name), _outcome(name, status)) for path, name, status in _results()]


def _mutmut(processes: int, *names: str) -> None:
    program = Path(sys.executable).with_name("mutmut")
    # Its processes end without tidying up.
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [program, "run", "--max-children", str(processes), *names],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
            check=True,
        )


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


def _not_killed() -> set[str]:
    outcomes = {name: _OUTCOMES.get(status) for _, name, status in _results()}
    return {name for name, outcome in outcomes.items() if outcome in (Outcome.SURVIVED, Outcome.TIMEOUT)}


def _results() -> Iterator[tuple[Path, str, str]]:
    """Yield module, mutmut's name of the mutant, and mutmut's word for what became of it."""
    for path in map(Path, config().only_mutate):
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            if (str(path.relative_to(PACKAGE)), _place(name)) not in CALLED_AT_IMPORT:
                yield path, name, status_by_exit_code[code]


def _place(name: str) -> str:
    function, owner = orig_function_and_class_names_from_key(name)
    return f"{owner}.{function}" if owner else function


def _mutant(path: Path, name: str) -> Mutant:
    diff = get_diff_for_mutant(name, path=path).splitlines()[2:]
    return Mutant(str(path.relative_to(PACKAGE)), _place(name), change(diff))


def _outcome(name: str, status: str) -> Outcome:
    if status not in _OUTCOMES:
        raise RuntimeError(f"{name} has no outcome: {status}. Run it again.")
    return _OUTCOMES[status]
