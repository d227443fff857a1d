"""Where the wheel is tried: interpreters, the wheel itself, and a fresh environment for each row."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.matrix.lines import Row
from tests.stack import ROOT, Installation, StackError
from tests.stack.environment import clean_environment

DATA = ROOT / ".test" / "matrix"
_PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
_UV = (sys.executable, "-m", "uv")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A row's own Python environment, with the wheel and the Airflow in it.

    :param folder: folder for everything that the row keeps
    """

    row: Row
    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "venv" / "bin" / "python"

    @property
    def installation(self) -> Installation:
        """Its Airflow."""
        return Installation(python=self.python, airflow=self.row.line.airflow, postgres_driver="psycopg2")

    def variables(self, home: str) -> dict[str, str]:
        """Environment variables for an Airflow that nothing was done with yet."""
        place = self.folder / home
        place.mkdir(parents=True, exist_ok=True)
        return clean_environment() | {
            "AIRFLOW_HOME": str(place),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "NO_PROXY": "*",
        }

    def run(self, command: Sequence[str | Path], *, name: str, env: Mapping[str, str], timeout: float) -> str:
        """Run a program to its end; what it prints is kept in a file too.

        :param command: program and arguments
        :param env: its environment variables
        :return: what it printed
        :raises StackError: when it fails
        """
        log = self.folder / f"{name}.log"
        with log.open("w") as output:
            try:
                done = subprocess.run(
                    [str(each) for each in command],
                    cwd=ROOT,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise StackError(f"{name} took more than {timeout:.0f} s; see {log.name}") from None
        text = log.read_text(errors="replace")
        if done.returncode:
            raise StackError(f"{name} failed (exit {done.returncode})\n{text[-3000:]}")
        return text


@cache
def find_python(version: str, more: tuple[Path, ...] = ()) -> Path | None:
    """Find an interpreter.

    :param version: such as ``3.12``
    :param more: interpreters that are tried first
    :return: its path; None if there is none on this machine
    """
    for candidate in _candidates(version, more):
        if candidate is not None and _version(Path(candidate)) == version:
            return Path(candidate)
    return None


def build_wheel() -> Path:
    """Build the wheel; return its path."""
    folder = DATA / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    _uv("build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_environment(row: Row, *, python: Path, wheel: Path) -> Environment:
    """Make a fresh environment and install the wheel and what the tests need, in the versions of the pins.

    :param python: the interpreter
    :raises StackError: when something cannot be installed
    """
    folder = DATA / row.id.replace("/", "-python")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = Environment(row=row, folder=folder)
    _uv("venv", "--quiet", "--python", str(python), str(made.python.parents[1]))
    _uv(
        *("pip", "install", "--quiet", "--python", str(made.python)),
        *("--constraint", str(row.line.pins), "--group", f"{ROOT / 'pyproject.toml'}:matrix"),
        f"apache-airflow=={row.line.airflow}",
        f"{wheel}[simulator,parquet]",
    )
    _make_tests_importable(made)
    return made


def _make_tests_importable(made: Environment) -> None:
    """After everything that is installed, so that the package is that of the wheel and never the checkout's."""
    (packages,) = made.python.parents[1].glob("lib/python*/site-packages")
    (packages / "tests-of-the-checkout.pth").write_text(f"{ROOT}\n")


def _candidates(version: str, more: Sequence[Path]) -> Iterator[str | Path | None]:
    yield from more
    yield sys.executable
    yield shutil.which(f"python{version}")
    yield Path(f"/usr/bin/python{version}")
    yield from sorted(_PYENV.glob(f"versions/{version}.*/bin/python"))


def _version(python: Path) -> str | None:
    program = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _uv(*arguments: str) -> None:
    done = subprocess.run([*_UV, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"uv {' '.join(arguments[:2])} failed\n{done.stderr[-3000:]}")
