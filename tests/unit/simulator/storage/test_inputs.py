from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.simulator.conftest import Service, data_url, picture


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(lambda: b"just words", "InvalidURL", id="words"),
        pytest.param(lambda: b"", "InvalidURL", id="nothing"),
        pytest.param(lambda: picture((300, 300), "GIF"), "InvalidImageFormat", id="GIF"),
        pytest.param(lambda: picture((300, 300))[:-40], "InvalidImageFormat", id="cut off"),
        pytest.param(lambda: picture((100, 100)), "InvalidImageResolution", id="tiny"),
        pytest.param(lambda: picture((255, 900)), "InvalidImageResolution", id="narrow"),
        pytest.param(lambda: picture((5761, 300)), "InvalidImageResolution", id="wide"),
        pytest.param(lambda: picture((3300, 3300)), "InvalidImageResolution", id="large"),
        pytest.param(
            lambda: picture((300, 300)) + bytes(11 * 1024 * 1024), "InvalidImage.ImageSize", id="heavy"
        ),
    ],
)
def test_bad_picture_fails_the_task_and_costs_nothing(
    service: Service, make: Callable[[], bytes], code: str
) -> None:
    task_id = service.submitted(image=data_url(make()))
    service.simulator.advance(9)
    body = service.task(task_id)
    assert (body["output"]["task_status"], body["output"]["code"]) == ("FAILED", code)
    assert body["output"]["message"]
    assert body["usage"] == {"image_count": 0}
    assert service.simulator.ledger()["totals"]["billed"] == 0


def test_input_is_fetched_once_it_is_worked_on_by_an_agent_that_tells_who_it_is(
    service: Service, web: tuple[str, dict[str, Any]], portrait: bytes
) -> None:
    address, pages = web
    pages["/face.jpg"] = (200, portrait)
    assert service.ended(image=f"{address}/face.jpg")["task_status"] == "SUCCEEDED"
    assert len(pages["agents"]) == 1
    assert "DashScopeUserBot" in pages["agents"][0]
    assert service.simulator.ledger()["totals"]["fetched_inputs"] == 1


def test_input_that_cannot_be_fetched_fails_the_task(
    service: Service, web: tuple[str, dict[str, Any]], unused_port: int
) -> None:
    address, pages = web
    pages["/forbidden.jpg"] = (403, b"no")
    assert service.ended(image=f"{address}/forbidden.jpg")["code"] == "InvalidURL"
    assert service.ended(image=f"{address}/absent.jpg")["code"] == "InvalidURL"
    assert (
        service.ended(image=f"http://127.0.0.1:{unused_port}/x.jpg")["code"] == "InvalidURL.ConnectionRefused"
    )


def test_input_that_does_not_come_in_time_fails_the_task(serve: Callable[..., Service]) -> None:
    slow = serve()
    slow.simulator.add_fault(endpoint="result", kind="delay", seconds=30)
    service = serve(fetch_timeout=0.1)
    assert service.ended(image=f"{slow.simulator.url}/results/x.jpg")["code"] == "InvalidURL.Timeout"


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
