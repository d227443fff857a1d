"""The whole stack: local S3, local DashScope, Airflow."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.errors import StackError
from tests.stack.airflow import Airflow, AirflowConfig
from tests.stack.dashscope import Simulator
from tests.stack.database import Database, SqliteDatabase
from tests.stack.installation import Installation
from tests.stack.ports import free_ports
from tests.stack.process import stop_all
from tests.stack.s3 import LocalS3

ROOT = Path(__file__).resolve().parents[2]
_TEMPLATES = ROOT / ".test" / "databases"
_LOCK = ".lock"


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """What a stack is made of.

    :param data: folder for everything that it keeps; it is emptied first
    :param dag_bundles: folders with DAGs by the names of their bundles
    :param dag_ids: DAGs that must be there before the stack counts as started
    :param with_simulator: whether there is a local DashScope; without, ``connections`` must hold ``dashscope_default``
    :param speed: how much faster than the service's the local DashScope's clocks run
    :param simulator_arguments: more command line arguments of the local DashScope
    :param connections: more Airflow connections, or others in place of ``aws_default`` and ``dashscope_default``
    :param connections_in_database: whether Airflow keeps the connections in its database, where the UI shows them; otherwise
        its processes read them from their environment, which is quicker
    :param parallelism: number of Airflow's task processes
    :param settings: more Airflow settings as environment variables
    :param database: what Airflow keeps its state in, by default an SQLite file
    :param users: Airflow's users, see :class:`AirflowConfig`
    :param installation: which Airflow it is, by default the one beside this program
    """

    data: Path
    dag_bundles: Mapping[str, Path]
    dag_ids: Collection[str] = ()
    with_simulator: bool = True
    speed: float = 1.0
    simulator_arguments: Sequence[str] = ()
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    connections_in_database: bool = False
    parallelism: int = 4
    settings: Mapping[str, str] = field(default_factory=dict)
    database: Database | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    installation: Installation = field(default_factory=Installation.own)


class LocalStack:
    """Starts everything on entering and ends everything on leaving, whatever happens between.

    :param config: what it is made of
    """

    def __init__(self, *, config: StackConfig) -> None:
        self.config = config
        self.startup_seconds = 0.0
        s3_port, simulator_port = free_ports(count=2)
        logs = config.data / "logs"
        self.s3 = LocalS3(port=s3_port, logs=logs)
        self.simulator = Simulator(
            port=simulator_port, logs=logs, speed=config.speed, arguments=config.simulator_arguments
        )
        self.connections: dict[str, Mapping[str, Any]] = {
            "aws_default": self.s3.connection,
            "dashscope_default": self.simulator.connection,
            **config.connections,
        }
        home = config.data / "airflow"
        self.airflow = Airflow(
            config=AirflowConfig(
                home=home,
                database=config.database or _sqlite(home, config.installation),
                dag_bundles=config.dag_bundles,
                connections={} if config.connections_in_database else self.connections,
                parallelism=config.parallelism,
                settings=config.settings,
                users=config.users,
                installation=config.installation,
            )
        )
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        began = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(_lock(self.config.data))
            _empty(self.config.data)
            stack.callback(self._stop)
            self._start()
            self._exit = stack.pop_all()
        self.startup_seconds = time.monotonic() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def _start(self) -> None:
        self.s3.process.start()
        if self.config.with_simulator:
            self.simulator.process.start()
        self.airflow.start()
        self.s3.process.wait_ready(self.s3.ready)
        if self.config.with_simulator:
            self.simulator.process.wait_ready(self.simulator.ready)
        self.airflow.wait_ready(dag_ids=self.config.dag_ids)
        if self.config.connections_in_database:
            for conn_id, connection in self.connections.items():
                self.airflow.api.set_connection(conn_id=conn_id, connection=connection)

    def _stop(self) -> None:
        # All at once: one after the other would add up their periods of grace.
        stop_all([*self.airflow.processes, self.simulator.process, self.s3.process])
        self.airflow.stop()


def _sqlite(home: Path, installation: Installation) -> SqliteDatabase:
    return SqliteDatabase(file=home / "airflow.db", templates=_TEMPLATES, installation=installation)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with folder.joinpath(_LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"Another stack is running on {folder}: end that one first") from None
        yield


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink()
