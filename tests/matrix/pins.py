"""The pins: for each Airflow, the versions that were there when it was released.

Airflow does not cap what it depends on, so that today's FastAPI, cadwyn or Pydantic breaks an Airflow of last year. Its own
constraints hold what it was tested with, and that is what there was on the day of its release. The package index knows that
day, and uv resolves as of any day. So the pins need neither Airflow's files nor, but for two, a cap on any single package.

Airflow 3.0 is older than the lowest version of some providers that this package allows. Users have to install those too: such
a package is resolved as of the day of that version.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.parser import HeaderParser
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from tests.matrix.lines import LOWEST, PINS, Line, write_lines
from tests.stack import ROOT, StackError

_FIRST = Version("2.11")
_DAY = timedelta(days=1)
# What has to be older than the day of a line.
_CAPS = {
    # Airflow 2.11.0 does not take file:// for its object storage with universal-pathlib 0.3. Later releases cap it themselves.
    LOWEST: ["universal-pathlib<0.3"],
    # With SQLAlchemy 2.1, Airflow 3.4.0's dag.test() ends in MissingGreenlet; its own constraints hold 2.0.
    "3.4": ["sqlalchemy<2.1"],
}
_ADDRESS = re.compile(r"https?://\S*")
_HEADER = """\
# Written by "make pins": do not edit. Airflow {airflow}, on Python {pythons}.
# {what}{later}
"""
_OWN_TIME = (
    "All that is needed to run is as of {day}, when it was released; what is needed to test only is newer."
)
_LOWEST = "What pyproject.toml names is in the lowest version that it allows; what those need is as of {day}."
_LATER = "\n# {package} is as of {day}, the day of the lowest version that pyproject.toml allows."


def write_pins() -> list[Line]:
    """Write the pins of every line of Airflow from the first one that the package allows to the newest.

    :return: the lines
    :raises StackError: when something cannot be resolved
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = [_line(name, project) for name in _names()]
    lowest = _lowest(project)
    everything = [*lines, lowest]
    for line in everything:
        _write(line, project)
    write_lines(everything)
    return everything


def _names() -> list[str]:
    """Lines from the first to the newest one: a major version ends where its next minor version was never released."""
    names = []
    major, minor = _FIRST.major, _FIRST.minor
    while True:
        if _newest(_releases(f"{major}.{minor}")):
            names.append(f"{major}.{minor}")
            minor += 1
        elif minor:
            major, minor = major + 1, 0
        else:
            return names


def _releases(name: str) -> str:
    """The releases of a line; what was published before the first one, as long as the index has nothing later."""
    final = f"apache-airflow~={name}.0"
    return final if _newest(final) else f"{final}b1"


def _line(name: str, project: dict[str, Any]) -> Line:
    version, released = _found(_releases(name))
    return Line(
        name=name,
        airflow=version,
        as_of=released.date().isoformat(),
        pythons=_pythons(version, project),
        later=_later(released, project),
    )


def _lowest(project: dict[str, Any]) -> Line:
    """The lowest Airflow, on the lowest Python only."""
    (airflow,) = [each for each in _runtime(project) if each.name == "apache-airflow"]
    version, released = _found(f"apache-airflow=={_lower_bound(airflow)}")
    return Line(
        name=LOWEST,
        airflow=version,
        # The first day on which all of them were there.
        as_of=max([released.date().isoformat(), *_later(released, project).values()]),
        pythons=_pythons(version, project)[:1],
    )


def _later(released: datetime, project: dict[str, Any]) -> dict[str, str]:
    """Packages of which even the lowest version that is allowed is from after a release, with its day."""
    uploads = {
        each.name: _found(f"{each.name}=={_lower_bound(each)}")[1]
        for each in _runtime(project)
        if each.name != "apache-airflow"
    }
    return {name: day.date().isoformat() for name, day in uploads.items() if day > released}


