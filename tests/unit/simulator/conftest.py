"""A plain HTTP client of the simulator: none of the package's own, so that both check each other."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dashscope
import httpx
import pytest
from PIL import Image

from airflow_provider_wanx.simulator import clock, faults
from airflow_provider_wanx.simulator.painting.painter import draw_portrait
from airflow_provider_wanx.simulator.server import BackgroundSimulator

# Version 1.x has no client.
collect_ignore = [] if hasattr(dashscope, "Client") else ["test_official_sdk_2.py"]

REPAINT = "wanx-style-repaint-v1"
REPAINT_PATH = "aigc/image-generation/generation"


def data_url(data: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def picture(size: tuple[int, int], kind: str = "PNG", colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


class Service:
    """Talks to one simulator as its documents say."""

    def __init__(self, simulator: BackgroundSimulator) -> None:
        self.simulator = simulator
        self.http = httpx.Client(
            base_url=f"{simulator.url}/api/v1",
            headers={**simulator.headers, "X-DashScope-Async": "enable"},
            trust_env=False,
        )

    def post(self, *, model: str = REPAINT, path: str = REPAINT_PATH, **body: Any) -> httpx.Response:
        return self.http.post(f"/services/{path}", json={"model": model, **body})

    def repaint(self, *, style: int = 3, image: str | None = None, **more: Any) -> httpx.Response:
        given = {"image_url": image or self.simulator.portrait_url, "style_index": style, **more}
        return self.post(input=given)

    def submitted(self, **repaint: Any) -> str:
        response = self.repaint(**repaint)
        assert response.status_code == 200, response.text
        task_id: str = response.json()["output"]["task_id"]
        return task_id

    def task(self, task_id: str) -> dict[str, Any]:
        response = self.http.get(f"/tasks/{task_id}")
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def output(self, task_id: str) -> dict[str, Any]:
        output: dict[str, Any] = self.task(task_id)["output"]
        return output

    def status(self, task_id: str) -> str:
        return str(self.output(task_id)["task_status"])

    def ended(self, **repaint: Any) -> dict[str, Any]:
        """Submit a repaint, let it end, and return its output."""
        task_id = self.submitted(**repaint)
        self.simulator.advance(9)
        return self.output(task_id)

    def made(self, *, model: str, path: str, **body: Any) -> dict[str, Any]:
        """Submit to another model, let it end, and return the task."""
        response = self.post(model=model, path=path, **body)
        assert response.status_code == 200, response.text
        self.simulator.advance(9)
        return self.task(response.json()["output"]["task_id"])

    def rows(self, **query: Any) -> dict[str, Any]:
        response = self.http.get("/tasks/", params=query)
        assert response.status_code == 200, response.text
        rows: dict[str, Any] = response.json()
        return rows


class StandingTime:
    """Real time that passes only when a test moves it, from the moment of its making on."""

    def __init__(self) -> None:
        self.began = 1_800_000_000.0
        self.passed = 0.0

    def time(self) -> float:
        return self.began + self.passed

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def standing_time(monkeypatch: pytest.MonkeyPatch) -> StandingTime:
    """Let the time of simulators that start from now on, and of their faults, stand still."""
    standing = StandingTime()
    monkeypatch.setattr(clock, "time", standing)
    monkeypatch.setattr(faults, "time", standing)
    return standing


@pytest.fixture
def serve(
    dashscope_simulator_factory: Callable[..., BackgroundSimulator],
) -> Iterator[Callable[..., Service]]:
    """Start simulators whose clocks a test moves itself: at speed 1, without a submission limit unless it asks for one."""
    services: list[Service] = []

    def start(**settings: Any) -> Service:
        service = Service(
            dashscope_simulator_factory(**{"speed": 1, "submit_rate": 0, "task_rate": 0, **settings})
        )
        services.append(service)
        return service

    yield start
    for service in services:
        service.http.close()


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve()


@pytest.fixture(scope="session")
def portrait() -> bytes:
    return draw_portrait(width=400, height=480)


@pytest.fixture
def china_time() -> Callable[[str], int]:
    """Reads a time of a task, with milliseconds or without, into whole seconds of POSIX time."""
    china = timezone(timedelta(hours=8))
    return lambda text: int(datetime.fromisoformat(text).replace(tzinfo=china).timestamp())


@pytest.fixture
def web() -> Iterator[tuple[str, dict[str, Any]]]:
    """A web server; tests put what it answers and find what it was asked."""
    pages: dict[str, Any] = {"agents": []}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages["agents"].append(self.headers["User-Agent"])
            status, body = pages.get(self.path, (404, b"nothing here"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", pages
    server.shutdown()
    thread.join()
    server.server_close()
