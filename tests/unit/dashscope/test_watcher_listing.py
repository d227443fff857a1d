from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_wanx.dashscope.api.answers import Answer
from airflow_provider_wanx.dashscope.errors import (
    DashScopeError,
    InvalidResponseError,
    TransportError,
    api_error,
)
from airflow_provider_wanx.dashscope.listing import BROKEN, FRUITLESS, PATIENCE, ListPlan, Page, Query
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.schedule import Schedule
from airflow_provider_wanx.dashscope.watched import Row, Tuning

WALL = 1_700_000_000.0
SUCCEEDED, RUNNING, PENDING = TaskStatus.SUCCEEDED, TaskStatus.RUNNING, TaskStatus.PENDING


class Service:
    """Answers a plan's queries from a table of tasks, newest first."""

    def __init__(self, *, waited_for: int, foreign: int = 0, page_size: int = 100, first: int = 0) -> None:
        self.schedule = Schedule(limit=20.0, rate=12.0, tuning=Tuning(direct=0.0))
        self.plan = ListPlan(self.schedule)
        self.statuses: dict[str, TaskStatus] = {f"foreign-{number}": SUCCEEDED for number in range(foreign)}
        self.page_size = page_size
        self.asked: list[Query] = []
        self.now = 0.0
        for number in range(first, first + waited_for):
            self.statuses[f"task-{number}"] = PENDING
            self.schedule.add(f"task-{number}", interval=3.0, now=0.0, wall=WALL)

    def page(self, query: Query) -> Page:
        """What the service answers."""
        size = min(query.page_size, self.page_size)
        rows = [
            Row(task_id, status, "m", WALL + number + 1, 0.0, 0.0)
            for number, (task_id, status) in enumerate(self.statuses.items())
            if query.status in (None, status)
        ][::-1]
        start = (query.page_no - 1) * size
        return Page(rows[start : start + size], start + size < len(rows))

    def run(self, seconds: float) -> list[Query]:
        """Let time pass, with an answer after 50 ms each; return what was asked."""
        end, before = self.now + seconds, len(self.asked)
        while self.now < end:
            query = self.plan.next_query(self.now)
            if query is None:
                self.now = max(self.now + 0.01, min(self.plan.next_at(self.now), end))
                continue
            self.asked.append(query)
            self.now += 0.05
            self.plan.read(self.page(query), now=self.now, wall=WALL + self.now)
        return self.asked[before:]


def test_all_tasks_are_found_in_the_list_first() -> None:
    service = Service(waited_for=250)

    pages = [query.page_no for query in service.run(2.0) if query.status is None]

    assert pages == [1, 2, 3]
    assert not service.schedule.unlocated


@pytest.mark.parametrize("page_size", [1, 10, 37])
def test_a_capped_page_size_only_takes_more_pages(page_size: int) -> None:
    service = Service(waited_for=60, page_size=page_size)

    service.run(8.0)

    assert not service.schedule.unlocated


def test_a_search_for_new_tasks_stops_when_they_are_found() -> None:
    service = Service(waited_for=500)
    service.run(5.0)

    service.statuses["late"] = PENDING
    service.schedule.add("late", interval=3.0, now=service.now, wall=WALL + service.now)
    pages = [query.page_no for query in service.run(3.0) if query.status is None]

    assert "late" not in service.schedule.unlocated
    assert pages == [1]


def test_a_search_in_vain_is_given_up_and_the_task_asked_for_itself() -> None:
    service = Service(waited_for=0, foreign=5000)
    service.schedule.add("nowhere", interval=3.0, now=0.0, wall=WALL - 1)

    pages = [query for query in service.run(4.0) if query.status is None]

    assert len(pages) == FRUITLESS
    assert service.schedule.next_task(service.now) == "nowhere"


def test_every_minute_the_whole_list_is_read_again() -> None:
    service = Service(waited_for=300)
    service.run(5.0)

    pages = [query.page_no for query in service.run(150.0) if query.status is None]

    assert pages.count(3) == 2


def test_what_has_ended_is_looked_for_most_often_and_cancellations_least() -> None:
    service = Service(waited_for=50)
    for number in range(60):
        service.statuses[f"task-{number % 50}"] = RUNNING
        service.schedule.last_change_at = service.now
        service.run(1.0)

    counts = {status: sum(query.status is status for query in service.asked) for status in TaskStatus}
    assert counts[SUCCEEDED] > 3 * counts[RUNNING] > 0
    assert counts[SUCCEEDED] > 3 * counts[TaskStatus.FAILED] > 0
    assert counts[TaskStatus.FAILED] > 2 * counts[TaskStatus.CANCELED] > 0
    assert len(service.asked) < 60 * 3


