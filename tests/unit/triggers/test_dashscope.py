"""The trigger in an event loop of the test's own, against a local DashScope."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, TaskInstanceState, XCom

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.waiting import poller
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger
from tests.unit.sensors.sensing import wait
from tests.unit.support.airflow import deferral, events_of, revived
from tests.unit.support.service import states, submit_repaints

RUN = "manual__2026-11-23T10:00:00+00:00"


def trigger(*ids: str, **arguments: Any) -> DashScopeTaskTrigger:
    return DashScopeTaskTrigger(**{"dashscope_task_ids": list(ids), "poll_interval": 0.05, **arguments})


async def event_of(running: DashScopeTaskTrigger) -> dict[str, Any]:
    (event,) = await events_of(running)
    return event


async def begun(simulator: BackgroundSimulator, *ids: str) -> asyncio.Task[dict[str, Any]]:
    """Start to wait; return when the service has been asked for the first time."""
    running = asyncio.create_task(event_of(trigger(*ids)))
    # The service is in another thread, and tells only when it is asked.
    while not simulator.ledger(summary=True)["endpoints"].keys() & {"get_task", "list_tasks"}:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return running


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(poller, "DEFAULT_POLL_INTERVAL_SECONDS", 0.1)


class TestStoring:
    """What Airflow keeps of a trigger."""

    def test_it_can_be_made_again_from_what_is_stored(self) -> None:
        made = trigger(
            "a", "b", dashscope_conn_id="other", poll_interval=7.5, end_time=9.5, cancel_on_kill=True
        )
        again = revived(made)
        assert isinstance(again, DashScopeTaskTrigger)
        assert again.serialize() == made.serialize()
        assert (again.dashscope_task_ids, again.dashscope_conn_id) == (["a", "b"], "other")
        assert (again.poll_interval, again.end_time, again.cancel_on_kill) == (7.5, 9.5, True)

    def test_what_is_stored_has_ids_and_numbers_and_no_secret(self, dashscope: BackgroundSimulator) -> None:
        path, kwargs = trigger("a").serialize()
        assert path == "airflow_provider_wanx.triggers.dashscope.DashScopeTaskTrigger"
        stored = f"{kwargs} {trigger('a')!r}"
        assert dashscope.api_key not in stored
        assert dashscope.url not in stored
        assert all(value is None or isinstance(value, str | float | int | list) for value in kwargs.values())

    def test_one_that_the_first_version_has_stored_still_works(self, dashscope: BackgroundSimulator) -> None:
        ids = submit_repaints(dashscope, 0)
        stored: dict[str, Any] = {
            "dashscope_task_ids": ids,
            "dashscope_conn_id": "dashscope_default",
            "poll_interval": 0.05,
            "end_time": None,
            "cancel_on_kill": False,
        }
        assert asyncio.run(event_of(DashScopeTaskTrigger(**stored)))["statuses"] == {ids[0]: "SUCCEEDED"}

    def test_making_one_reads_no_connection(self) -> None:
        assert trigger("a", dashscope_conn_id="there_is_none").serialize()


class TestWaiting:
    """The one event that it sends."""

    async def test_it_tells_how_each_task_has_ended(self, dashscope: BackgroundSimulator) -> None:
        dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", style=1)
        dashscope.add_fault(endpoint="job", kind="outcome", outcome="CANCELED", style=2)
        ids = submit_repaints(dashscope, 0, 1, 2)
        assert await event_of(trigger(*ids)) == {
            "statuses": dict(zip(ids, ["SUCCEEDED", "FAILED", "CANCELED"], strict=True)),
            "errors": {},
            "timed_out": False,
            "retryable": True,
            "made": {"images": 1, "cost": 0.12, "styles": [0]},
        }

    async def test_its_event_holds_neither_urls_nor_the_key(self, dashscope: BackgroundSimulator) -> None:
        event = str(await event_of(trigger(*submit_repaints(dashscope, 0))))
        assert "://" not in event
        assert dashscope.api_key not in event

    async def test_it_waits_for_what_is_not_found_at_first(self, dashscope: BackgroundSimulator) -> None:
        ids = submit_repaints(dashscope, 0)
        dashscope.add_fault(endpoint="get_task", kind="unknown", times=1)
        assert (await event_of(trigger(*ids)))["statuses"] == {ids[0]: "SUCCEEDED"}

    async def test_it_gives_up_what_stays_unknown(self, dashscope: BackgroundSimulator) -> None:
        assert (await event_of(trigger("gone")))["statuses"] == {"gone": "UNKNOWN"}

    async def test_passing_trouble_does_not_end_it(self, dashscope: BackgroundSimulator) -> None:
        ids = submit_repaints(dashscope, 0)
        for kind in ("reset", "garbage", "truncate"):
            dashscope.add_fault(endpoint="get_task", kind=kind, times=1)
        assert (await event_of(trigger(*ids)))["statuses"] == {ids[0]: "SUCCEEDED"}

    async def test_its_deadline_ends_it(self, at_rest: BackgroundSimulator) -> None:
        ids = submit_repaints(at_rest, 0)
        event = await event_of(trigger(*ids, end_time=time.time() + 0.2))
        assert (event["statuses"], event["timed_out"], event["retryable"]) == ({}, True, True)
        assert "had not ended at the deadline" in event["errors"][ids[0]]
        assert states(at_rest) == ["RUNNING"]

    async def test_a_deadline_that_has_passed_while_no_triggerer_ran_allows_one_last_look(
        self, at_rest: BackgroundSimulator
    ) -> None:
        ids = submit_repaints(at_rest, 0, 1)
        at_rest.advance(9)
        event = await event_of(trigger(*ids, end_time=time.time() - 3600))
        assert event["statuses"] == {ids[0]: "SUCCEEDED"}
        assert list(event["errors"]) == [ids[1]]
        assert event["timed_out"]

    async def test_an_error_that_waiting_cannot_mend_ends_it(self, dashscope: BackgroundSimulator) -> None:
        ids = submit_repaints(dashscope, 0)
        dashscope.add_fault(endpoint="list_tasks", kind="status", status=403, code="AccessDenied.Unpurchased")
        dashscope.add_fault(endpoint="get_task", kind="status", status=403, code="AccessDenied.Unpurchased")
        event = await event_of(trigger(*ids, end_time=time.time() + 60))
        assert not event["statuses"]
        assert list(event["errors"]) == ids

    async def test_a_connection_that_cannot_be_used_is_told_for_every_task(
        self, set_connection: Callable[..., None]
    ) -> None:
        set_connection("broken", {"conn_type": "dashscope"})
        event = await event_of(trigger("a", "b", dashscope_conn_id="broken"))
        assert event["errors"].keys() == {"a", "b"}
        assert "Connection 'broken': there is no API key" in event["errors"]["a"]
        assert (event["timed_out"], event["retryable"]) == (False, False)

    async def test_a_connection_that_is_not_there_fails_the_trigger_by_name(self) -> None:
        with pytest.raises(AirflowNotFoundException, match="there_is_none"):
            await event_of(trigger("a", dashscope_conn_id="there_is_none"))

    async def test_cancelling_it_leaves_nothing_running(self, at_rest: BackgroundSimulator) -> None:
        running = await begun(at_rest, *submit_repaints(at_rest, 0))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert asyncio.all_tasks() == {asyncio.current_task()}


class TestKeyRotation:
    """The key is replaced while a task waits."""

    async def test_the_wait_goes_on_with_the_new_key(
        self, at_rest: BackgroundSimulator, set_connection: Callable[..., None]
    ) -> None:
        ids = submit_repaints(at_rest, 0)
        running = await begun(at_rest, *ids)
        at_rest.accept_keys("sk-the-new-one")
        connection = {"conn_type": "dashscope", "host": at_rest.url, "password": "sk-the-new-one"}
        set_connection("dashscope_default", connection)
        at_rest.advance(9)
        assert (await running)["statuses"] == {ids[0]: "SUCCEEDED"}

    async def test_a_key_that_stays_refused_ends_the_wait_with_advice(
        self, at_rest: BackgroundSimulator
    ) -> None:
        ids = submit_repaints(at_rest, 0)
        running = await begun(at_rest, *ids)
        at_rest.accept_keys("sk-the-new-one")
        event = await running
        assert "Check the API key" in event["errors"][ids[0]]
        assert (event["timed_out"], event["retryable"]) == (False, False)


@pytest.mark.needs_airflow(
    "3.3", "cancelling a queued task when its deferred Airflow task is killed or cleared"
)
class TestKilling:
    """``on_kill``, which Airflow also calls when a trigger merely moves to another triggerer."""

    @pytest.fixture
    def state(self) -> Any:
        """What Airflow says of the state of the run's task instances: a stand-in, for there is no Airflow here."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        with mock.patch.object(RuntimeTaskInstance, "get_task_states", autospec=True) as asked:
            asked.return_value = {RUN: {}}
            yield asked

    @pytest.fixture(autouse=True)
    def published(self) -> Any:
        """The id that the task instance has published: nothing, as for a sensor; likewise a stand-in."""
        with mock.patch.object(XCom, "get_one", autospec=True, return_value=None) as asked:
            yield asked

    def killed(self, *ids: str, map_index: int = -1, **arguments: Any) -> None:
        asyncio.run(self.made(*ids, map_index=map_index, **arguments).on_kill())

    def made(self, *ids: str, map_index: int = -1, **arguments: Any) -> DashScopeTaskTrigger:
        from airflow.sdk.api.datamodels._generated import TaskInstance

        made = trigger(*ids, **{"cancel_on_kill": True, **arguments})
        made.task_instance = TaskInstance(
            id=uuid.uuid4(),
            dag_id="dag",
            task_id="wait",
            run_id=RUN,
            try_number=1,
            map_index=map_index,
            dag_version_id=uuid.uuid4(),
        )  # type: ignore[assignment]
        return made

    @pytest.mark.parametrize("now", ["failed", "success", "skipped", "scheduled", None])
    def test_it_cancels_what_is_queued_when_a_person_has_ended_or_cleared_the_task(
        self, at_rest: BackgroundSimulator, state: mock.Mock, now: str | None
    ) -> None:
        ids = submit_repaints(at_rest, 0, 1, 2)
        state.return_value = {RUN: {"wait": now and TaskInstanceState(now)}}
        self.killed(*ids)
        assert states(at_rest) == ["RUNNING", "CANCELED", "CANCELED"]

    def test_it_leaves_the_tasks_alone_when_only_the_triggerer_has_changed(
        self, at_rest: BackgroundSimulator, state: mock.Mock
    ) -> None:
        ids = submit_repaints(at_rest, 0, 1)
        state.return_value = {RUN: {"wait": TaskInstanceState.DEFERRED}}
        self.killed(*ids)
        assert states(at_rest) == ["RUNNING", "PENDING"]

    @pytest.mark.parametrize(("number", "state_then"), [(1, "PENDING"), (2, "CANCELED")])
    def test_a_new_try_that_waits_already_for_a_task_of_its_own_does_not_keep_it_from_cancelling(
        self,
        at_rest: BackgroundSimulator,
        state: mock.Mock,
        published: mock.Mock,
        number: int,
        state_then: str,
    ) -> None:
        ids = submit_repaints(at_rest, 0, 1, 2)
        state.return_value = {RUN: {"wait": TaskInstanceState.DEFERRED}}
        published.return_value = ids[number]
        self.killed(ids[1])
        assert states(at_rest) == ["RUNNING", state_then, "PENDING"]
        published.assert_called_once_with(
            key="dashscope_task_id", dag_id="dag", task_id="wait", run_id=RUN, map_index=-1
        )

    @pytest.mark.parametrize(("status", "state_then"), [(403, "CANCELED"), (500, "PENDING")])
    def test_a_try_that_airflow_calls_over_is_not_waited_for_any_more_and_one_that_it_cannot_tell_of_is(
        self,
        at_rest: BackgroundSimulator,
        state: mock.Mock,
        published: mock.Mock,
        status: int,
        state_then: str,
    ) -> None:
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse

        ids = submit_repaints(at_rest, 0, 1)
        state.return_value = {RUN: {"wait": TaskInstanceState.DEFERRED}}
        answer = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status})
        published.side_effect = AirflowRuntimeError(answer)
        with nullcontext() if status == 403 else pytest.raises(AirflowRuntimeError):
            self.killed(ids[1])
        assert states(at_rest) == ["RUNNING", state_then]

    async def test_what_it_has_begun_comes_to_its_end_though_airflow_cancels_it_every_second(
        self, at_rest: BackgroundSimulator, state: mock.Mock
    ) -> None:
        ids = submit_repaints(at_rest, 0, 1)
        killing = asyncio.create_task(self.made(*ids).on_kill())
        await asyncio.sleep(0)
        killing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await killing
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        assert states(at_rest) == ["RUNNING", "CANCELED"]

    def test_of_mapped_tasks_its_own_state_counts(
        self, at_rest: BackgroundSimulator, state: mock.Mock
    ) -> None:
        ids = submit_repaints(at_rest, 0, 1, 2)
        state.return_value = {RUN: {"wait_0": TaskInstanceState.DEFERRED, "wait_1": TaskInstanceState.FAILED}}
        self.killed(ids[1], map_index=0)
        self.killed(ids[2], map_index=1)
        assert states(at_rest) == ["RUNNING", "PENDING", "CANCELED"]

    def test_it_asks_for_the_state_of_its_own_task_instance_only(
        self, at_rest: BackgroundSimulator, state: mock.Mock
    ) -> None:
        self.killed("any", map_index=3)
        state.assert_called_once_with(dag_id="dag", task_ids=["wait"], run_ids=[RUN], map_index=3)

    def test_without_cancel_on_kill_it_does_nothing(
        self, at_rest: BackgroundSimulator, state: mock.Mock
    ) -> None:
        ids = submit_repaints(at_rest, 0, 1)
        self.killed(*ids, cancel_on_kill=False)
        assert states(at_rest) == ["RUNNING", "PENDING"]
        state.assert_not_called()

    def test_one_task_that_cannot_be_canceled_does_not_save_the_others(
        self, at_rest: BackgroundSimulator, state: mock.Mock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ids = submit_repaints(at_rest, 0, 1, 2, 3)
        at_rest.add_fault(endpoint="cancel", kind="status", status=403, task_id=ids[1])
        self.killed(*ids)
        assert states(at_rest) == ["RUNNING", "PENDING", "CANCELED", "CANCELED"]
        log = capsys.readouterr().out
        assert f"DashScope task {ids[0]} is past canceling" in log
        assert f"DashScope task {ids[1]} could not be canceled: " in log
        assert f"Canceled DashScope task {ids[2]} while it was queued" in log


@pytest.mark.needs_airflow("3.3", "queues of triggerers")
@pytest.mark.parametrize("enabled", ["True", "False"])
def test_a_wait_goes_to_the_triggerers_of_its_tasks_queue(
    monkeypatch: pytest.MonkeyPatch, queued: tuple[BackgroundSimulator, str], enabled: str
) -> None:
    from airflow.sdk.execution_time.task_runner import _defer_task

    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", enabled)
    runner = wait(queued[1], queue="pictures")
    ti: Any = SimpleNamespace(task=runner.build(), dag_id="dag", task_id="wait", run_id="run")
    message, _ = _defer_task(deferral(runner.start), ti, mock.Mock())
    assert message.queue == ("pictures" if enabled == "True" else None)  # type: ignore[union-attr]
