"""Waiting with the sensor, run as Airflow runs it, against a local DashScope."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    BaseOperator,
)

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.polling import NEW_STATUS_LOOKS
from airflow_provider_wanx.deferral import TRIGGER_TIMEOUT_MARGIN_SECONDS
from airflow_provider_wanx.jobs.copying.result_metadata import Provenance
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.provenance import publish_provenance
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger
from tests.unit.dashscope.support.scripted_server import ScriptedServer, say_json
from tests.unit.sensors.sensing import DEFERRED, POKING, RESCHEDULED, every_mode, run, wait
from tests.unit.support.airflow import DagRun, TaskInstance, deferral
from tests.unit.support.airflow_names import AirflowRescheduleException, is_mapped, stored_dag
from tests.unit.support.service import submit_repaints


@every_mode
def test_it_waits_for_one_task_and_returns_its_id(
    submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    (task_id,) = submit()
    runner = wait(task_id, **mode)
    assert run(runner) == task_id
    assert runner.xcoms["return_value"] == task_id


@every_mode
def test_it_waits_for_every_one_of_a_list_and_returns_the_list(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    ids = submit(3)
    assert run(wait(ids, **mode)) == ids
    assert [task["status"] for task in dashscope.ledger()["tasks"]] == ["SUCCEEDED"] * 3


@every_mode
def test_a_state_that_nobody_knows_ends_it_after_a_few_looks(
    mode: dict[str, Any], set_connection: Callable[..., None]
) -> None:
    task = {"task_id": "a", "task_status": "ARCHIVING"}
    with ScriptedServer(*[say_json({"output": task})] * 20) as server:
        set_connection(
            "dashscope_default", {"conn_type": "dashscope", "host": server.url, "password": "sk-x"}
        )
        with pytest.raises(
            AirflowFailException, match="task a is in a state that this version does not know"
        ):
            run(wait("a", **mode))
        assert [seen.path for seen in server.seen].count("/api/v1/tasks/a") == NEW_STATUS_LOOKS


def test_an_id_given_twice_is_waited_for_once(submit: Callable[..., list[str]]) -> None:
    first, second = submit(2)
    assert run(wait([first, second, first])) == [first, second]


def test_it_defers_by_default_with_a_deadline_and_a_backstop_and_no_secret(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]]
) -> None:
    ids = submit(2)
    before = time.time()
    deferred = deferral(wait(ids, timeout=300, poll_interval=7).start)
    after = time.time()
    assert isinstance(deferred.trigger, DashScopeTaskTrigger)
    _, kwargs = deferred.trigger.serialize()
    assert kwargs["dashscope_task_ids"] == ids
    assert (kwargs["poll_interval"], kwargs["cancel_on_kill"]) == (7.0, False)
    assert before <= kwargs["end_time"] - 300 <= after
    assert deferred.timeout is not None
    assert (
        kwargs["end_time"] - after - 0.001
        <= deferred.timeout.total_seconds() - TRIGGER_TIMEOUT_MARGIN_SECONDS
        <= 300
    )
    assert dashscope.api_key not in str(kwargs)
    assert dashscope.url not in str(kwargs)


def test_a_deferral_asks_nothing_of_the_service_before_the_triggerer_does(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]]
) -> None:
    (task_id,) = submit()
    deferral(wait(task_id).start)
    assert "get_task" not in dashscope.ledger(summary=True)["endpoints"]


@every_mode
@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (
            {"outcome": "FAILED", "code": "InvalidURL", "message": "No picture."},
            r"is FAILED \(InvalidURL: No picture\.\)\. .* A failed task is not billed\.",
        ),
        ({"outcome": "CANCELED"}, r"is CANCELED\. It was canceled before it ran and is not billed\."),
        ({"outcome": "UNKNOWN"}, r"is UNKNOWN\. The service does not know this id: .*24 hours after"),
    ],
    ids=["failed", "canceled", "unknown"],
)
def test_a_task_that_ends_badly_fails_the_sensor_without_retries_and_with_the_reason(
    dashscope: BackgroundSimulator,
    submit: Callable[..., list[str]],
    mode: dict[str, Any],
    outcome: dict[str, Any],
    message: str,
) -> None:
    dashscope.add_fault(endpoint="job", kind="outcome", **outcome)
    (task_id,) = submit()
    with pytest.raises(AirflowFailException, match=f"DashScope task {task_id} {message}"):
        run(wait(task_id, **mode))


@every_mode
def test_a_failure_that_may_pass_is_final_for_the_sensor_too(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InternalError.Algo")
    with pytest.raises(AirflowFailException, match=r"InternalError\.Algo.* Retries are skipped\.$"):
        run(wait(submit()[0], **mode))


@every_mode
def test_a_bad_end_names_the_airflow_task_to_clear(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL")
    runner = wait(submit()[0], **mode)
    sensor, plain = runner.build, runner.build()

    def between_others() -> DashScopeTaskSensor:
        with DAG("portraits"):
            given: Any = {"image": "a.png", "style": "fresh"}
            submitting = [
                WanxStyleRepaintOperator(task_id="submit", **given),
                WanxStyleRepaintOperator.partial(task_id="submit_all", style="fresh").expand(image=["a.png"]),
            ]
            submitting >> BaseOperator(task_id="between") >> (built := sensor())
        return built

    runner.build = between_others
    with pytest.raises(AirflowFailException) as caught:
        run(runner)
    assert "To submit again, clear the Airflow task submit or submit_all, and all after it." in str(
        caught.value
    )
    assert plain.how_to_submit_again() == (
        "To submit again, clear the Airflow task that submitted it, and all after it."
    )


@every_mode
def test_its_failure_names_the_picture_that_the_submitting_task_has_published(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL")
    (task_id,) = submit(1)
    runner = wait(task_id, **mode)
    sensor = runner.build

    def after_submit() -> DashScopeTaskSensor:
        with DAG("portraits"):
            given: Any = {"image": "a.png", "style": "fresh"}
            WanxStyleRepaintOperator(task_id="submit", **given) >> (built := sensor())
        return built

    runner.build, runner.map_index = after_submit, 4
    ti: Any = TaskInstance(run=runner.run, task_id="submit", map_index=4)
    publish_provenance({"ti": ti}, task_id, Provenance(source="s3://faces/ann.png"))
    with pytest.raises(AirflowFailException, match=r"is FAILED .* Picture: s3://faces/ann\.png$"):
        run(runner)


def test_where_it_does_not_know_who_has_submitted_it_names_the_tasks_right_before_it() -> None:
    build = wait("x").build
    with DAG("portraits"):
        BaseOperator(task_id="script") >> BaseOperator(task_id="ids") >> (sensor := build())
    assert sensor.how_to_submit_again() == (
        "To submit again, clear the Airflow task that submitted it (right before this one: ids), and all after it."
    )


@every_mode
def test_of_a_list_every_bad_end_is_told_once_all_have_ended(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    for style in (1, 3):
        dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL", style=style)
    ids = submit(5)
    with pytest.raises(AirflowFailException) as caught:
        run(wait(ids, **mode))
    message = str(caught.value)
    assert [task_id in message for task_id in ids] == [False, True, False, True, False]
    assert "3 other task(s) succeeded." in message
    assert {task["status"] for task in dashscope.ledger()["tasks"]} == {"SUCCEEDED", "FAILED"}


@every_mode
def test_a_task_so_new_that_the_service_does_not_find_it_is_waited_for(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    (task_id,) = submit()
    dashscope.add_fault(endpoint="get_task", kind="unknown", times=1)
    assert run(wait(task_id, **mode)) == task_id


@every_mode
def test_a_task_that_has_expired_fails_the_sensor(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    (task_id,) = submit()
    dashscope.advance(25 * 3600)
    with pytest.raises(AirflowFailException, match="deleted 24 hours after they were made"):
        run(wait(task_id, **mode))


def test_a_rescheduled_sensor_sleeps_on_no_worker_whatever_it_does_not_believe_yet(
    queued: tuple[BackgroundSimulator, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    for ids in ([queued[1], "gone"], [f"gone-{number}" for number in range(10)]):
        with pytest.raises(AirflowRescheduleException):
            wait(ids, **RESCHEDULED).start()
    assert pauses == []


@every_mode
def test_looks_that_fail_for_a_while_do_not_end_the_wait(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    (task_id,) = submit()
    dashscope.add_fault(endpoint="get_task", kind="status", status=503, times=1)
    dashscope.add_fault(endpoint="get_task", kind="garbage", times=1)
    assert run(wait(task_id, **mode)) == task_id


@every_mode
def test_a_refused_key_ends_the_wait_with_advice(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], mode: dict[str, Any]
) -> None:
    (task_id,) = submit()
    dashscope.accept_keys("sk-another")
    with pytest.raises(AirflowFailException, match="Check the API key"):
        run(wait(task_id, **mode))


@every_mode
def test_a_connection_that_cannot_be_used_ends_the_wait_with_its_name(
    set_connection: Callable[..., None], mode: dict[str, Any]
) -> None:
    set_connection("broken", {"conn_type": "dashscope", "password": "sk-x", "extra": {"timeout": "long"}})
    with pytest.raises(AirflowFailException, match="Connection 'broken': extra timeout must be a number"):
        run(wait("any", dashscope_conn_id="broken", **mode))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "dashscope_task_id is empty: the submitting task has returned nothing"),
        ("None", "dashscope_task_id is empty"),
        (None, "dashscope_task_id is empty"),
        ([], "dashscope_task_id is empty"),
        ({"a": "b"}, "is neither an id nor a list of ids"),
        (3, "is neither an id nor a list of ids"),
        ("two ids", "is not a task id"),
        ("../tasks", "is not a task id"),
        (["good", None], "is not a task id"),
    ],
)
def test_what_cannot_be_an_id_is_told_before_anything_is_asked(
    dashscope: BackgroundSimulator, given: Any, message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message.replace(".", r"\.").replace("?", r"\?")):
        wait(given).start()
    assert dashscope.ledger(summary=True)["endpoints"] == {}


def test_a_resumption_without_an_event_is_told(dashscope: BackgroundSimulator) -> None:
    runner = wait("any")
    deferred = deferral(runner.start)
    with pytest.raises(AirflowException, match="The trigger sent no event"):
        runner.resume(deferred, None)


def test_the_id_is_a_template_and_may_be_the_output_of_another_task(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]]
) -> None:
    runner = wait("{{ ti.xcom_pull(task_ids='submit', map_indexes=-1) }}")
    (task_id,) = submit()
    runner.run = DagRun(xcoms={("submit", -1): {"return_value": task_id}})
    assert run(runner) == task_id


def test_it_can_be_mapped_and_survives_airflows_serialization() -> None:
    with DAG("mapped") as dag:
        DashScopeTaskSensor.partial(task_id="wait", timeout=60).expand(dashscope_task_id=["a", "b"])
    stored = stored_dag(dag)
    assert is_mapped(stored.get_task("wait"))
    unmapped = dag.get_task("wait").unmap({"dashscope_task_id": "b"})
    assert isinstance(unmapped, DashScopeTaskSensor)
    assert (unmapped.dashscope_task_id, unmapped.timeout) == ("b", 60)


def test_before_it_defers_the_log_says_what_is_waited_for_and_until_when(
    dashscope: BackgroundSimulator, submit: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    ids = submit(2)
    with time_machine.travel("2026-11-25 08:00:00+00:00", tick=False):
        deferral(wait(ids[0], timeout=4 * 3600).start)
        deferral(wait(ids, timeout=60).start)
        deferral(wait(ids[0], timeout=4 * 3600, execution_timeout=timedelta(hours=1)).start)
    log = capsys.readouterr().out
    assert f"Waiting for DashScope task {ids[0]} until 2026-11-25 12:00:00 UTC." in log
    assert "Waiting for 2 DashScope tasks until 2026-11-25 08:01:00 UTC." in log
    assert "until 2026-11-25 09:00:00 UTC, when execution_timeout is over." in log


@pytest.mark.parametrize("mode", [DEFERRED, POKING], ids=["deferred", "poking"])
def test_the_log_says_how_a_task_has_ended_and_how_long_that_took(
    dashscope: BackgroundSimulator,
    submit: Callable[..., list[str]],
    mode: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    (task_id,) = submit()
    run(wait(task_id, **mode))
    times = r"queued \d+\.\d s, ran \d+\.\d s, noticed \d+\.\d s later"
    assert re.search(f"DashScope task {task_id} is SUCCEEDED: {times}\\.", capsys.readouterr().out)


@pytest.mark.parametrize("mode", [POKING, RESCHEDULED], ids=["poking", "rescheduled"])
def test_a_task_that_is_not_found_yet_is_left_to_the_next_poke(
    dashscope: BackgroundSimulator,
    submit: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    mode: dict[str, Any],
) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 3600)
    (task_id,) = submit()
    dashscope.add_fault(endpoint="get_task", kind="unknown", times=1)
    runner = wait(task_id, **mode)
    sensor, context = runner.build(), runner.context()
    # Whoever looks again before the poke ends holds the worker meanwhile.
    assert not sensor.poke(context)
    assert dashscope.ledger(summary=True)["endpoints"]["get_task"]["requests"] == 1
    while not sensor.poke(context):
        time.sleep(0.02)


def test_a_rescheduled_sensor_believes_that_a_task_is_gone_some_time_after_it_began(
    dashscope: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 3600)
    runner = wait("gone", **RESCHEDULED)
    for seconds in (None, 1800):
        runner.first_reschedule = datetime.now(UTC) - timedelta(seconds=seconds) if seconds else None
        with pytest.raises(AirflowRescheduleException):
            runner.start()
    runner.first_reschedule = datetime.now(UTC) - timedelta(seconds=3601)
    with pytest.raises(AirflowFailException, match="is UNKNOWN"):
        runner.start()


def test_poking_says_so_only_if_something_has_changed(
    queued: tuple[BackgroundSimulator, str], capsys: pytest.CaptureFixture[str]
) -> None:
    simulator, task_id = queued
    sensor = wait(task_id, **POKING).build()
    context: Any = {}
    for _ in range(3):
        assert not sensor.poke(context)
    for _ in range(3):
        simulator.advance(9)
    assert sensor.poke(context)
    states = re.findall(rf"DashScope task {task_id} is (\w+)", capsys.readouterr().out)
    assert states == ["PENDING", "SUCCEEDED"]


def test_poking_for_many_says_so_once_a_minute(
    queued: tuple[BackgroundSimulator, str], capsys: pytest.CaptureFixture[str]
) -> None:
    simulator, _ = queued
    ids = submit_repaints(simulator, *range(6))
    sensor = wait(ids, **POKING).build()
    context: Any = {}
    for _ in range(12):
        sensor.poke(context)
        simulator.advance(9)
    log = capsys.readouterr().out
    assert re.findall(r"(\d) of 6 DashScope tasks have ended", log) == ["0"]
    assert ids[0] not in log


def test_it_pokes_as_often_as_it_would_look(queued: tuple[BackgroundSimulator, str]) -> None:
    assert wait("x", poll_interval=7).build().poke_interval == 7
    assert wait("x", poll_interval=7, poke_interval=9).build().poke_interval == 9


@pytest.mark.parametrize("seconds", [0, -1, "3", True])
def test_a_poll_interval_that_is_none_is_found_out_when_the_dag_is_parsed(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"poll_interval|poke_interval"):
        DashScopeTaskSensor(task_id="wait", dashscope_task_id="x", poll_interval=seconds)
