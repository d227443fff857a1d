"""The ways to run the simulator."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from airflow_provider_wanx.simulator.__main__ import main
from airflow_provider_wanx.simulator.server import BackgroundSimulator, SimulatorProcess
from tests.unit.simulator.conftest import Service, StandingTime


def test_speed_scales_jobs_while_reported_times_stay_comparable(
    standing_time: StandingTime, serve: Callable[..., Service]
) -> None:
    service = serve(speed=100, duration=20)
    standing_time.passed = 60
    task_id = service.submitted()
    standing_time.passed = 61
    while service.status(task_id) != "SUCCEEDED":
        pass
    (task,) = service.simulator.ledger()["tasks"]
    submitted, started, ended = (
        task[f"{name}_time"] - standing_time.began for name in ("submit", "start", "end")
    )
    assert submitted == started == 60
    # Later than 60.2 only if the painter was at work when time went on.
    assert 60.2 <= round(ended, 3) <= 61


def test_connection_json_makes_an_airflow_connection(service: Service) -> None:
    assert json.loads(service.simulator.connection_json()) == {
        "conn_type": "dashscope", "host": service.simulator.url, "password": service.simulator.api_key,
    }  # fmt: skip
    assert json.loads(service.simulator.connection_json(region="x"))["extra"] == {"region": "x"}


def test_it_answers_once_it_has_started_and_no_more_once_it_has_stopped() -> None:
    simulator = BackgroundSimulator().start()
    assert httpx.get(f"{simulator.url}/api/v1/tasks", headers=simulator.headers).status_code == 200
    simulator.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(simulator.url)


def test_stop_answers_at_once_what_a_fault_holds_back() -> None:
    simulator = BackgroundSimulator().start()
    simulator.add_fault(endpoint="list_tasks", kind="delay", seconds=3600)
    with ThreadPoolExecutor() as pool:
        url, headers = f"{simulator.url}/api/v1/tasks", simulator.headers
        held_back = pool.submit(httpx.get, url, headers=headers, timeout=60)
        while "list_tasks" not in simulator.ledger(summary=True)["endpoints"]:
            pass
        simulator.stop()
        # Whoever stops to serve without this answer cuts its connection.
        assert held_back.result().status_code == 200


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_process_tells_its_address_and_ends_cleanly(end: signal.Signals) -> None:
    with SimulatorProcess(arguments=["--speed", "100", "--api-key", "sk-mine"]) as simulator:
        assert simulator.api_key == "sk-mine"
        response = httpx.get(f"{simulator.url}/api/v1/tasks", headers=simulator.headers)
        assert response.json()["total"] == 0
        os.kill(simulator.process.pid, end)
        assert simulator.process.wait(timeout=60) == 0


def test_process_ends_with_the_one_that_started_it() -> None:
    code = (
        "import os, signal; from airflow_provider_wanx.simulator.server import SimulatorProcess;"
        "simulator = SimulatorProcess(); print(simulator.url, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    # Its error output, which it has from the process that is dead, was read to the end: it has ended too.
    with pytest.raises(httpx.ConnectError):
        httpx.get(done.stdout.strip(), timeout=60, trust_env=False)


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


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_other_machines_reach_it_only_if_that_is_wanted(host: str) -> None:
    with pytest.raises(ValueError, match=r"can be reached from other machines.*--allow-remote"):
        BackgroundSimulator(host=host)


def test_one_that_may_be_reached_is_reached() -> None:
    with SimulatorProcess(arguments=["--host", "0.0.0.0", "--allow-remote"]) as simulator:
        port = simulator.url.rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/simulator/ledger", trust_env=False).status_code == 200
