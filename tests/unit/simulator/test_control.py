"""What tests may do to the simulator, and the ways to run it."""

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

from airflow_provider_wanx.simulator.cli import main
from airflow_provider_wanx.simulator.server import BackgroundSimulator, SimulatorProcess
from airflow_provider_wanx.simulator.settings import Settings, is_loopback
from tests.unit.simulator.conftest import Service, StandingTime


def test_ledger_counts_what_was_asked_refused_and_billed(
    standing_time: StandingTime, serve: Callable[..., Service]
) -> None:
    service = serve(submit_rate=2)
    assert [service.repaint(style=style).status_code for style in (3, 99, 3)] == [200, 400, 429]
    service.simulator.advance(9)
    task_id = service.simulator.ledger()["tasks"][0]["task_id"]
    for _ in range(3):
        url = service.output(task_id)["results"][0]["url"]
    httpx.get(url)
    ledger = service.simulator.ledger()
    assert ledger["totals"] == {
        "submissions": 3, "accepted": 1, "refused": 2, "pending": 0, "running": 0, "succeeded": 1, "failed": 0,
        "canceled": 0, "unknown": 0, "billed": 1, "fetched_inputs": 1, "downloads": 1,
    }  # fmt: skip
    assert ledger["endpoints"]["submit"] == {"requests": 3, "refused": 1, "errors": 1, "faults": 0}
    (task,) = ledger["tasks"]
    assert (task["status"], task["style_index"], task["billed"]) == ("SUCCEEDED", 3, 1)
    assert (task["polls"], task["downloads"], task["canceled"]) == (3, 1, False)
    assert task["end_time"] - task["start_time"] == pytest.approx(8)


def test_ledger_shows_no_secrets_and_tells_equal_inputs(service: Service) -> None:
    for token in ("one", "one", "two"):
        service.repaint(image=f"{service.simulator.portrait_url}?Signature={token}")
    tasks = service.simulator.ledger()["tasks"]
    assert {task["image_url"] for task in tasks} == {service.simulator.portrait_url}
    first, second, third = (task["input_fingerprint"] for task in tasks)
    assert first == second != third


def test_ledger_can_be_kept_short(service: Service) -> None:
    service.submitted()
    assert "tasks" not in service.simulator.ledger(summary=True)
    between = service.simulator.ledger()["now"]
    latest = service.submitted()
    assert [task["task_id"] for task in service.simulator.ledger(since=between)["tasks"]] == [latest]


def test_reset_forgets_everything(service: Service) -> None:
    task_id = service.submitted()
    service.submitted()
    service.simulator.add_fault(endpoint="quotas", kind="status")
    service.simulator.reset()
    assert service.status(task_id) == "UNKNOWN"
    assert service.http.get("/quotas").status_code == 200
    assert service.simulator.ledger()["totals"]["submissions"] == 0
    assert service.ended()["task_status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/simulator/clock", b'{"advance": -1}'),
        ("POST", "/simulator/clock", b'{"advance": "soon"}'),
        ("POST", "/simulator/clock", b"not json"),
        ("POST", "/simulator/clock", b"[]"),
        ("POST", "/simulator/keys", b'{"keys": "sk-one"}'),
        ("GET", "/simulator/ledger?since=yesterday", b""),
        ("GET", "/simulator/portrait.jpg?width=0", b""),
        ("GET", "/simulator/portrait.jpg?width=wide", b""),
    ],
)
def test_control_request_that_makes_no_sense_gets_422_and_a_reason(
    service: Service, method: str, path: str, body: bytes
) -> None:
    response = httpx.request(method, service.simulator.url + path, content=body)
    assert response.status_code == 422
    assert response.json()["error"]


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


def test_fixture_is_fresh_and_fast(
    standing_time: StandingTime, dashscope_simulator: BackgroundSimulator
) -> None:
    assert dashscope_simulator.ledger()["totals"]["submissions"] == 0
    headers = {**dashscope_simulator.headers, "X-DashScope-Async": "enable"}
    url = f"{dashscope_simulator.url}/api/v1/services/aigc/image-generation/generation"
    given = {"image_url": dashscope_simulator.portrait_url, "style_index": 0}
    body = {"model": "wanx-style-repaint-v1", "input": given}
    statuses = []
    for seconds in (0, 0, 0, 1 / 50):
        standing_time.passed += seconds
        statuses.append(httpx.post(url, headers=headers, json=body).status_code)
    # Two submissions a second, which pass fifty times as fast.
    assert statuses == [200, 200, 429, 200]


@pytest.mark.dashscope_simulator(api_keys=("sk-mine",), speed=3)
def test_marker_changes_the_settings_of_the_fixture(dashscope_simulator: BackgroundSimulator) -> None:
    assert dashscope_simulator.api_key == "sk-mine"
    assert (
        httpx.get(
            f"{dashscope_simulator.url}/api/v1/tasks", headers={"Authorization": "Bearer sk-other"}
        ).status_code
        == 401
    )


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


def test_plugin_imports_no_server() -> None:
    code = (
        "import sys, airflow_provider_wanx.simulator.pytest_plugin;"
        "sys.exit(any(name in sys.modules for name in ('starlette', 'uvicorn', 'PIL', 'httpx', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


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


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("0.0.0.0", False), ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_only_loopback_counts_as_local(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": 0},
        {"duration": -1},
        {"concurrency": 0},
        {"submit_rate": -1},
        {"max_page_size": 0},
        {"retention": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]
