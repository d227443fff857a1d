from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.unit.simulator.conftest import Service, StandingTime


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
