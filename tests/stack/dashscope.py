"""The local DashScope in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.stack.environment import clean_environment
from tests.stack.ports import LOOPBACK
from tests.stack.process import ManagedProcess

API_KEY = "sk-demo-0123456789abcdef0123456789abcdef"


class Simulator:
    """``python -m airflow_provider_wanx.simulator``.

    :param port: port to listen on
    :param speed: how much faster than the service's its clocks run
    :param keys: the API keys that it accepts; none for any
    :param arguments: more command line arguments
    :param python: the interpreter of the environment whose simulator it is
    """

    def __init__(
        self,
        *,
        port: int,
        logs: Path,
        speed: float = 1.0,
        keys: Sequence[str] = (API_KEY,),
        arguments: Sequence[str] = (),
        python: Path = Path(sys.executable),
    ) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self._port = port
        self.speed = speed
        command = [str(python), "-m", "airflow_provider_wanx.simulator"]
        command += [part for key in keys for part in ("--api-key", key)]
        self.process = ManagedProcess(
            name="local DashScope",
            command=[*command, "--port", str(port), "--speed", str(speed), *arguments],
            env=clean_environment(),
            log_file=logs / "dashscope.log",
        )

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection to it."""
        # With a port of its own, because Airflow 3.3.2 tests no stored connection without one.
        return {
            "conn_type": "dashscope",
            "host": f"http://{LOOPBACK}",
            "port": self._port,
            "password": API_KEY,
        }

    def ready(self) -> bool:
        """Whether it answers."""
        return httpx.get(self.url, trust_env=False).is_success
