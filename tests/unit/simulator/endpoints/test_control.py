"""What tests may do to the simulator."""

from __future__ import annotations

import httpx
import pytest

from tests.unit.simulator.conftest import Service


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
