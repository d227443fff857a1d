"""What the matrix consists of: lines of Airflow releases, and one row for each Python that a line supports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

PINS = Path(__file__).parent / "pins"
LOWEST = "lowest"
"""The line with the lowest versions that the package allows."""

_LINES = PINS / "lines.json"


@dataclass(frozen=True, kw_only=True)
class Line:
    """Releases of Airflow that differ in their last number only, by the newest one.

    :param name: such as ``2.11``, or :data:`LOWEST`
    :param airflow: version of Airflow
    :param as_of: the day whose versions the pins hold: that of its release
    :param pythons: versions of Python that it supports and the package too, such as ``3.11``
    :param later: packages of a later day, because of the lowest version of them that is allowed, with that day
    """

    name: str
    airflow: str
    as_of: str
    pythons: Sequence[str]
    later: Mapping[str, str] = field(default_factory=dict)

    @property
    def pins(self) -> Path:
        """File with the versions of everything."""
        return PINS / (f"{LOWEST}.txt" if self.name == LOWEST else f"airflow-{self.name}.txt")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One environment of the matrix.

    :param python: version of Python, such as ``3.11``
    """

    line: Line
    python: str

    @property
    def id(self) -> str:
        """How the command line calls it."""
        return f"{self.line.name}/{self.python}"


def read_lines() -> list[Line]:
    """Read the lines, the oldest one first."""
    return [Line(**line) for line in json.loads(_LINES.read_text())]


def write_lines(lines: Sequence[Line]) -> None:
    """Keep the lines."""
    _LINES.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")


def all_rows() -> list[Row]:
    """All rows, in the order of the table."""
    return [Row(line=line, python=python) for line in read_lines() for python in line.pythons]
