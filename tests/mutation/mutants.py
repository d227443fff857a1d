"""A mutant, and how it is told from others: by what it changes and not by a number, which every edit would shift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_wanx"
WORKPLACE = ROOT / "mutants"
"""Where mutmut keeps its copies and results."""


CALLED_AT_IMPORT = {("dashscope/error_codes.py", "_row")}
"""Functions that have done their work when the module has been imported: module, and name."""


class Outcome(StrEnum):
    """What the tests made of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMEOUT = "timeout"


@dataclass(frozen=True)
class Mutant:
    """One small change of the code.

    :param module: path below the package.
    :param place: ``Class.method``, ``function``, ``Class``, or empty for the module itself.
    :param change: the lines before and after, as ``before => after``.
    """

    module: str
    place: str
    change: str


def change(diff: Iterable[str]) -> str:
    """Return what a unified diff without its head takes away and what it brings, as ``before => after``."""
    lines = list(diff)
    sides = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in ("-", "+"))
    return " => ".join(sides)