def test_a_quiet_queue_is_looked_at_at_the_poll_interval() -> None:
    service = Service(waited_for=50)
    service.run(60.0)

    assert sum(query.status is SUCCEEDED for query in service.run(30.0)) <= 11


def test_as_many_pages_are_read_as_bring_news() -> None:
    service = Service(waited_for=350)
    service.run(5.0)
    for number in range(250):
        service.statuses[f"task-{number}"] = SUCCEEDED

    pages = [query.page_no for query in service.run(4.0) if query.status is SUCCEEDED]

    assert pages[:4].count(1) <= 2
    assert 3 in pages
    assert 4 not in pages


def test_failures_are_found_too() -> None:
    service = Service(waited_for=50)
    service.run(5.0)
    service.statuses["task-7"] = TaskStatus.FAILED
    service.statuses["task-9"] = TaskStatus.CANCELED

    service.run(40.0)

    assert {service.schedule.next_task(service.now) for _ in range(2)} == {"task-7", "task-9"}


def _failing(service: Service, error: DashScopeError) -> None:
    while service.plan.next_query(service.now) is None:
        service.now = service.plan.next_at(service.now)
    service.plan.failed(error, now=service.now)


def _refusal(status: int = 400) -> DashScopeError:
    return api_error(
        code="InvalidParameter", service_message="", http_status=status, request_id=None, doing="list"
    )


def test_failures_in_a_row_mean_that_the_list_does_not_work_and_are_followed_by_longer_pauses() -> None:
    service = Service(waited_for=50)
    for _ in range(BROKEN - 1):
        _failing(service, TransportError("gone"))
        assert service.plan.works(service.now)
    waits = []
    for _ in range(8):
        _failing(service, TransportError("gone"))
        assert not service.plan.works(service.now)
        waits.append(service.plan.next_at(service.now) - service.now)
    assert waits == sorted(waits)
    assert waits[-1] == 300.0

    service.now = service.plan.next_at(service.now)
    service.run(0.1)
    assert service.plan.works(service.now)


def test_an_answer_that_does_not_come_means_that_the_list_does_not_work() -> None:
    service = Service(waited_for=50)
    assert service.plan.next_query(0.0) is not None

    assert service.plan.next_query(1.0) is None
    assert service.plan.next_at(1.0) == PATIENCE
    assert service.plan.works(1.0)
    assert not service.plan.works(PATIENCE)


def test_a_refused_page_is_asked_for_in_smaller_sizes_before_the_list_is_given_up() -> None:
    service = Service(waited_for=50)
    sizes = []
    for _ in range(5):
        query = service.plan.next_query(service.now)
        assert query is not None
        sizes.append(query.page_size)
        service.plan.failed(_refusal(), now=service.now)

    assert sizes == [100, 50, 25, 12, 10]
    assert not service.plan.works(service.now)


def _answer(document: object) -> Answer:
    return Answer(200, {}, json.dumps(document).encode(), "list")


def _read(document: object) -> Page:
    return Query(status=None, page_no=1, page_size=100).call().read(_answer(document))


def test_rows_that_make_no_sense_are_passed_over() -> None:
    good: dict[str, Any] = {
        "task_id": "a",
        "status": "SUCCEEDED",
        "model_name": "m",
        "gmt_create": 1_709_260_684_485,
        "start_time": None,
        "end_time": "soon",
    }
    rows = [
        good,
        7,
        {},
        {"task_id": "b"},
        {"task_id": 3, "status": "RUNNING"},
        {"task_id": "c", "status": "NEW"},
    ]

    page = _read({"data": rows, "total_page": 3})

    assert page.rows == [Row("a", SUCCEEDED, "m", 1_709_260_684.485, 0.0, 0.0)]
    assert page.has_more


@pytest.mark.parametrize("document", [{}, {"data": None}, {"data": {}}, {"data": "rows"}])
def test_an_answer_without_rows_is_an_error_and_no_empty_page(document: object) -> None:
    with pytest.raises(InvalidResponseError):
        _read(document)


@pytest.mark.parametrize("total_page", [None, "many", 1, 0])
def test_without_a_number_of_pages_there_is_no_next_one(total_page: object) -> None:
    page = _read({"data": [{"task_id": "a", "status": "RUNNING"}], "total_page": total_page})

    assert not page.has_more
