"""The way of a task: queue, states, times, cancellation, list, oblivion."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.simulator.conftest import REPAINT, REPAINT_PATH, Service, StandingTime

CHINA = timezone(timedelta(hours=8))
WITH_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
WITHOUT_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def test_one_job_runs_and_the_rest_waits_first_in_first_out(
    standing_time: StandingTime, service: Service
) -> None:
    tasks = [service.submitted() for _ in range(3)]
    assert [service.status(task) for task in tasks] == ["RUNNING", "PENDING", "PENDING"]
    service.simulator.advance(8.5)
    assert [service.status(task) for task in tasks] == ["SUCCEEDED", "RUNNING", "PENDING"]
    service.simulator.advance(16.5)
    assert [service.status(task) for task in tasks] == ["SUCCEEDED"] * 3
    entries = service.simulator.ledger()["tasks"]
    assert all(later["start_time"] == earlier["end_time"] for earlier, later in pairwise(entries))
    assert all(entry["end_time"] - entry["start_time"] == pytest.approx(8) for entry in entries)


def test_more_run_at_once_where_the_settings_say_so(serve: Callable[..., Service]) -> None:
    service = serve(concurrency=3)
    tasks = [service.submitted() for _ in range(4)]
    assert [service.status(task) for task in tasks] == ["RUNNING"] * 3 + ["PENDING"]


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


def test_task_vanishes_24_hours_after_its_submission(service: Service) -> None:
    task_id = service.submitted()
    service.simulator.advance(23.9 * 3600)
    assert service.status(task_id) == "SUCCEEDED"
    assert service.rows()["total"] == 1
    service.simulator.advance(0.2 * 3600)
    assert service.status(task_id) == "UNKNOWN"
    assert service.rows()["total"] == 0
    assert service.simulator.ledger()["totals"]["billed"] == 1


def test_task_that_waits_three_hours_fails(serve: Callable[..., Service]) -> None:
    service = serve()
    service.simulator.add_fault(endpoint="job", kind="outcome", runs_for=4 * 3600)
    running, waiting = service.submitted(), service.submitted()
    service.simulator.advance(3 * 3600 - 60)
    assert [service.status(task) for task in (running, waiting)] == ["RUNNING", "PENDING"]
    service.simulator.advance(61)
    for task in (running, waiting):
        assert service.output(task)["task_status"] == "FAILED"
        assert service.output(task)["code"] == "InternalError.Timeout"
    assert service.simulator.ledger()["totals"]["billed"] == 0


def test_jump_of_the_clock_lets_the_queue_work_on_meanwhile(service: Service) -> None:
    tasks = [service.submitted() for _ in range(20)]
    service.simulator.advance(6 * 3600)
    assert {service.status(task) for task in tasks} == {"SUCCEEDED"}


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


def test_list_rows_are_flat_with_epoch_times_and_no_results(
    standing_time: StandingTime, service: Service
) -> None:
    standing_time.passed = 2.5
    response = service.repaint()
    service.submitted()
    service.simulator.advance(8.5)
    listing = service.rows()
    assert listing.keys() == {"total", "data", "total_page", "page_no", "page_size", "request_id"}
    running, ended = listing["data"]
    assert ended.keys() == {
        "api_key_id", "caller_parent_id", "caller_uid", "gmt_create", "start_time", "end_time", "model_name", "region",
        "request_id", "status", "task_id", "user_api_unique_key",
    }  # fmt: skip
    assert ended["task_id"] == response.json()["output"]["task_id"]
    assert ended["request_id"] == response.json()["request_id"]
    assert ended["gmt_create"] == (standing_time.began + 2.5) * 1000
    assert ended["end_time"] - ended["start_time"] == 8000
    assert ended["user_api_unique_key"] == f"apikey:v1:{REPAINT_PATH.replace('/', ':')}:{REPAINT}"
    assert running["status"] == "RUNNING"
    assert "end_time" not in running


def test_list_pages_hold_every_task_once_newest_first(service: Service) -> None:
    tasks = [service.submitted() for _ in range(25)]
    pages = [service.rows(page_no=number) for number in (1, 2, 3, 4)]
    assert [len(page["data"]) for page in pages] == [10, 10, 5, 0]
    assert {(page["total"], page["total_page"], page["page_size"]) for page in pages} == {(25, 3, 10)}
    assert [row["task_id"] for page in pages for row in page["data"]] == tasks[::-1]


def test_list_filters_combine(service: Service) -> None:
    first, second = service.submitted(), service.submitted()
    service.post(model="wanx-v1", path="aigc/text2image/image-synthesis", input={"prompt": "a cat"})

    def found(**query: str) -> set[str]:
        return {row["task_id"] for row in service.rows(**query)["data"]}

    assert found(model_name=REPAINT) == {first, second}
    assert found(model_name=REPAINT, status="PENDING") == {second}
    assert found(task_id=first) == {first}
    assert found(task_id="1111") == set()
    assert found(status="FAILED") == set()
    assert found(region="cn-shanghai") == set()
    assert service.rows(model_name=REPAINT)["total"] == 2
    service.http.post(f"/tasks/{second}/cancel")
    assert found(model_name=REPAINT, status="PENDING") == set()
    assert found(status="CANCELED") == {second}


def test_list_understands_china_time_and_refuses_more_than_a_day(service: Service) -> None:
    task_id = service.submitted()
    now = datetime.now(CHINA)

    def stamp(hours: float) -> str:
        return f"{now + timedelta(hours=hours):%Y%m%d%H%M%S}"

    assert service.rows(start_time=stamp(-1), end_time=stamp(1))["data"][0]["task_id"] == task_id
    assert service.rows(start_time=stamp(-1))["total"] == 1
    assert service.rows(end_time=stamp(1))["total"] == 1
    assert service.rows(start_time=stamp(-3), end_time=stamp(-1))["total"] == 0
    assert service.rows(end_time=stamp(-1))["total"] == 0
    for query in (
        {"start_time": stamp(-30), "end_time": stamp(0)},
        {"start_time": stamp(1), "end_time": stamp(0)},
        {"start_time": "1709260684485"},
        {"status": "DONE"},
        {"page_no": "0"},
        {"page_size": "many"},
    ):
        refused = service.http.get("/tasks/", params=query)
        assert (refused.status_code, refused.json()["code"]) == (400, "InvalidParameter"), query


def test_page_size_is_capped(serve: Callable[..., Service]) -> None:
    service = serve(max_page_size=4)
    for _ in range(6):
        service.submitted()
    page = service.rows(page_size=1000)
    assert (len(page["data"]), page["page_size"], page["total_page"]) == (4, 4, 2)


def test_list_can_lag_behind_the_tasks(serve: Callable[..., Service]) -> None:
    service = serve(list_delay=60)
    task_id = service.submitted()
    assert service.rows()["total"] == 0
    service.simulator.advance(58)
    assert service.status(task_id) == "SUCCEEDED"
    service.simulator.advance(4)
    assert [row["status"] for row in service.rows()["data"]] == ["RUNNING"]
    service.simulator.advance(10)
    assert [row["status"] for row in service.rows()["data"]] == ["SUCCEEDED"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/tasks/1111"), ("GET", "/tasks"), ("POST", "/tasks/1111/cancel")]
)
def test_each_task_endpoint_takes_20_requests_a_second(
    serve: Callable[..., Service], method: str, path: str
) -> None:
    service = serve(task_rate=20)
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


class _NotWalkedThrough(list[Any]):
    """A list that serves for looking things up, but not for going through all of it."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("All tasks were walked through.")


def test_no_request_walks_through_ten_thousand_waiting_tasks(serve: Callable[..., Service]) -> None:
    service = serve(queue_limit=20_000, duration=3600)
    loop = service.simulator._server._loop
    assert loop is not None
    board = service.simulator._server.site.world.board
    first = service.submitted()
    order = board.all[0].order

    async def fill() -> None:
        for number in range(10_000):
            board.admit(order, task_id=f"task-{number}", request_id="", api_key_id="", fingerprint="")

    asyncio.run_coroutine_threadsafe(fill(), loop).result()
    board.all = _NotWalkedThrough(board.all)
    for number in range(20):
        page = service.rows(page_size=100, page_no=5 * number + 1, status="PENDING")
        assert len(page["data"]) == 100
        assert service.status(f"task-{number * 400}") == "PENDING"
    assert page["total"] == 10_000
    assert service.status(first) == "RUNNING"
