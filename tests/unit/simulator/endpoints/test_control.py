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


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": ""},
        {"Host": "[broken"},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/simulator/reset"), ("POST", "/simulator/keys"), ("GET", "/simulator/ledger"), ("GET", "/")],
)
def test_no_page_of_another_site_controls_it_or_reads_of_it(
    service: Service, method: str, path: str, headers: dict[str, str]
) -> None:
    task_id = service.submitted()
    body = {"json": {"keys": ["sk-evil"]}} if path.endswith("keys") else {}

    answer = httpx.request(method, service.simulator.url + path, headers=headers, **body)  # type: ignore[arg-type]

    assert answer.status_code in (400, 403)
    assert task_id not in answer.text
    assert service.status(task_id) != "UNKNOWN"


@pytest.mark.parametrize("origin", ["https://evil.example", "http://evil.example:8089"])
def test_no_page_of_another_site_makes_it_fetch_addresses(service: Service, origin: str) -> None:
    host = origin.partition("//")[2]
    for headers in ({"Origin": origin}, {"Origin": origin, "Host": host}):
        answer = service.http.post("/services/aigc/image-generation/generation", json={}, headers=headers)
        assert answer.status_code == 403
    assert service.simulator.ledger()["totals"]["submissions"] == 0


def test_its_own_page_and_names_of_the_own_network_are_welcome(service: Service) -> None:
    port = service.simulator.url.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"simulator:{port}", f"dashscope.internal:{port}"):
        for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
            assert httpx.get(f"{service.simulator.url}/simulator/ledger", headers=headers).status_code == 200
