"""How often a task endpoint may be asked, and at which addresses. What it answers, tests/conformance looks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.simulator.conftest import Service


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/tasks/1111"), ("GET", "/tasks"), ("POST", "/tasks/1111/cancel")]
)
def test_each_task_endpoint_takes_20_requests_a_second(
    serve: Callable[..., Service], method: str, path: str
) -> None:
    # So slow a clock gives no request back while the test asks.
    service = serve(task_rate=20, speed=0.01)
    statuses = [service.http.request(method, path).status_code for _ in range(21)]
    assert 429 not in statuses[:20]
    assert statuses[20] == 429
    # The other endpoints still have theirs.
    other = "/tasks" if path != "/tasks" else "/tasks/1111"
    assert service.http.get(other).status_code == 200
    service.simulator.advance(1)
    assert service.http.request(method, path).status_code != 429


def test_trailing_slash_does_not_matter(service: Service) -> None:
    task_id = service.submitted()
    assert service.http.get(f"/tasks/{task_id}/").json()["output"]["task_id"] == task_id
    assert service.http.get("/tasks").json()["total"] == service.http.get("/tasks/").json()["total"] == 1
