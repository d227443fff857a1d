"""Redis, as a broker for Celery."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.programs import redis
from tests.stack.environment import clean_environment
from tests.stack.ports import LOOPBACK
from tests.stack.process import ManagedProcess


class RedisServer:
    """A server of its own that keeps everything in memory.

    :param port: port to listen on, on loopback only
    :param folder: its working folder
    :raises ProgramMissingError: when neither Redis nor Valkey is there
    """

    def __init__(self, *, port: int, folder: Path, logs: Path) -> None:
        self._port = port
        self._folder = folder
        self.process = ManagedProcess(
            name="Redis",
            command=[
                str(redis()),
                *("--port", str(port), "--bind", LOOPBACK, "--dir", str(folder)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no"),
            ],
            env=clean_environment(),
            log_file=logs / "redis.log",
        )

    @property
    def settings(self) -> dict[str, str]:
        """Airflow's settings for a CeleryExecutor with it."""
        url = f"redis://{LOOPBACK}:{self._port}"
        return {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": f"{url}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"{url}/1",
        }

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.process.start()
        self.process.wait_ready(self.answers)

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            with socket.create_connection((LOOPBACK, self._port), timeout=2) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
