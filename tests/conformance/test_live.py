"""``make live``, with a local DashScope in the place of the live service."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.conformance.__main__ import HOLDS, INTERRUPTED, WRONG_USE, main
from tests.conformance.core import Fact, Finding, NotObservedError, Verdict, judge
from tests.conformance.facts import FACTS
from tests.conformance.otherwise.spoiling import AdvancingClock, for_a_clock_that_jumps, quick_target
from tests.conformance.redaction import redacted
from tests.conformance.report import Report
from tests.conformance.service.purse import Purse
from tests.conformance.service.visit import Visit
from tests.conformance.service.wire import ASYNC, RESOLVE, Clock

SECRET = "sk-live-0123456789abcdefghijklmnopqrstuv"

Factory = Callable[..., BackgroundSimulator]


@pytest.fixture
def service(dashscope_simulator_factory: Factory, monkeypatch: pytest.MonkeyPatch) -> BackgroundSimulator:
    """What the key in the environment is good for."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", SECRET)
    # Jobs that last longer than a busy machine takes from one request to the next.
    return dashscope_simulator_factory(
        api_keys=(SECRET,), workspaces=("ws-conformance",), speed=1, duration=20
    )


def _live(service: BackgroundSimulator, folder: Path, *more: str) -> int:
    return main(["--live", "--host", service.url, "--report", str(folder), *more])


