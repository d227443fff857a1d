"""The ways to run the simulator."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from airflow_provider_wanx.simulator.__main__ import main
from airflow_provider_wanx.simulator.server import BackgroundSimulator, SimulatorProcess
from tests.unit.simulator.conftest import Service


def test_speed_scales_jobs_while_reported_times_stay_comparable(serve: Callable[..., Service]) -> None:
    service = serve(speed=100, duration=20)
    began = time.time()
    task_id = service.submitted()
    while service.status(task_id) != "SUCCEEDED":
        assert time.time() - began < 5
    (task,) = service.simulator.ledger()["tasks"]
    assert began <= task["submit_time"] <= task["end_time"] <= time.time()
    assert task["end_time"] - task["start_time"] >= 0.2 - 1e-6


def test_connection_json_makes_an_airflow_connection(service: Service) -> None:
    assert json.loads(service.simulator.connection_json()) == {
        "conn_type": "dashscope", "host": service.simulator.url, "password": service.simulator.api_key,
    }  # fmt: skip
    assert json.loads(service.simulator.connection_json(region="x"))["extra"] == {"region": "x"}


def test_start_takes_a_fraction_of_a_second() -> None:
    began = time.monotonic()
    simulator = BackgroundSimulator().start()
    started = time.monotonic()
    simulator.stop()
    assert started - began < 0.2
    with pytest.raises(httpx.ConnectError):
        httpx.get(simulator.url)


def test_stop_does_not_wait_for_what_a_fault_holds_back(service: Service) -> None:
    simulator = BackgroundSimulator().start()
    simulator.add_fault(endpoint="list_tasks", kind="delay", seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{simulator.url}/api/v1/tasks", headers=simulator.headers, timeout=0.1)
    began = time.monotonic()
    simulator.stop()
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_process_tells_its_address_and_ends_cleanly(end: signal.Signals) -> None:
    with SimulatorProcess(arguments=["--speed", "100", "--api-key", "sk-mine"]) as simulator:
        assert simulator.api_key == "sk-mine"
        response = httpx.get(f"{simulator.url}/api/v1/tasks", headers=simulator.headers)
        assert response.json()["total"] == 0
        os.kill(simulator.process.pid, end)
        assert simulator.process.wait(timeout=10) == 0


def test_process_ends_with_the_one_that_started_it() -> None:
    code = (
        "import os, signal; from airflow_provider_wanx.simulator.server import SimulatorProcess;"
        "simulator = SimulatorProcess(); print(simulator.url, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == -signal.SIGKILL
    # Its error output, which it has from the process that is dead, was read to the end: it has ended too.
    with pytest.raises(httpx.ConnectError):
        httpx.get(done.stdout.strip(), timeout=5, trust_env=False)


def test_simulator_leaves_the_logging_of_its_process_alone(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log")
    with BackgroundSimulator():
        assert handler.stream is not None
        assert not handler.stream.closed
    handler.close()


def test_process_that_cannot_start_is_reported() -> None:
    with pytest.raises(RuntimeError, match="did not become ready"):
        SimulatorProcess(arguments=["--speed", "0"])


def test_address_that_others_can_reach_is_refused_unless_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--host", "0.0.0.0", "--port", "0"])
    assert caught.value.code == 2
    assert "--allow-remote" in capsys.readouterr().err


def test_taken_port_is_reported_in_one_line(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--port", service.simulator.url.rpartition(":")[2]])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
