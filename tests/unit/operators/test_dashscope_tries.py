"""Tries of one Airflow task after the first: retries, clears, changed inputs, lost answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
)

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.jobs.submitting.submission_record import STATE_KEY, Phase, Record
from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import SUBMITTED_KEY
from tests.unit.operators.painting import iterations, paint
from tests.unit.support.airflow import DagRun, deferral
from tests.unit.support.service import states, totals


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_retry_after_a_passing_failure_submits_again_because_failures_are_not_billed(
    dashscope: BackgroundSimulator, deferrable: bool
) -> None:
    dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InternalError.Algo", times=1)
    runner = paint(wait_for_completion=True, deferrable=deferrable)
    with pytest.raises(
        AirflowException, match=r"InternalError\.Algo.* A retry submits it again\.$"
    ) as caught:
        runner.run_try()
    assert not isinstance(caught.value, AirflowFailException)
    assert runner.run_try()
    assert states(dashscope) == ["FAILED", "SUCCEEDED"]
    assert totals(dashscope)["billed"] == 1


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_retry_goes_on_with_the_task_of_the_try_before(
    at_rest: BackgroundSimulator, deferrable: bool
) -> None:
    runner = paint(deferrable=deferrable)
    assert runner.run_try() == runner.run_try()
    assert totals(at_rest)["submissions"] == 1


def test_a_retry_after_a_crash_during_the_wait_waits_for_the_same_task(
    dashscope: BackgroundSimulator,
) -> None:
    runner = paint(wait_for_completion=True, deferrable=True)
    deferral(runner.start)
    assert runner.run_try()
    assert totals(dashscope)["submissions"] == 1


def test_a_retry_so_soon_that_the_service_does_not_find_the_task_yet_waits_for_it(
    dashscope: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.4)
    before = paint(wait_for_completion=True, deferrable=True)
    deferral(before.start)
    after = paint(wait_for_completion=True, deferrable=False)
    after.store = before.store
    dashscope.add_fault(endpoint="get_task", kind="unknown", times=2)
    assert after.run_try() == before.xcoms[SUBMITTED_KEY]
    assert totals(dashscope)["submissions"] == 1


def test_a_task_that_is_gone_is_not_paid_for_again_by_a_retry(
    dashscope: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.1)
    runner = paint(wait_for_completion=True, deferrable=True)
    runner.run_try()
    dashscope.advance(25 * 3600)
    with pytest.raises(
        AirflowFailException,
        match=r"is UNKNOWN.*deleted 24 hours after.* To submit it again, clear this Airflow task\.",
    ):
        runner.run_try()
    assert totals(dashscope)["submissions"] == 1


def test_a_clear_cancels_the_queued_task_and_submits_anew(at_rest: BackgroundSimulator) -> None:
    at_rest.add_fault(endpoint="job", kind="outcome", runs_for=3600)
    for _ in range(2):
        paint().run_try()  # so that the next one waits in the queue
    runner = paint()
    first = runner.run_try()
    runner.max_tries += 1
    second = runner.run_try()
    assert first != second
    assert [(task["task_id"], task["status"]) for task in at_rest.ledger()["tasks"]][2:] == [
        (first, "CANCELED"),
        (second, "PENDING"),
    ]


def test_a_clear_that_discards_the_task_state_submits_once_more_and_the_old_task_goes_on(
    at_rest: BackgroundSimulator,
) -> None:
    runner = paint()
    first = runner.run_try()
    runner.max_tries += 1
    assert runner.store is not None
    runner.store.values.clear()
    second = runner.run_try()
    assert runner.run_try() == second
    assert [task["task_id"] for task in at_rest.ledger()["tasks"]] == [first, second]
    assert "CANCELED" not in states(at_rest)


def test_a_changed_input_cancels_the_queued_task_and_submits_the_new_one(
    at_rest: BackgroundSimulator,
) -> None:
    for _ in range(2):
        paint().run_try()
    before = paint()
    first = before.run_try()
    after = paint(input={"prompt": "A windmill"})
    after.store = before.store
    assert after.run_try() != first
    assert states(at_rest)[2:] == ["CANCELED", "PENDING"]


def test_mapped_tasks_keep_their_submissions_apart(at_rest: BackgroundSimulator) -> None:
    run = DagRun()
    runners = [paint(run=run, map_index=number) for number in range(3)]
    ids = [runner.run_try() for runner in runners]
    assert len(set(ids)) == 3
    assert [runner.run_try() for runner in runners] == ids


def test_without_a_state_store_each_try_says_once_that_a_retry_pays_again(
    at_rest: BackgroundSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = paint(keeps_state=False)
    assert runner.run_try() != runner.run_try()
    warnings = [line for line in capsys.readouterr().out.splitlines() if "keeps no state" in line]
    assert len(warnings) == 2
    assert "leave waiting to DashScopeTaskSensor" in warnings[0]
    assert "as record_path in the connection 'dashscope_default' or in Airflow's configuration" in warnings[0]


def test_a_lost_answer_is_found_in_the_task_list_and_not_paid_twice(at_rest: BackgroundSimulator) -> None:
    at_rest.add_fault(endpoint="submit", kind="lose_answer", times=1)
    task_id = paint().run_try()
    assert [task["task_id"] for task in at_rest.ledger()["tasks"]] == [task_id]


def test_a_lost_answer_is_found_in_a_list_with_its_rows_where_the_sdk_reads_them(
    connect_dashscope: Callable[..., BackgroundSimulator],
) -> None:
    service = connect_dashscope(speed=0.01, submit_rate=0, task_rate=0, list_key="tasks")
    service.add_fault(endpoint="submit", kind="lose_answer", times=1)
    task_id = paint().run_try()
    assert [task["task_id"] for task in service.ledger()["tasks"]] == [task_id]


def test_a_submission_that_never_arrived_is_sent_again(
    at_rest: BackgroundSimulator,
) -> None:
    at_rest.add_fault(endpoint="submit", kind="reset", times=1)
    assert paint().run_try()
    assert totals(at_rest)["accepted"] == 1


def _one_answer_lost_among_mapped_siblings(simulator: BackgroundSimulator, **arguments: Any) -> list[Any]:
    """Run two mapped tasks at once of which both lose their answers; return what the first then does."""
    run = DagRun()
    simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    simulator.add_fault(endpoint="list_tasks", kind="status", status=403)
    first = paint(run=run, map_index=0, **arguments)
    with pytest.raises(AirflowFailException):
        first.run_try()
    simulator.clear_faults()
    simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    simulator.add_fault(endpoint="list_tasks", kind="status", status=403)
    second = paint(run=run, map_index=1, **arguments)
    with pytest.raises(AirflowFailException):
        second.run_try()
    simulator.clear_faults()
    return [first, second]


def test_a_lost_answer_that_the_list_does_not_settle_stops_for_a_person(
    at_rest: BackgroundSimulator,
) -> None:
    first, _ = _one_answer_lost_among_mapped_siblings(at_rest)
    with pytest.raises(AirflowFailException, match=r"2 task\(s\) of model .* could be it") as caught:
        first.run_try()
    for task in at_rest.ledger()["tasks"]:
        assert task["task_id"] in str(caught.value)
    assert "on_unconfirmed_submit='resubmit'" in str(caught.value)
    assert totals(at_rest)["accepted"] == 2


def test_a_sibling_that_has_published_its_id_is_not_taken_for_the_lost_one(
    at_rest: BackgroundSimulator,
) -> None:
    run = DagRun()
    sibling = paint(run=run, map_index=0).run_try()
    at_rest.add_fault(endpoint="submit", kind="lose_answer", times=1)
    lost = paint(run=run, map_index=1).run_try()
    assert [task["task_id"] for task in at_rest.ledger()["tasks"]] == [sibling, lost]


def test_what_earlier_iterations_of_a_loop_have_submitted_is_not_taken_for_the_lost_one(
    at_rest: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    runners = iterations(3)

    def an_iteration_ago(context: Any, key: str) -> list[Any]:
        index = context["ti"].region_index
        return [runners[index - 1].xcoms[key]] if index and key in runners[index - 1].xcoms else []

    monkeypatch.setattr("airflow_provider_wanx.provenance.xcoms_of_previous_iteration", an_iteration_ago)
    ids = [runner.run_try() for runner in runners[:2]]
    at_rest.add_fault(endpoint="submit", kind="lose_answer", times=1)
    ids.append(runners[2].run_try())
    assert [task["task_id"] for task in at_rest.ledger()["tasks"]] == ids


def test_whoever_asks_for_it_pays_twice_rather_than_stop(
    at_rest: BackgroundSimulator,
) -> None:
    at_rest.add_fault(endpoint="submit", kind="lose_answer", times=1)
    at_rest.add_fault(endpoint="list_tasks", kind="status", status=403)
    assert paint(on_unconfirmed_submit="resubmit").run_try()
    assert totals(at_rest)["accepted"] == 2


def test_a_refused_submission_leaves_no_record_and_can_be_tried_anew(at_rest: BackgroundSimulator) -> None:
    at_rest.add_fault(endpoint="submit", kind="status", status=400, code="Arrearage", times=1)
    runner = paint()
    with pytest.raises(AirflowFailException, match="Settle the account's billing"):
        runner.run_try()
    assert runner.store is not None
    assert runner.store.values == {}
    assert runner.run_try()
    assert totals(at_rest)["accepted"] == 1


def test_a_record_that_cannot_be_read_stops_the_task(at_rest: BackgroundSimulator) -> None:
    runner = paint()
    assert runner.store is not None
    runner.store.set(STATE_KEY, {"version": 99})
    with pytest.raises(AirflowFailException, match="cannot be read by this version"):
        runner.run_try()
    assert totals(at_rest)["submissions"] == 0


class _NoXCom:
    map_index = -1

    def xcom_pull(self, **_: Any) -> None:
        return None


def test_an_id_whose_xcom_was_deleted_is_taken_from_the_record(at_rest: BackgroundSimulator) -> None:
    record = Record(
        phase=Phase.SUBMITTED,
        fingerprint="f",
        max_tries=1,
        time=1_790_000_000.0,
        within=90.0,
        model="wanx-v1",
        dashscope_task_id="task-1",
    )
    operator = DashScopeSubmitTaskOperator(
        task_id="paint", service="a/b", model="wanx-v1", input={"prompt": "x"}
    )
    context: Any = {"ti": _NoXCom(), "task_state_store": {STATE_KEY: record.to_json()}}
    assert operator.awaited_ids(context) == ["task-1"]


def test_an_id_that_nobody_knows_any_more_is_a_clear_error(at_rest: BackgroundSimulator) -> None:
    operator = DashScopeSubmitTaskOperator(
        task_id="paint", service="a/b", model="wanx-v1", input={"prompt": "x"}
    )
    with pytest.raises(InvalidInputError, match="XCom dashscope_task_id was deleted"):
        operator.awaited_ids({"ti": _NoXCom()})  # type: ignore[typeddict-item]
