from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from tests.unit.simulator.conftest import REPAINT, Service

CHINA = timezone(timedelta(hours=8))


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
