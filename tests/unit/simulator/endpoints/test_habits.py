"""Habits of the service that others have met, and that are off unless a setting asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.simulator.conftest import Service

Make = Callable[..., BackgroundSimulator]


@pytest.fixture
def serve(dashscope_simulator_factory: Make) -> Iterator[Callable[..., Service]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Service:
            service = Service(dashscope_simulator_factory(submit_rate=0, **settings))
            stack.callback(service.http.close)
            return service

        yield make


def test_a_new_task_is_unknown_for_as_long_as_is_asked(serve: Callable[..., Service]) -> None:
    service = serve(unknown_for=600.0, duration=3600.0)
    task_id = service.submitted()
    assert service.task(task_id)["output"] == {"task_id": task_id, "task_status": "UNKNOWN"}
    service.simulator.advance(600)
    assert service.task(task_id)["output"]["task_status"] == "RUNNING"


@pytest.mark.parametrize(("key", "other"), [("data", "tasks"), ("tasks", "data")])
def test_the_list_has_its_rows_under_the_key_that_is_asked_for(
    serve: Callable[..., Service], key: str, other: str
) -> None:
    service = serve(list_key=key)
    task_id = service.submitted()
    body = service.http.get("/tasks").json()
    assert [row["task_id"] for row in body[key]] == [task_id]
    assert other not in body
