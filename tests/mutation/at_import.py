"""Mutants of what runs when a module is imported, which mutmut leaves out: tables, constants, classes, decorated functions.

The places and the changes are mutmut's. Each mutant gets a process of its own, in which the module is read with the change.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import MutationVisitor, OuterFunctionProvider, deep_replace
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal
from mutmut.mutation.pragma_handling import get_ignored_lines

from tests.mutation.mutants import CALLED_AT_IMPORT, PACKAGE, ROOT, WORKPLACE, Mutant, Outcome, change

_SUBMISSION = [
    "tests/unit/jobs/submitting/test_submission_record.py",
    "tests/unit/jobs/submitting/test_lost_submissions.py",
    "tests/unit/jobs/submitting/test_submitter.py",
]

TESTS = {
    "batch/result_keys.py": ["tests/unit/batch/test_result_keys.py"],
    "dashscope/error_codes.py": ["tests/unit/dashscope/test_error_codes.py"],
    "dashscope/errors.py": ["tests/unit/dashscope/test_errors.py", "tests/unit/dashscope/test_polling.py"],
    "dashscope/polling.py": [
        "tests/unit/dashscope/test_polling.py",
        "tests/unit/dashscope/test_polling_properties.py",
    ],
    "dashscope/waiting/budget.py": ["tests/unit/dashscope/waiting/test_budget.py"],
    "dashscope/waiting/queue.py": ["tests/unit/dashscope/waiting/test_queue.py"],
    "jobs/copying/key_template.py": ["tests/unit/jobs/copying/test_key_template.py"],
    "jobs/submitting/submission_record.py": ["tests/unit/jobs/submitting/test_submission_record.py"],
    "jobs/submitting/lost_submissions.py": _SUBMISSION,
    "jobs/submitting/submitter.py": _SUBMISSION,
}
"""Each module, and the tests that are about it."""

WITH_FIXTURES = {"jobs/submitting/lost_submissions.py", "jobs/submitting/submitter.py"}
"""Modules whose tests need fixtures. Without those, a mutant takes a quarter of the time."""

PATIENCE = 60
"""Seconds of CPU time, or a tenth of those by the clock, after which a mutant counts as one that does not come to an end."""

_LIBRARIES = ("hypothesis.strategies", "httpx", "PIL.Image", "pydantic", "starlette.applications", "uvicorn")
"""What the tests need and every process would read anew."""

_OPERATORS = [each for each in mutation_operators if each[1] is not operator_arg_removal]
"""All of mutmut's but the one that takes arguments out of calls: most of these mutants only stop the import."""

_KEPT = WORKPLACE / "at_import.json"


def run(*, processes: int) -> list[tuple[Mutant, Outcome]]:
    """Run all mutants but those that were killed before.

    :raises RuntimeError: the tests of a module fail without a change.
    """
    for name in _LIBRARIES:
        importlib.import_module(name)
    killed: set[str] = set(json.loads(_KEPT.read_text())) if _KEPT.exists() else set()
    found: list[tuple[Mutant, Outcome]] = []
    for module in TESTS:
        found += _run_module(module, processes, killed)
        _KEPT.write_text(json.dumps(sorted(killed)))
    return found


def _run_module(module: str, processes: int, killed: set[str]) -> list[tuple[Mutant, Outcome]]:
    mutants = list(_mutants(module))
    digests = [hashlib.sha256(f"{module} {source}".encode()).hexdigest() for _, source in mutants]
    jobs = [
        (module, source) for (_, source), digest in zip(mutants, digests, strict=True) if digest not in killed
    ]
    # A process for each: what it has imported is spoilt for the next one.
    with multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=1) as pool:
        if jobs and pool.apply(_outcome, (module, _source(module))) is not Outcome.SURVIVED:
            raise RuntimeError(f"The tests of {module} fail without any change.")
        outcomes = pool.imap(_outcome_of_job, jobs)
        found = []
        for number, ((mutant, _), digest) in enumerate(zip(mutants, digests, strict=True), start=1):
            outcome = Outcome.KILLED if digest in killed else next(outcomes)
            if outcome is Outcome.KILLED:
                killed.add(digest)
            found.append((mutant, outcome))
            if number % 50 == 0 or number == len(mutants):
                print(f"{module}: {number} of {len(mutants)} mutants at import", flush=True)
    return found