def test_without_consent_the_price_is_shown_and_nothing_is_sent(
    service: BackgroundSimulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _live(service, tmp_path) == WRONG_USE
    shown = capsys.readouterr()
    assert "5 images at most, 0.60 CNY" in shown.out
    assert "make live IMAGES=5" in shown.out
    assert sum(each["requests"] for each in service.ledger()["endpoints"].values()) == 0
    assert list(tmp_path.iterdir()) == []


def test_more_images_than_a_run_needs_cannot_be_allowed(service: BackgroundSimulator, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        _live(service, tmp_path, "--images", "6")
    assert service.ledger()["totals"]["submissions"] == 0


def test_without_a_key_nothing_is_sent(
    service: BackgroundSimulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY")
    assert _live(service, tmp_path, "--images", "5") == WRONG_USE
    assert "DASHSCOPE_API_KEY" in capsys.readouterr().err


def test_an_airflow_connection_may_have_the_key(
    service: BackgroundSimulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CONFORMANCE", service.connection_json())
    assert main(["--live", "--connection", "conformance", "--report", str(tmp_path)]) == WRONG_USE
    assert "Nothing was sent." in capsys.readouterr().out


def test_the_budget_holds_and_the_report_tells_no_secret(
    service: BackgroundSimulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = AdvancingClock(service)
    monkeypatch.setattr(Clock, "now", lambda _: clock.now())
    monkeypatch.setattr(Clock, "sleep", lambda _, seconds: clock.sleep(seconds))
    monkeypatch.setattr("tests.conformance.__main__.FACTS", for_a_clock_that_jumps(FACTS))
    assert _live(service, tmp_path, "--images", "3", "--gentle") == HOLDS
    ledger = service.ledger()
    document = json.loads((tmp_path / "conformance.json").read_text(encoding="utf-8"))
    # The third image is kept aside for a task that is canceled, and then used once.
    assert document["images_paid"] == ledger["totals"]["billed"] == 3
    unseen = {each["name"]: each["seen"] for each in document["facts"] if each["verdict"] == "not observed"}
    assert "budget of 3" in unseen["ten-megabytes"]
    assert "not to be exceeded" in unseen["task-rate"]
    assert all(each["refused"] == 0 for each in ledger["endpoints"].values())
    shown = capsys.readouterr()
    texts = [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()]
    everything = "".join([*texts, shown.out, shown.err])
    assert SECRET not in everything
    assert not [task for task in ledger["tasks"] if task["task_id"] in everything]
    assert "Signature=" not in everything
    assert service.url.rpartition(":")[2] not in "".join(texts)


def test_a_run_that_is_interrupted_reports_what_it_has_found(
    service: BackgroundSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge_two(fact: Fact, visit: Visit) -> Finding:
        if fact is FACTS[2]:
            raise KeyboardInterrupt
        return judge(fact, visit)

    monkeypatch.setattr("tests.conformance.__main__.judge", judge_two)
    assert _live(service, tmp_path, "--images", "1") == INTERRUPTED
    document = json.loads((tmp_path / "conformance.json").read_text(encoding="utf-8"))
    assert [each["verdict"] for each in document["facts"]] == ["holds", "holds"]


def _visit(simulator: BackgroundSimulator, **changes: Any) -> Visit:
    return Visit(dataclasses.replace(quick_target(simulator), **changes))


def test_a_task_that_cannot_be_canceled_takes_its_image_from_another(
    dashscope_simulator_factory: Factory,
) -> None:
    simulator = dashscope_simulator_factory(speed=1)
    simulator.add_fault(endpoint="cancel", kind="status", status=400, code="UnsupportedOperation")
    visit = _visit(simulator)
    found = {fact.name: judge(fact, visit) for fact in FACTS}
    visit.wire.task(visit.queue.third.task_id)
    assert (visit.wire.purse.paid, visit.wire.purse.pending) == (5, 0)
    visit.close()
    assert simulator.ledger()["totals"]["billed"] == 5
    assert "budget" in found["ten-megabytes"].seen
    assert found["cancel-pending"].verdict is Verdict.DIFFERS


def test_an_image_whose_answer_was_lost_stays_set_aside(dashscope_simulator_factory: Factory) -> None:
    simulator = dashscope_simulator_factory(speed=1)
    simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    visit = _visit(simulator, images=1)
    found = {
        fact.name: judge(fact, visit) for fact in FACTS if fact.name in ("submit-answer", "wide-pictures")
    }
    visit.close()
    assert {each.verdict for each in found.values()} == {Verdict.NOT_OBSERVED}
    assert (visit.wire.purse.paid, visit.wire.purse.pending) == (0, 1)
    assert simulator.ledger()["totals"]["submissions"] == 1


def test_a_portrait_that_the_service_does_not_take_is_told_as_the_reason(
    dashscope_simulator_factory: Factory,
) -> None:
    simulator = dashscope_simulator_factory(speed=1)
    simulator.add_fault(
        endpoint="job", kind="outcome", outcome="FAILED", code="InvalidImage.NoHumanFace", message="no face"
    )
    visit = _visit(simulator)
    (fact,) = (fact for fact in FACTS if fact.name == "success-keys")
    found = judge(fact, visit)
    visit.close()
    assert found.verdict is Verdict.NOT_OBSERVED
    assert "InvalidImage.NoHumanFace: no face" in found.seen
    assert visit.wire.purse.paid == 0


def test_a_refused_submission_leaves_the_facts_about_the_others(dashscope_simulator_factory: Factory) -> None:
    simulator = dashscope_simulator_factory(speed=1)
    simulator.add_fault(endpoint="submit", kind="status", status=400, code="InvalidParameter", style=35)
    visit = _visit(simulator)
    found = {fact.name: judge(fact, visit).verdict for fact in FACTS}
    visit.close()
    assert found["success-keys"] is found["list-order"] is found["cancel-ended"] is Verdict.HOLDS
    assert (
        found["picture-base64"] is found["queued-not-refused"] is found["list-scope"] is Verdict.NOT_OBSERVED
    )
    assert visit.wire.purse.pending == 0


def test_leaving_cancels_what_still_waits(dashscope_simulator_factory: Factory) -> None:
    simulator = dashscope_simulator_factory(speed=1)
    visit = _visit(simulator)
    first = visit.follow(visit.submitted)
    second = visit.follow(
        visit.wire.submit(
            {"image_url": visit.oss_url, "style_index": 3}, costs=True, headers={**ASYNC, **RESOLVE}
        )
    )
    visit.close()
    states = {task["task_id"]: task["status"] for task in simulator.ledger()["tasks"]}
    assert (states[first.task_id], states[second.task_id]) == ("RUNNING", "CANCELED")
    assert visit.wire.purse.unsettled == [first.task_id]


def test_an_open_point_that_differs_is_no_failure_of_a_live_run() -> None:
    open_fact = next(fact for fact in FACTS if fact.name == "list-order")
    recorded = next(fact for fact in FACTS if fact.name == "wrong-key")
    findings = [Finding(open_fact, Verdict.DIFFERS, "x"), Finding(recorded, Verdict.DIFFERS, "y")]
    report = Report(target="x", began=datetime.now(UTC), findings=findings, paid=0, unsettled=0)
    assert [each.fact.name for each in report.differing] == ["wrong-key"]


def test_a_purse_gives_out_no_more_than_it_has() -> None:
    purse = Purse(2)
    purse.reserve("a")
    purse.reserve("b")
    with pytest.raises(NotObservedError, match="budget of 2"):
        purse.reserve("c")
    purse.rename("a", "task")
    purse.settle("task", {"output": {"task_status": "UNKNOWN"}})
    assert purse.pending == 2
    purse.settle("task", {"output": {"task_status": "SUCCEEDED"}, "usage": {"image_count": 1}})
    purse.release("b")
    assert (purse.paid, purse.pending) == (1, 0)


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        ("task 0b1c2d3e-0001-4abc-8def-0123456789ab failed", "task ‹id› failed"),
        ("https://x.test/a.jpg?Expires=1&Signature=abc", "https://x.test/a.jpg?…"),
        ("caller 1200000000000000", "caller ‹id›"),
        ("host ws-abcd1234.cn-beijing", "host ‹workspace›.cn-beijing"),
        (f"key {SECRET}", "key sk-…"),
    ],
)
def test_what_belongs_to_the_account_is_taken_out(seen: str, shown: str) -> None:
    assert redacted(seen) == shown
