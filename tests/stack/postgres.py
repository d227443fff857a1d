"""PostgreSQL, as a database for Airflow."""

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

from tests.errors import StackError
from tests.programs import postgresql
from tests.stack.environment import clean_environment
from tests.stack.installation import Installation
from tests.stack.ports import LOOPBACK
from tests.stack.process import ManagedProcess, run_logged
from tests.stack.waiting import wait_until

# The server refuses to run as root.
_USERS_IN_PLACE_OF_ROOT = ("postgres", "nobody")
_NAME = "airflow"
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
    """A server of its own, with a new cluster.

    :param folder: folder for the cluster; as root, one that the server's user can reach takes its place if need be
    :param port: port to listen on, on loopback only
    :param installation: the Airflow, whose drivers are used
    :raises ProgramMissingError: when PostgreSQL is not there
    """

    def __init__(
        self, *, folder: Path, port: int, logs: Path, installation: Installation | None = None
    ) -> None:
        self._driver = (installation or Installation.own()).postgres_driver
        self._programs = postgresql()
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
        self._process.wait_ready(self.answers)

    def prepare(self, *, migrate: Callable[[str], None]) -> None:
        """Make an empty Airflow database.

        :param migrate: migrates the database with the given SQLAlchemy URL
        """
        arguments = ("-h", LOOPBACK, "-p", str(self._port), "-U", _NAME, _NAME)
        self._run("createdb", [str(self._programs / "createdb"), *arguments])
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
        wait_until(lambda: self._process and not self._process.running, what="PostgreSQL to go")
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
        programs = self._programs_for_user()
        place = self._place()
        initdb = str(programs / "initdb")
        options = ("--username", _NAME, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
        self._run("initdb", [*self._as_user(), initdb, "--pgdata", str(place), *options])
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        return ManagedProcess(
            name="PostgreSQL",
            command=[
                *self._as_user(),
                str(programs / "postgres"),
                *("-D", str(place), "-p", str(self._port)),
                *settings,
            ],
            env=clean_environment(),
            log_file=self._log_file,
        )

    def _place(self) -> Path:
        place = self._folder
        if self._user and not all(parent.stat().st_mode & 0o001 for parent in self._folder.parents[1:]):
            place = self._outside() / "cluster"
        place.mkdir(parents=True)
        if self._user:
            shutil.chown(place, self._user)
        return place

    def _programs_for_user(self) -> Path:
        """Those of a wheel lie in this environment, which may be in a folder that only root can enter."""
        reached = [*self._as_user(), "test", "-x", str(self._programs / "postgres")]
        if subprocess.run(reached, check=False, cwd="/").returncode == 0:
            return self._programs
        package, inside = self._programs.parents[1], self._programs.relative_to(self._programs.parents[1])
        # A wheel keeps the libraries that it has from elsewhere beside the package.
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, self._outside() / folder.name, symlinks=True)
        self._run("chmod", ["chmod", "-R", "a+rX", str(self._outside())])
        return self._outside() / package.name / inside

    @property
    def _log_file(self) -> Path:
        return self._logs / "postgres.log"

    def _run(self, name: str, command: Sequence[str]) -> None:
        run_logged(command, name=name, env=clean_environment(), log_file=self._log_file)

    def _outside(self) -> Path:
        """A folder that every user can reach."""
        if self._substitute is None:
            self._substitute = Path(tempfile.mkdtemp(prefix="wanx-postgres-"))
            self._substitute.chmod(0o755)
        return self._substitute

    def _as_user(self) -> Sequence[str]:
        if not self._user:
            return ()
        group = str(pwd.getpwnam(self._user).pw_gid)
        # Becomes the program instead of starting it, so that signals reach it.
        return ("setpriv", f"--reuid={self._user}", f"--regid={group}", "--clear-groups", "--")


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