class _Places(MutationVisitor):
    """Goes into decorated functions as well."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef) and node.decorators:
            return False
        return super()._skip_node_and_children(node)


def _source(module: str) -> str:
    return (ROOT / PACKAGE / module).read_text()


def _mutants(module: str) -> Iterator[tuple[Mutant, str]]:
    source = _source(module)
    wrapper = MetadataWrapper(cst.parse_module(source))
    places = _Places(_OPERATORS, get_ignored_lines(module, source, wrapper))
    tree = wrapper.visit(places)
    owners, names = wrapper.resolve(OuterFunctionProvider), _names(wrapper.module)
    for mutation in places.mutations:
        owner = owners.get(mutation.original_node)
        if _is_mutmuts(module, owner):
            continue
        changed = deep_replace(tree, mutation.original_node, mutation.mutated_node)
        if not isinstance(changed, cst.Module):
            raise TypeError(f"{module} cannot be written with a change.")
        diff = difflib.unified_diff(source.splitlines(), changed.code.splitlines(), n=0, lineterm="")
        yield Mutant(module, names.get(owner, ""), change(list(diff)[2:])), changed.code


def _is_mutmuts(module: str, owner: cst.CSTNode | None) -> bool:
    if not isinstance(owner, cst.FunctionDef) or (module, owner.name.value) in CALLED_AT_IMPORT:
        return False
    names = [each.decorator.value for each in owner.decorators if isinstance(each.decorator, cst.Name)]
    return not owner.decorators or (
        len(owner.decorators) == 1 and names[:1] in (["classmethod"], ["staticmethod"])
    )


def _names(tree: cst.Module) -> dict[cst.CSTNode | None, str]:
    """Return the place of each function, and of each statement of a class."""
    names: dict[cst.CSTNode | None, str] = {}
    for statement in tree.body:
        if isinstance(statement, cst.FunctionDef):
            names[statement] = statement.name.value
        elif isinstance(statement, cst.ClassDef):
            for member in statement.body.body:
                method = f".{member.name.value}" if isinstance(member, cst.FunctionDef) else ""
                names[member] = f"{statement.name.value}{method}"
    return names


def _outcome_of_job(job: tuple[str, str]) -> Outcome:
    return _outcome(*job)


def _outcome(module: str, source: str) -> Outcome:
    """Run the module's tests in this process, which has not imported the package yet."""
    late = False

    def stop(signum: int, frame: object) -> None:
        nonlocal late
        late = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(10 * PATIENCE)
    os.chdir(ROOT)
    name = f"{PACKAGE}.{module.removesuffix('.py').replace('/', '.')}"
    sys.meta_path.insert(0, _Changed(name, source, str(ROOT / PACKAGE / module)))
    # pytest would read the package itself to rewrite its assertions, because the package is a plugin of pytest too.
    options = [
        "-x",
        "-q",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.mutation.quick_first",
        "--hypothesis-seed=0",
    ]
    if module not in WITH_FIXTURES:
        options += ["--noconftest", "-p", f"no:{PACKAGE}"]
    with (
        # This process ends without tidying up.
        tempfile.TemporaryDirectory() as folder,
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        tempfile.tempdir = folder
        code = pytest.main([*options, *TESTS[module]])
    if late:
        return Outcome.TIMEOUT
    return Outcome.SURVIVED if code == pytest.ExitCode.OK else Outcome.KILLED


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module another source."""

    def __init__(self, name: str, source: str, path: str) -> None:
        self._name = name
        self._source = source
        self._path = path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find that module only."""
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._path)

    def exec_module(self, module: ModuleType) -> None:
        """Run the source."""
        module.__file__ = self._path
        exec(compile(self._source, self._path, "exec"), module.__dict__)