def _pythons(airflow: str, project: dict[str, Any]) -> list[str]:
    """Those that both this package and this Airflow name in their classifiers; uv minds no upper bounds of Airflow's own."""
    with tempfile.TemporaryDirectory() as folder:
        _uv("install", "--no-deps", "--target", folder, f"apache-airflow=={airflow}")
        (metadata,) = Path(folder).glob("apache_airflow-*.dist-info/METADATA")
        theirs = HeaderParser().parsestr(metadata.read_text()).get_all("Classifier", [])
    prefix = "Programming Language :: Python :: 3."
    ours = [each for each in project["project"]["classifiers"] if each.startswith(prefix)]
    return [each.rpartition(" ")[2] for each in ours if each in theirs]


def _write(line: Line, project: dict[str, Any]) -> None:
    runtime = [*map(str, _runtime(project)), f"apache-airflow=={line.airflow}", *_CAPS.get(line.name, ())]
    as_of = ["--exclude-newer", _after(line.as_of)]
    for package, day in line.later.items():
        as_of += ["--exclude-newer-package", f"{package}={_after(day)}"]
    if line.name == LOWEST:
        as_of += ["--resolution", "lowest-direct"]
    own = _resolve(runtime, line=line, options=as_of)
    tests = [*runtime, *_group("matrix", project)]
    everything = _resolve(tests, line=line, constraints=own)
    header = _HEADER.format(
        airflow=line.airflow,
        pythons=", ".join(line.pythons),
        what=(_LOWEST if line.name == LOWEST else _OWN_TIME).format(day=line.as_of),
        later="".join(_LATER.format(package=package, day=day) for package, day in line.later.items()),
    )
    PINS.mkdir(exist_ok=True)
    line.pins.write_text(header + everything)


def _resolve(
    requirements: Sequence[str], *, line: Line, constraints: str = "", options: Sequence[str] = ()
) -> str:
    """Versions of everything, for all Pythons of the line at once."""
    last = Version(line.pythons[-1])
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "pyproject.toml"
        wanted.write_text(
            f'[project]\nname = "pins"\nversion = "0"\n'
            f'requires-python = ">={line.pythons[0]},<{last.major}.{last.minor + 1}"\ndependencies = {list(requirements)}\n'
        )
        limits = Path(folder) / "constraints.txt"
        limits.write_text(constraints)
        return _uv(
            "compile",
            *("--universal", "--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"),
            *("--constraint", str(limits), *options, str(wanted)),
        )


def _runtime(project: dict[str, Any]) -> list[Requirement]:
    """What the package needs, its extras included."""
    extras = project["project"]["optional-dependencies"].values()
    named = [*project["project"]["dependencies"], *(each for extra in extras for each in extra)]
    return [Requirement(each) for each in named]


def _group(name: str, project: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for each in project["dependency-groups"][name]:
        found += [each] if isinstance(each, str) else _group(each["include-group"], project)
    return found


def _lower_bound(requirement: Requirement) -> str:
    (bound,) = [each.version for each in requirement.specifier if each.operator == ">="]
    return bound


def _after(day: str) -> str:
    return (datetime.fromisoformat(day) + _DAY).date().isoformat() + "T00:00:00Z"


def _found(requirement: str) -> tuple[str, datetime]:
    if (found := _newest(requirement)) is None:
        raise StackError(f"The package index has no {requirement}")
    return found


@cache
def _newest(requirement: str) -> tuple[str, datetime] | None:
    """Newest version that fulfils a requirement, with the time of its upload; None if there is none."""
    try:
        lock = _uv("compile", "--no-deps", "--format", "pylock.toml", "-", text=requirement)
    except StackError:
        return None
    (package,) = tomllib.loads(lock)["packages"]
    files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    return package["version"], max(each["upload-time"] for each in files)


def _uv(command: str, *arguments: str, text: str = "") -> str:
    whole = [sys.executable, "-m", "uv", "pip", command, "--quiet", *arguments]
    done = subprocess.run(whole, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"{text or 'The pins'} could not be resolved\n{_ADDRESS.sub('…', done.stderr)}")
    return done.stdout
