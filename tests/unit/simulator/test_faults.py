"""Faults on demand, over real sockets."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.simulator.conftest import Service, StandingTime


def cause_of(error: BaseException) -> OSError:
    """Find what the socket said beneath the client's own exception."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError):
        found = found.__cause__ or found.__context__
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "Throttling.RateQuota"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (401, "InvalidApiKey"),
    ],
)
def test_status_fault_answers_with_the_code_that_goes_with_it(
    service: Service, status: int, code: str
) -> None:
    service.simulator.add_fault(
        endpoint="get_task", kind="status", status=status, headers={"Retry-After": "7"}, times=1
    )
    response = service.http.get("/tasks/1111")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["retry-after"] == "7"
    assert service.http.get("/tasks/1111").status_code == 200


def test_code_and_message_can_be_chosen(service: Service) -> None:
    service.simulator.add_fault(
        endpoint="submit", kind="status", status=400, code="Arrearage", message="Pay first."
    )
    body = service.repaint().json()
    assert (body["code"], body["message"]) == ("Arrearage", "Pay first.")
    assert service.simulator.ledger()["totals"]["accepted"] == 0


def test_reset_fault_resets_the_connection_before_any_work(service: Service) -> None:
    service.simulator.add_fault(endpoint="submit", kind="reset", times=1)
    with pytest.raises(httpx.ReadError) as caught:
        service.repaint()
    assert cause_of(caught.value).errno == errno.ECONNRESET
    ledger = service.simulator.ledger()
    assert ledger["totals"]["accepted"] == ledger["totals"]["submissions"] == 0
    assert ledger["endpoints"]["submit"] == {"requests": 1, "refused": 0, "errors": 0, "faults": 1}


def test_lost_answer_leaves_an_accepted_task_behind(service: Service) -> None:
    service.simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        service.repaint()
    assert service.simulator.ledger()["totals"]["accepted"] == 1
    assert service.rows()["total"] == 1


