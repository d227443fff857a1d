"""Debian's PostgreSQL, as a database for Airflow."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.stack.environment import clean_environment
from tests.stack.installation import Installation
from tests.stack.ports import LOOPBACK
from tests.stack.process import ManagedProcess
from tests.stack.waiting import StackError, wait_until

_DEBIAN = Path("/usr/lib/postgresql")
# The server refuses to run as root.
_USERS_IN_PLACE_OF_ROOT = ("postgres", "nobody")
_NAME = "airflow"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0

# What is lost with the machine is of no interest; what is lost with the server's processes is.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}


class PostgresDatabase:
    """
    A server of its own, with a new cluster.

    :param folder: folder for the cluster; as root, one that the server's user can reach takes its place if need be
    :param port: port to listen on, on loopback only
    :param logs: folder for its log
    :param installation: the Airflow, whose drivers are used
    :raises StackError: when PostgreSQL's server programs are not installed
    """

    def __init__(
        self, *, folder: Path, port: int, logs: Path, installation: Installation | None = None
    ) -> None:
        self._driver = (installation or Installation.own()).postgres_driver
        self._programs = _programs()
        self._user = _server_user()
        self._folder = folder
        self._substitute: Path | None = None
        self._port = port
        self._logs = logs
        self._process: ManagedProcess | None = None

    @property
    def url(self) -> str:
        """SQLAlchemy URL."""
        return self._url(self._driver)

    @property
    def dsn(self) -> str:
        """The same for libpq."""
        return f"postgresql://{_NAME}@{LOOPBACK}:{self._port}/{_NAME}"

    @property
    def settings(self) -> dict[str, str]:
        """Airflow's settings for it. With psycopg, there is no need of one more driver for the asynchronous side."""
        driver = "asyncpg" if self._driver == "psycopg2" else self._driver
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": self._url(driver)}

    def start(self) -> None:
        """Make the cluster and start the server."""
        if self._process is None:
            self._process = self._make()
        self._process.start()
        self._process.wait_ready(self.answers, timeout=_START_SECONDS)

    def prepare(self, *, migrate: Callable[[str], None]) -> None:
        """
        Make an empty Airflow database.

        :param migrate: migrates the database with the given SQLAlchemy URL
        """
        arguments = ("-h", LOOPBACK, "-p", str(self._port), "-U", _NAME, _NAME)
        _run([str(self._programs / "createdb"), *arguments])
        migrate(self.url)

    def stop(self) -> None:
        """End the server and remove what lies outside the stack's folder."""
        if self._process is not None and self._process.running:
            # A fast shutdown: SIGTERM would wait for the clients.
            self._process.kill(signal.SIGINT, descendants=False)
            self._process.stop(grace=_STOP_SECONDS)
        if self._substitute is not None:
            shutil.rmtree(self._substitute, ignore_errors=True)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """While this lasts, there is no server: every connection is broken, and new ones are refused."""
        if self._process is None:
            raise StackError("PostgreSQL was never started")
        self._process.kill(signal.SIGQUIT, descendants=False)
        wait_until(lambda: self._process and not self._process.running, timeout=10, what="PostgreSQL to go")
        try:
            yield
        finally:
            self.start()

    def answers(self) -> bool:
        """Whether it takes connections."""
        command = [str(self._programs / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self._port)]
        return subprocess.run(command, check=False, env=clean_environment()).returncode == 0

    def _url(self, driver: str) -> str:
        return f"postgresql+{driver}://{_NAME}@{LOOPBACK}:{self._port}/{_NAME}"

    def _make(self) -> ManagedProcess:
        place = self._place()
        log_file = self._logs / "postgres.log"
        initdb = str(self._programs / "initdb")
        options = ("--username", _NAME, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
        _run([*self._as_user(), initdb, "--pgdata", str(place), *options])
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        return ManagedProcess(
            name="PostgreSQL",
            command=[
                *self._as_user(),
                str(self._programs / "postgres"),
                *("-D", str(place), "-p", str(self._port)),
                *settings,
            ],
            env=clean_environment(),
            log_file=log_file,
        )

    def _place(self) -> Path:
        place = self._folder
        if self._user and not all(parent.stat().st_mode & 0o001 for parent in self._folder.parents[1:]):
            self._substitute = Path(tempfile.mkdtemp(prefix="wanx-postgres-"))
            self._substitute.chmod(0o755)
            place = self._substitute / "cluster"
        place.mkdir(parents=True)
        if self._user:
            shutil.chown(place, self._user)
        return place

    def _as_user(self) -> Sequence[str]:
        if not self._user:
            return ()
        group = str(pwd.getpwnam(self._user).pw_gid)
        # Becomes the program instead of starting it, so that signals reach it.
        return ("setpriv", f"--reuid={self._user}", f"--regid={group}", "--clear-groups", "--")


def _programs() -> Path:
    """Debian keeps the server's programs of each version in a folder of its own, away from the path."""
    found = sorted(
        (folder for folder in _DEBIAN.glob("*/bin") if (folder / "initdb").exists()),
        key=lambda folder: float(folder.parent.name),
    )
    if found:
        return found[-1]
    if (program := shutil.which("initdb")) is not None:
        return Path(program).resolve().parent
    raise StackError("PostgreSQL's server programs are missing: on Debian and Ubuntu, apt install postgresql")


def _server_user() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in _USERS_IN_PLACE_OF_ROOT:
        if name in names:
            return name
    raise StackError(
        f"PostgreSQL does not run as {getpass.getuser()}, and there is no other user to run it as"
    )


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
    )
    if done.returncode:
        raise StackError(f"{' '.join(command)} failed\n{done.stdout[-2000:]}")
