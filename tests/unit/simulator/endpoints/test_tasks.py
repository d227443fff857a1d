"""What a task is said to be, and how it is cancelled."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from tests.unit.simulator.conftest import Service, StandingTime

CHINA = timezone(timedelta(hours=8))
WITH_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
WITHOUT_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def test_pending_and_running_tasks_are_described_as_recorded(service: Service) -> None:
    running, pending = (service.submitted() for _ in range(2))
    assert service.output(running).keys() == {
        "task_id", "task_status", "submit_time", "scheduled_time", "task_metrics",
    }  # fmt: skip
    # The documents' own trap: a success counted while the task still runs.
    assert service.output(running)["task_metrics"] == {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}
    assert service.output(pending).keys() == {"task_id", "task_status", "submit_time", "task_metrics"}
    assert service.output(pending)["task_metrics"] == {"TOTAL": 1, "SUCCEEDED": 0, "FAILED": 0}
    assert "usage" not in service.task(pending)


def test_succeeded_repaint_is_described_as_recorded(standing_time: StandingTime, service: Service) -> None:
    standing_time.passed = 2.5
    task_id = service.submitted(style=30)
    service.simulator.advance(9)
    body = service.task(task_id)
    output = body["output"]
    assert body.keys() == {"request_id", "output", "usage"}
    assert output.keys() == {
        "task_id", "task_status", "submit_time", "scheduled_time", "end_time", "start_time", "error_message",
        "error_code", "style_index", "results",
    }  # fmt: skip
    assert (output["error_message"], output["error_code"], output["style_index"]) == ("Success", 0, 30)
    assert body["usage"] == {"image_count": 1}
    assert WITH_MILLISECONDS.fullmatch(output["submit_time"])
    assert WITH_MILLISECONDS.fullmatch(output["scheduled_time"])
    assert WITHOUT_MILLISECONDS.fullmatch(output["start_time"])
    assert WITHOUT_MILLISECONDS.fullmatch(output["end_time"])
    submitted = datetime.strptime(output["submit_time"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=CHINA)
    assert submitted.timestamp() == standing_time.began + 2.5


def test_unknown_task_is_answered_with_200(service: Service) -> None:
    assert service.output("1111") == {"task_id": "1111", "task_status": "UNKNOWN"}
    assert service.task("1111").keys() == {"request_id", "output"}


def test_only_a_pending_task_can_be_cancelled(service: Service) -> None:
    running, pending = service.submitted(), service.submitted()
    cancelled = service.http.post(f"/tasks/{pending}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json().keys() == {"request_id"}
    assert service.status(pending) == "CANCELED"
    for task in (running, pending, "1111"):
        refused = service.http.post(f"/tasks/{task}/cancel")
        assert (refused.status_code, refused.json()["code"]) == (400, "UnsupportedOperation")
        assert "PENDING status" in refused.json()["message"]
    service.simulator.advance(20)
    totals = service.simulator.ledger()["totals"]
    assert (totals["succeeded"], totals["canceled"], totals["billed"]) == (1, 1, 1)


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
