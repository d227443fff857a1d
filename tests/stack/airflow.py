"""Airflow as separate processes."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.errors import StackError
from tests.stack import airflow_2
from tests.stack.airflow_api import AirflowApi, TaskInstance
from tests.stack.database import Database
from tests.stack.environment import clean_environment
from tests.stack.installation import Installation
from tests.stack.ports import LOOPBACK, free_port
from tests.stack.process import ManagedProcess, run_logged, shown, stop_all
from tests.stack.waiting import PATIENCE, wait_until

_COMPONENTS = {"metadatabase", "scheduler", "dag_processor", "triggerer"}
# Airflow's log servers listen on every interface, and that can't be changed.
_NO_LOG_SERVER = "--skip-serve-logs"


@dataclass(frozen=True, kw_only=True)
class AirflowConfig:
    """How an Airflow is set up.

    :param database: what it keeps its state in
    :param dag_bundles: folders with DAGs by the names of their bundles
    :param connections: connections by id, seen by all its processes through the environment
    :param parallelism: number of task processes
    :param settings: more settings as environment variables, such as ``AIRFLOW__TRIGGERER__CAPACITY``
    :param users: their roles by their names, which are their passwords too; the first one starts runs for tests. Without any,
        everybody is an administrator and need not log in.
    :param installation: which Airflow it is, by default the one beside this program
    """

    home: Path
    database: Database
    dag_bundles: Mapping[str, Path]
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    parallelism: int = 4
    settings: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    installation: Installation = field(default_factory=Installation.own)


class Airflow:
    """API server, scheduler with LocalExecutor, DAG processor and triggerer: processes that can be killed and restarted singly.

    :param config: how it is set up
    """

    def __init__(self, *, config: AirflowConfig) -> None:
        self.config = config
        api_port = free_port()
        self.url = f"http://{LOOPBACK}:{api_port}"
        self._env = self._environment(api_port=api_port)
        self.api_server = self._process("webserver" if self._is_airflow_2 else "api-server")
        self.scheduler = self._process("scheduler", _NO_LOG_SERVER)
        self.dag_processor = self._process("dag-processor")
        self.triggerer = self._process("triggerer", _NO_LOG_SERVER)
        self._more: list[ManagedProcess] = []

    @cached_property
    def api(self) -> AirflowApi:
        """Client of its REST API."""
        kind = airflow_2.Airflow2Api if self._is_airflow_2 else AirflowApi
        return kind(base_url=self.url, user=next(iter(self.config.users), None))

    @property
    def processes(self) -> list[ManagedProcess]:
        """All its processes."""
        parts = [self.api_server, self.scheduler, self.dag_processor, self.triggerer]
        return [*parts, *self._more]

    def start(self) -> None:
        """Prepare the database and start all components at once."""
        self.config.home.mkdir(parents=True, exist_ok=True)
        self._passwords.write_text(json.dumps({name: name for name in self.config.users}))
        if self._is_airflow_2:
            airflow_2.prepare(home=self.config.home, dag_bundles=self.config.dag_bundles)
        self.config.database.start()
        self.config.database.prepare(migrate=self._migrate)
        for process in self.processes:
            process.start()

    def wait_ready(self, *, timeout: float = PATIENCE, dag_ids: Collection[str] = ()) -> None:
        """Wait until every component has reported and the DAGs have been parsed.

        :param dag_ids: DAGs that must be there
        :raises StackError: when a process ends, a DAG can't be imported, or the time is over
        """

        def unwell() -> list[str]:
            health = self.api.health()
            return sorted(name for name in _COMPONENTS if health.get(name) != "healthy")

        def ready() -> bool:
            for process in self.processes:
                process.raise_if_ended()
            return not unwell() and self._parsed(dag_ids)

        def found() -> str:
            if parts := unwell():
                return f"not healthy: {', '.join(parts)}"
            return f"not parsed: {', '.join(sorted(set(dag_ids) - self.api.dag_ids()))}"

        what = f"Airflow to get ready, whose logs are in {shown(self._logs)}"
        wait_until(ready, timeout=timeout, interval=0.3, what=what, found=found)

    def add_triggerer(self) -> ManagedProcess:
        """Start one more triggerer."""
        return self.add("triggerer", _NO_LOG_SERVER)

    def add_machine(self, *arguments: str) -> ManagedProcess:
        """Start one more process as on another machine, with a home and a folder for temporary files of its own.

        :param arguments: what follows ``airflow``
        """
        return self.add(*arguments, _NO_LOG_SERVER, apart=True)

    def add(self, *arguments: str, apart: bool = False) -> ManagedProcess:
        """Start one more process.

        :param arguments: what follows ``airflow``
        :param apart: whether it has a home and a folder for temporary files of its own
        """
        command = " ".join(arguments).partition(" -")[0]
        name = f"Airflow {command}"
        number = 1 + sum(each.name.startswith(name) for each in self.processes)
        process = self._process(*arguments, number=number, apart=apart)
        self._more.append(process)
        process.start()
        return process

    def worker_has_left(self, instance: TaskInstance) -> bool:
        """Tell whether the executor has reported the end of the worker that deferred a task.

        A report that comes when the task has been resumed already makes Airflow 3.3 fail the resumed try. What must not be
        tried again waits for it; a user's task has retries.

        :param instance: the deferred task
        """
        report = (
            "Received executor event with state success for task instance TaskInstanceKey("
            f"dag_id={instance.dag_id!r}, task_id={instance.task_id!r}, run_id={instance.dag_run_id!r}, try_number="
        )
        log = self.scheduler.log_file.read_text(errors="replace")
        return re.search(rf"{re.escape(report)}\d+, map_index={instance.map_index}\)", log) is not None

    def command(self, *arguments: str, timeout: float = PATIENCE) -> str:
        """Run an ``airflow`` command on this Airflow.

        :param arguments: what follows ``airflow``
        :return: its standard output
        :raises StackError: when it fails
        """
        command = self._command(*arguments)
        done = subprocess.run(
            command, env=self._env, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode:
            raise StackError(f"airflow {' '.join(arguments)} failed\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def stop(self) -> None:
        """End all its processes, then its database."""
        stop_all(self.processes)
        self.api.close()
        self.config.database.stop()

    @property
    def _is_airflow_2(self) -> bool:
        return self.config.installation.is_airflow_2

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.config.installation.python), "-m", "airflow", *arguments]

    @property
    def _passwords(self) -> Path:
        return self.config.home / "passwords.json"

    @property
    def _logs(self) -> Path:
        return self.config.home / "logs"

    def _process(self, *arguments: str, number: int = 1, apart: bool = False) -> ManagedProcess:
        command = " ".join(arguments).partition(" -")[0]
        name = command if number == 1 else f"{command}-{number}"
        env = self._env
        if apart:
            home = self.config.home / "machines" / name.replace(" ", "-")
            (home / "tmp").mkdir(parents=True)
            env = env | {"AIRFLOW_HOME": str(home), "TMPDIR": str(home / "tmp")}
        return ManagedProcess(
            name=f"Airflow {name}",
            command=self._command(*arguments),
            env=env,
            log_file=self._logs / f"{name.replace(' ', '-')}.log",
        )

    def _parsed(self, dag_ids: Collection[str]) -> bool:
        if failures := self.api.import_failures():
            reasons = [f"{each.filename} ({each.stack_trace.strip().splitlines()[-1]})" for each in failures]
            error = StackError(f"Airflow cannot import {', '.join(reasons)}")
            error.add_note("\n".join(each.stack_trace for each in failures))
            raise error
        return not dag_ids or set(dag_ids) <= self.api.dag_ids()

    def _migrate(self, url: str) -> None:
        env = self._env | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
        command = self._command("db", "migrate")
        run_logged(command, name="airflow db migrate", env=env, log_file=self._logs / "migrate.log")

    def _environment(self, *, api_port: int) -> dict[str, str]:
        bundles = [
            {
                "name": name,
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(path)},
            }
            for name, path in self.config.dag_bundles.items()
        ]
        settings = {
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            # LocalExecutor starts that many processes at once.
            "CORE__PARALLELISM": str(self.config.parallelism),
            "CORE__DAGS_FOLDER": str(self.config.home / "dags"),
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": str(not self.config.users),
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{name}:{role}" for name, role in self.config.users.items()
            ),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords),
            # Does not follow from the API server's port.
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
            "DATABASE__SQL_ALCHEMY_CONN": self.config.database.url,
            "API__HOST": LOOPBACK,
            "API__PORT": str(api_port),
            "API__BASE_URL": self.url,
            "API__SECRET_KEY": secrets.token_hex(32),
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            "DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            # A file takes seconds to import, and ten times as long on a busy machine. Airflow gives up after 30 and 50 s.
            "CORE__DAGBAG_IMPORT_TIMEOUT": str(PATIENCE),
            "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": str(int(PATIENCE)),
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "20",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            "TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            # Nobody listens there: the API server reads all logs from the disk.
            "LOGGING__WORKER_LOG_SERVER_PORT": "1",
            "LOGGING__TRIGGER_LOG_SERVER_PORT": "1",
            # On a busy machine the API server is slow to come back, and its first answers are slow too. With Airflow's own
            # figures, 5 tries of 5 s, a task that starts at that time fails.
            "WORKERS__EXECUTION_API_TIMEOUT": "30",
            "WORKERS__EXECUTION_API_RETRIES": "10",
            "WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "10",
            # How long a worker's supervisor may linger after its task has deferred. Until it ends, it holds a slot, and a task
            # that resumes meanwhile may be failed by the scheduler, which mistakes the old end for the new one.
            "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "LOGGING__COLORED_CONSOLE_LOG": "False",
        }
        variables = {}
        if self._is_airflow_2:
            settings |= airflow_2.settings(
                home=self.config.home,
                host=LOOPBACK,
                port=api_port,
                url=self.url,
                secret=settings["API__SECRET_KEY"],
            )
            variables["PYTHONPATH"] = airflow_2.python_path(self.config.dag_bundles)
        return {
            **clean_environment(),
            **variables,
            "AIRFLOW_HOME": str(self.config.home),
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            **{
                f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(connection)
                for conn_id, connection in self.config.connections.items()
            },
            **self.config.settings,
        }
