"""Single pictures that the service refuses, fails at, or never answers: the others are done as if there were none."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowTaskTimeout

from airflow_provider_wanx.batch import policy, submissions
from airflow_provider_wanx.batch.batch import Batch
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.batch.submissions import RowRecord
from airflow_provider_wanx.dashscope.api.endpoints import Endpoint
from airflow_provider_wanx.dashscope.client.clients import Exchange
from airflow_provider_wanx.dashscope.errors import LostAnswerError, S3Error
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.repainting import Bulk, accepted
from tests.unit.support.airflow import DagRun, TaskRunner
from tests.unit.support.pictures import data_url, picture
from tests.unit.support.service import totals

Service = Callable[..., BackgroundSimulator]

NEVER, BROKEN, REFUSED = 30, 31, 32
"""Styles of the pictures that the service does not take."""

GOOD = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 33, 34, 35, 36, 37]

CONTENT = {
    "code": "InternalError.Algo.DataInspectionFailed",
    "message": "Input image data may contain inappropriate content.",
}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(submissions, "SLOW_SECONDS", 0.05)


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was sent, and what was answered or given up: in this order, by style. One kind gets no answer before all others."""
    seen: list[tuple[str, int]] = []
    send_once, others_are_done = Exchange.send_once, threading.Event()

    async def watched(self: Exchange, call: Any, *more: Any) -> Any:
        if call.endpoint is not Endpoint.SUBMIT:
            return await send_once(self, call, *more)
        style = call.json["input"]["style_index"]
        seen.append(("sent", style))
        try:
            if style == NEVER:
                others_are_done.wait(60)
                raise LostAnswerError("No answer came.")
            return await send_once(self, call, *more)
        finally:
            seen.append(("ended", style))
            if {ended for what, ended in seen if what == "ended"} >= {*GOOD, REFUSED, BROKEN}:
                others_are_done.set()

    monkeypatch.setattr(Exchange, "send_once", watched)
    return seen


def rows(bulk: Bulk, styles: list[int]) -> dict[str, Any]:
    """A manifest with a picture for each style."""
    image = data_url(picture())
    lines = "".join(json.dumps({"image": image, "style": style}) + "\n" for style in styles)
    manifest = bulk.bucket.put("people.jsonl", lines.encode())
    return {"images": manifest, "style": None, "s3_key": "anime/{row}{extension}"}


@pytest.fixture
def poisoned(service: Service) -> BackgroundSimulator:
    """A service that does not take two kinds of pictures."""
    simulator = service()
    simulator.add_fault(endpoint="submit", kind="status", status=400, style=REFUSED, **CONTENT)
    simulator.add_fault(
        endpoint="submit",
        kind="status",
        status=500,
        style=BROKEN,
        code="InternalError.Algo",
        message="inference error",
    )
    return simulator


@pytest.mark.parametrize("at", ["beginning", "end"])
def test_three_poisonous_rows_of_twenty_are_recorded_and_the_others_done(
    bulk: Bulk, poisoned: BackgroundSimulator, posts: list[tuple[str, int]], at: str
) -> None:
    place = {"beginning": 0, "end": 17}[at]
    styles = [*GOOD[:place], NEVER, BROKEN, REFUSED, *GOOD[place:]]
    summary = bulk.run(**rows(bulk, styles))
    assert (summary["succeeded"], summary["failed"]) == (17, 3)
    assert {code: each["count"] for code, each in summary["failures"].items()} == {
        "LostAnswer": 1,
        "InternalError.Algo": 1,
        CONTENT["code"]: 1,
    }
    told = {row["style"]: (row["status"], row["code"], row["message"]) for row in bulk.manifest()}
    assert told[REFUSED][:2] == ("failed", CONTENT["code"])
    assert CONTENT["message"] in told[REFUSED][2]
    assert "inference error" in told[BROKEN][2]
    assert told[NEVER][1] == "LostAnswer"
    sent = Counter(style for what, style in posts if what == "sent")
    # A refusal is final; what stayed unconfirmed is tried twice again.
    assert sent == {**dict.fromkeys(GOOD, 1), REFUSED: 1, BROKEN: 3, NEVER: 3}
    assert accepted(poisoned) == totals(poisoned)["billed"] == 17
    # While one answer was missing, all others were submitted, and before any of the three was tried again.
    ends = [style for what, style in posts if what == "ended"]
    assert set(ends[: ends.index(NEVER)]) == {*GOOD, REFUSED, BROKEN}
    again = [style for style in ends if style in (NEVER, BROKEN)][2:]
    assert set(again) == {NEVER, BROKEN}
    assert max(map(ends.index, GOOD)) < len(ends) - len(again)
    # No list is read for each of the others.
    assert poisoned.ledger(summary=True)["endpoints"]["list_tasks"]["requests"] <= 3 * 3 * 4