@pytest.mark.parametrize("endpoint", ["get_task", "list_tasks", "cancel", "upload_policy", "quotas"])
def test_truncated_answer_promises_more_than_comes(service: Service, endpoint: str) -> None:
    method, path = {
        "get_task": ("GET", "/tasks/1111"),
        "list_tasks": ("GET", "/tasks/"),
        "cancel": ("POST", "/tasks/1111/cancel"),
        "upload_policy": ("GET", "/uploads?action=getPolicy&model=m"),
        "quotas": ("GET", "/quotas"),
    }[endpoint]
    service.simulator.add_fault(endpoint=endpoint, kind="truncate", times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        service.http.request(method, path)
    assert service.http.request(method, path).content


def test_truncated_result_is_cut_in_half(service: Service) -> None:
    url = service.ended()["results"][0]["url"]
    whole = httpx.get(url).content
    service.simulator.add_fault(endpoint="result", kind="truncate", times=1)
    got: list[bytes] = []
    with httpx.stream("GET", url) as response:
        assert int(response.headers["content-length"]) == len(whole)
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(response.iter_bytes())
    assert b"".join(got) == whole[: len(whole) // 2]


def test_delay_answers_late(service: Service) -> None:
    service.simulator.add_fault(endpoint="get_task", kind="delay", seconds=3600, times=1)
    with pytest.raises(httpx.ReadTimeout):
        service.http.get("/tasks/1111", timeout=0.1)
    assert service.http.get("/tasks/1111", timeout=60).status_code == 200
    service.simulator.add_fault(endpoint="get_task", kind="delay", seconds=0.2, times=1)
    began = time.monotonic()
    assert service.http.get("/tasks/1111").status_code == 200
    assert time.monotonic() - began >= 0.2


def test_garbage_and_empty_answers_are_no_json(service: Service) -> None:
    service.simulator.add_fault(endpoint="get_task", kind="garbage", times=1)
    service.simulator.add_fault(endpoint="get_task", kind="empty", times=1, status=502)
    garbage, empty = (service.http.get("/tasks/1111") for _ in range(2))
    assert garbage.status_code == 200
    with pytest.raises(ValueError, match="decode"):
        garbage.json()
    assert (empty.status_code, empty.content) == (502, b"")


def test_task_can_be_unknown_for_a_while(service: Service) -> None:
    task_id = service.submitted()
    service.simulator.add_fault(endpoint="get_task", kind="unknown", times=2)
    assert [service.status(task_id) for _ in range(3)] == ["UNKNOWN", "UNKNOWN", "RUNNING"]


@pytest.mark.parametrize("outcome", ["FAILED", "CANCELED", "UNKNOWN"])
def test_outcome_fault_decides_how_a_job_ends(service: Service, outcome: str) -> None:
    service.simulator.add_fault(endpoint="job", kind="outcome", outcome=outcome, times=1)
    output = service.ended()
    assert output["task_status"] == outcome
    assert "results" not in output
    assert service.rows()["data"][0]["status"] == outcome
    assert service.simulator.ledger()["totals"]["billed"] == 0
    assert service.ended()["task_status"] == "SUCCEEDED"


def test_failure_has_the_code_that_was_asked_for(service: Service) -> None:
    service.simulator.add_fault(
        endpoint="job", kind="outcome", outcome="FAILED", code="DataInspectionFailed", message="Not suitable."
    )
    output = service.ended()
    assert (output["code"], output["message"]) == ("DataInspectionFailed", "Not suitable.")


def test_partial_outcome_succeeds_with_a_failed_result(service: Service) -> None:
    service.simulator.add_fault(endpoint="job", kind="outcome", outcome="PARTIAL", code="InternalError.Algo")
    task = service.made(
        model="wanx-v1",
        path="aigc/text2image/image-synthesis",
        input={"prompt": "a cat"},
        parameters={"n": 3},
    )
    *good, bad = task["output"]["results"]
    assert task["output"]["task_status"] == "SUCCEEDED"
    assert len([item for item in good if "url" in item]) == 2
    assert bad.keys() == {"code", "message"}
    assert task["output"]["task_metrics"] == {"TOTAL": 3, "SUCCEEDED": 2, "FAILED": 1}
    assert task["usage"] == {"image_count": 2}


def test_job_can_run_longer(service: Service) -> None:
    service.simulator.add_fault(endpoint="job", kind="outcome", runs_for=100, times=1)
    task_id = service.submitted()
    service.simulator.advance(99)
    assert service.status(task_id) == "RUNNING"
    service.simulator.advance(2)
    assert service.status(task_id) == "SUCCEEDED"


def test_input_fault_fails_the_download(service: Service) -> None:
    service.simulator.add_fault(endpoint="input", kind="status", code="InvalidURL.Timeout", times=1)
    service.simulator.add_fault(endpoint="input", kind="reset", times=1)
    assert service.ended()["code"] == "InvalidURL.Timeout"
    assert service.ended()["code"] == "InvalidURL.ConnectionRefused"
    assert service.ended()["task_status"] == "SUCCEEDED"


def test_fault_strikes_only_what_it_is_meant_for(serve: Callable[..., Service]) -> None:
    service = serve(concurrency=5)
    one, other = service.submitted(style=1), service.submitted(style=2)
    service.simulator.add_fault(endpoint="get_task", kind="status", task_id=one)
    service.simulator.add_fault(endpoint="submit", kind="status", style=7)
    service.simulator.add_fault(endpoint="cancel", kind="status", style=2)
    service.simulator.add_fault(endpoint="submit", kind="status", model="wanx-v1")
    assert service.http.get(f"/tasks/{one}").status_code == 500
    assert service.http.get(f"/tasks/{other}").status_code == 200
    assert [service.repaint(style=style).status_code for style in (7, 8)] == [500, 200]
    assert [service.http.post(f"/tasks/{task}/cancel").status_code for task in (one, other)] == [400, 500]
    painted = service.post(model="wanx-v1", path="aigc/text2image/image-synthesis", input={"prompt": "a cat"})
    assert painted.status_code == 500
    service.simulator.clear_faults()
    service.simulator.add_fault(endpoint="result", kind="status", status=404, style=2)
    service.simulator.advance(9)
    statuses = [httpx.get(service.output(task)["results"][0]["url"]).status_code for task in (one, other)]
    assert statuses == [200, 404]


def test_fault_can_spare_the_first_requests_and_end_after_some(service: Service) -> None:
    fault = service.simulator.add_fault(endpoint="get_task", kind="status", after=2, times=2)
    statuses = [service.http.get("/tasks/1111").status_code for _ in range(6)]
    assert statuses == [200, 200, 500, 500, 200, 200]
    (described,) = service.simulator.faults()
    assert described["id"] == fault
    assert (described["struck"], described["spent"]) == (2, True)


def test_rate_of_a_fault_is_reproducible(serve: Callable[..., Service]) -> None:
    def statuses() -> list[int]:
        service = serve(seed=5)
        service.simulator.add_fault(endpoint="get_task", kind="status", rate=0.5)
        return [service.http.get("/tasks/1111").status_code for _ in range(30)]

    first, second = statuses(), statuses()
    assert first == second
    assert 5 < first.count(500) < 25


def test_fault_ends_with_its_time(standing_time: StandingTime, service: Service) -> None:
    service.simulator.add_fault(endpoint="get_task", kind="status", for_seconds=60)
    standing_time.passed = 59.9
    assert service.http.get("/tasks/1111").status_code == 500
    standing_time.passed = 60.0
    assert service.http.get("/tasks/1111").status_code == 200


def test_faults_can_be_read_and_removed(service: Service) -> None:
    one = service.simulator.add_fault(endpoint="get_task", kind="status")
    assert service.http.get("/tasks/1111").status_code == 500
    assert [(fault["id"], fault["struck"]) for fault in service.simulator.faults()] == [(one, 1)]
    service.simulator.clear_faults()
    assert service.http.get("/tasks/1111").status_code == 200
    assert service.simulator.faults() == []


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"endpoint": "nowhere", "kind": "status"}, "endpoint"),
        ({"endpoint": "submit", "kind": "explode"}, "kind"),
        ({"endpoint": "submit"}, "Field required"),
        ({"endpoint": "submit", "kind": "status", "status": 99}, "status"),
        ({"endpoint": "submit", "kind": "status", "rate": 2}, "rate"),
        ({"endpoint": "submit", "kind": "status", "tims": 2}, "tims"),
        ({"endpoint": "submit", "kind": "unknown"}, "get_task"),
        ({"endpoint": "submit", "kind": "outcome", "outcome": "FAILED"}, "job"),
        ({"endpoint": "job", "kind": "outcome"}, "outcome"),
        ({"endpoint": "submit", "kind": "status", "outcome": "FAILED"}, "outcome"),
    ],
)
def test_fault_that_makes_no_sense_is_refused_with_a_reason(
    service: Service, fault: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        service.simulator.add_fault(**fault)
    assert service.simulator.faults() == []


@pytest.mark.parametrize("kind", ["reset", "lose_answer", "truncate"])
def test_broken_connections_work_with_the_pure_python_parser_too(kind: str) -> None:
    simulator = BackgroundSimulator()
    simulator._server.config.http = H11Protocol
    with simulator:
        simulator.add_fault(endpoint="list_tasks", kind=kind)
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            httpx.get(f"{simulator.url}/api/v1/tasks", headers=simulator.headers)
