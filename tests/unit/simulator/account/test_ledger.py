from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.unit.simulator.conftest import Service, StandingTime


def test_ledger_counts_what_was_asked_refused_and_billed(
    standing_time: StandingTime, serve: Callable[..., Service]
) -> None:
    service = serve(submit_rate=2)
    assert [service.repaint(style=style).status_code for style in (3, 99, 3)] == [200, 400, 429]
    service.simulator.advance(9)
    task_id = service.simulator.ledger()["tasks"][0]["task_id"]
    for _ in range(3):
        url = service.output(task_id)["results"][0]["url"]
    httpx.get(url)
    ledger = service.simulator.ledger()
    assert ledger["totals"] == {
        "submissions": 3, "accepted": 1, "refused": 2, "pending": 0, "running": 0, "succeeded": 1, "failed": 0,
        "canceled": 0, "unknown": 0, "billed": 1, "fetched_inputs": 1, "downloads": 1,
    }  # fmt: skip
    assert ledger["endpoints"]["submit"] == {"requests": 3, "refused": 1, "errors": 1, "faults": 0}
    (task,) = ledger["tasks"]
    assert (task["status"], task["style_index"], task["billed"]) == ("SUCCEEDED", 3, 1)
    assert (task["polls"], task["downloads"], task["canceled"]) == (3, 1, False)
    assert task["end_time"] - task["start_time"] == pytest.approx(8)


def test_ledger_shows_no_secrets_and_tells_equal_inputs(service: Service) -> None:
    for token in ("one", "one", "two"):
        service.repaint(image=f"{service.simulator.portrait_url}?Signature={token}")
    tasks = service.simulator.ledger()["tasks"]
    assert {task["image_url"] for task in tasks} == {service.simulator.portrait_url}
    first, second, third = (task["input_fingerprint"] for task in tasks)
    assert first == second != third


def test_ledger_can_be_kept_short(service: Service) -> None:
    service.submitted()
    assert "tasks" not in service.simulator.ledger(summary=True)
    between = service.simulator.ledger()["now"]
    latest = service.submitted()
    assert [task["task_id"] for task in service.simulator.ledger(since=between)["tasks"]] == [latest]