def test_a_service_that_answers_nothing_is_no_fault_of_the_pictures(
    bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = service()
    simulator.add_fault(endpoint="submit", kind="status", status=500, code="InternalError", times=15)
    summary = bulk.run()
    assert (summary["succeeded"], summary.get("failed", 0)) == (3, 0)
    assert accepted(simulator) == 3


@pytest.mark.parametrize(("accepted_ago", "attempts"), [(10, 2), (600, 1)])
def test_an_unanswered_submission_counts_against_its_picture_if_others_were_accepted_lately(
    bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch, accepted_ago: float, attempts: int
) -> None:
    service().add_fault(endpoint="submit", kind="status", status=500, code="InternalError", times=1)
    go_on = Batch.go_on

    def later(self: Batch, **more: Any) -> None:
        go_on(self, **more)
        self.ledger.notes.accepted_at = time.time() - accepted_ago

    monkeypatch.setattr(Batch, "go_on", later)
    bulk.run(images=[f"s3://{bulk.bucket.name}/in/ann.png"])
    assert bulk.manifest()[0]["attempts"] == attempts


def test_pictures_in_a_row_that_the_service_fails_at_do_not_stop_those_behind_them(
    bulk: Bulk, service: Service
) -> None:
    simulator = service()
    simulator.add_fault(endpoint="submit", kind="status", status=500, code="InternalError.Algo", style=BROKEN)
    images = [f"s3://{bulk.bucket.name}/in/{name}.png" for name in ("ann", "bob", "cleo")]
    bulk.portraits("ann", "bob", "cleo", *(f"p{number}" for number in range(policy.MOST_FAILURES)))
    lines = [
        *(
            {"image": f"s3://{bulk.bucket.name}/in/p{number}.png", "style": BROKEN}
            for number in range(policy.MOST_FAILURES)
        ),
        *({"image": image, "style": 2} for image in images),
    ]
    manifest = bulk.bucket.put("people.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines).encode())
    summary = bulk.run(images=manifest, style=None)
    assert (summary["succeeded"], summary["failed"]) == (3, policy.MOST_FAILURES)
    assert accepted(simulator) == 3


def ended_after_the_first_post(
    bulk: Bulk, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> list[RowStatus]:
    """End the work while the first answer is missing, and return what is then stored of images in the journal."""

    def end(self: Batch, *args: Any, **more: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "_take_outcomes", end)
        with pytest.raises((AirflowException, AirflowTaskTimeout), match="It is over"):
            bulk.runner().start()
    lines = bulk.bucket.body("out/_ledger/journal.jsonl").splitlines()[1:]
    return [Row.from_line(line).status for line in lines]


@pytest.mark.parametrize("error", [S3Error("It is over.", retryable=True), AirflowTaskTimeout("It is over.")])
def test_what_was_sent_is_noted_whatever_ends_the_work(
    bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    simulator = service()
    simulator.add_fault(endpoint="submit", kind="delay", seconds=0.5)
    assert ended_after_the_first_post(bulk, monkeypatch, error) == [RowStatus.SUBMITTED]
    assert accepted(simulator) == 1


def test_what_is_held_back_when_the_work_ends_is_not_sent(
    bulk: Bulk,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    set_connection: Callable[..., None],
) -> None:
    simulator = service()
    patient = simulator.connection_json(
        retry_for=1, timeout=5, submissions_per_second=1000, requests_per_second=1000
    )
    set_connection("dashscope_default", patient)
    simulator.add_fault(
        endpoint="submit",
        kind="status",
        status=429,
        code="Throttling.RateQuota",
        headers={"Retry-After": "1"},
        times=1,
    )
    error = S3Error("It is over.", retryable=True)
    assert ended_after_the_first_post(bulk, monkeypatch, error) == [RowStatus.PLANNED]
    assert simulator.ledger(summary=True)["endpoints"]["submit"]["requests"] == 1
    assert accepted(simulator) == 0


def test_a_submission_that_waits_for_its_turn_does_not_hold_up_the_end_and_is_never_sent(
    bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = service()
    begun, turn, ended = threading.Event(), threading.Event(), threading.Event()

    def post(*given: Any) -> Any:
        begun.set()
        turn.wait(60)
        try:
            return original(*given)
        finally:
            ended.set()

    def over(record: RowRecord) -> bool:
        assert begun.wait(60)
        raise AirflowTaskTimeout("It is over.")

    original = submissions._post
    monkeypatch.setattr(submissions, "_post", post)
    monkeypatch.setattr(RowRecord, "is_slow", property(over))
    with pytest.raises(AirflowTaskTimeout, match="It is over"):
        bulk.runner().start()
    assert not ended.is_set()
    turn.set()
    assert ended.wait(60)
    assert accepted(simulator) == 0


@pytest.mark.parametrize(
    ("fault", "posts", "lists", "is_final"),
    [
        ({"status": 400, **CONTENT}, 1, 0, True),
        ({"status": 500, "code": "InternalError.Algo", "message": "inference error"}, 2, 4, False),
    ],
)
def test_the_operator_for_one_picture_asks_no_list_about_a_refusal(
    service: Service, fault: dict[str, Any], posts: int, lists: int, is_final: bool
) -> None:
    simulator = service()
    simulator.add_fault(endpoint="submit", kind="status", **fault)
    runner = TaskRunner(
        lambda: WanxStyleRepaintOperator(task_id="repaint", image=data_url(picture()), style="anime"),
        run=DagRun(),
    )
    with pytest.raises(AirflowException, match=fault["code"]) as caught:
        runner.start()
    assert isinstance(caught.value, AirflowFailException) is is_final
    asked = simulator.ledger(summary=True)["endpoints"]
    assert asked["submit"]["requests"] == posts
    assert asked.get("list_tasks", {}).get("requests", 0) <= lists
