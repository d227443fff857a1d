"""A bulk task in trouble: killed, short of answers, short of a working service or store. No image is paid for twice."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_wanx.batch import batch, policy
from airflow_provider_wanx.batch.batch import Batch
from airflow_provider_wanx.batch.batch_destination import BatchDestination
from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.dashscope.api.endpoints import Endpoint
from airflow_provider_wanx.dashscope.client.clients import Exchange
from airflow_provider_wanx.dashscope.errors import InvalidInputError, S3Error
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.jobs.copying.destinations import S3Destination
from airflow_provider_wanx.jobs.copying.key_template import LEDGER
from airflow_provider_wanx.jobs.pictures.image_source import ImageSource
from airflow_provider_wanx.s3.objects import ObjectStore
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.batch import DashScopeBatchTrigger
from tests.unit.operators.repainting import AT_REST, Bulk, accepted, submitted
from tests.unit.support.airflow import deferral, only_event, revived
from tests.unit.support.memory_s3 import KilledError, MemoryS3
from tests.unit.support.service import states, totals

Service = Callable[..., BackgroundSimulator]

WITHOUT_KEY = {"conn_type": "dashscope", "host": "http://127.0.0.1:9"}

ONCE = {"ann.png": 1, "bob.png": 1, "cleo.png": 1}


@pytest.fixture(autouse=True)
def ledger_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the small objects in memory: most of what these tests would ask of the local S3."""
    inner, stores = BatchDestination.store, defaultdict[str, MemoryS3](MemoryS3)

    def store(self: BatchDestination, name: str = "") -> ObjectStore:
        if name != LEDGER:
            return inner(self, name)
        return ObjectStore(stores[self.results.bucket], bucket=self.results.bucket, prefix=self.prefix + name)

    monkeypatch.setattr(BatchDestination, "store", store)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "PAUSE_SECONDS", 0.05)


def killed_at(
    monkeypatch: pytest.MonkeyPatch, where: type[Any], name: str, *, call: int, after: bool, only: Any = None
) -> None:
    """Let the process die at one call of a method, before or after it has done its work."""
    original, calls = getattr(where, name), [0]

    def is_last(*args: Any) -> bool:
        counts = only is None or only(*args)
        calls[0] += counts
        if counts and calls[0] > call:
            # The dead do nothing more.
            raise KilledError
        return calls[0] == call and counts

    def dies(self: Any, *args: Any, **more: Any) -> Any:
        is_over = is_last(*args)
        done = None if is_over and not after else original(self, *args, **more)
        if is_over:
            raise KilledError
        return done

    async def dies_in_a_coroutine(self: Any, *args: Any, **more: Any) -> Any:
        is_over = is_last(*args)
        done = None if is_over and not after else await original(self, *args, **more)
        if is_over:
            raise KilledError
        return done

    monkeypatch.setattr(where, name, dies_in_a_coroutine if inspect.iscoroutinefunction(original) else dies)


class TestKilled:
    """A worker that dies, and the next try."""

    @pytest.mark.parametrize(
        ("where", "name", "call", "after"),
        [
            (Exchange, "send_once", 2, False),  # between the intent and the submission
            (Exchange, "send_once", 2, True),  # between the submission and its record
            (Exchange, "send_once", 3, True),
            (S3Destination, "write", 2, False),  # in the middle of a copy
            (S3Destination, "write", 3, True),  # between a copy and its record
            (ObjectStore, "write", 8, True),
            (ObjectStore, "write", 11, True),
        ],
    )
    def test_the_next_try_goes_on_and_every_image_is_submitted_once(
        self,
        bulk: Bulk,
        service: Service,
        monkeypatch: pytest.MonkeyPatch,
        where: type[Any],
        name: str,
        call: int,
        after: bool,
    ) -> None:
        simulator = service()
        runner = bulk.runner()
        with monkeypatch.context() as patch:
            submits = (lambda sent: sent.endpoint is Endpoint.SUBMIT) if where is Exchange else None
            killed_at(patch, where, name, call=call, after=after, only=submits)
            with pytest.raises(KilledError):
                bulk.run(runner)
        assert bulk.run(runner)["succeeded"] == 3
        assert submitted(simulator) == ONCE
        assert len(bulk.results()) == 3
        assert [row["status"] for row in bulk.manifest()] == ["succeeded"] * 3

    def test_a_worker_that_lives_on_after_a_retry_has_begun_submits_nothing_more(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator = service()
        runner = bulk.runner()
        original = Exchange.send_once
        retried: list[dict[str, Any]] = []

        async def retry_meanwhile(self: Exchange, call: Any, *more: Any) -> Any:
            if call.endpoint is Endpoint.SUBMIT and not retried:
                answer = await original(self, call, *more)
                retried.append(bulk.run(runner))
                return answer
            return await original(self, call, *more)

        monkeypatch.setattr(Exchange, "send_once", retry_meanwhile)
        with pytest.raises(AirflowException, match="Another run or try has taken over") as caught:
            runner.start()
        # Should it be the owner after all, its retry takes the ledger again.
        assert not isinstance(caught.value, AirflowFailException)
        assert retried[0]["succeeded"] == 3
        assert submitted(simulator) == ONCE

    def test_a_second_run_is_refused_while_the_first_waits(self, bulk: Bulk, service: Service) -> None:
        simulator = service(**AT_REST)
        deferral(bulk.runner().start)
        with pytest.raises(
            AirflowException, match="belongs to task bulk of run monday of DAG dag until"
        ) as caught:
            bulk.runner(run_id="tuesday").start()
        # The first one may be done by the time of a retry.
        assert not isinstance(caught.value, AirflowFailException)
        assert accepted(simulator) == 3


class TestAnswers:
    """What the service says of single images, or does not."""

    def test_a_lost_answer_is_found_in_the_list(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        simulator.add_fault(endpoint="submit", kind="lose_answer", after=1, times=1)
        assert bulk.run()["succeeded"] == 3
        assert submitted(simulator) == ONCE

    def test_what_cannot_be_found_out_is_not_paid_for_again_and_looked_for_by_the_next_run(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
        simulator.add_fault(endpoint="list_tasks", kind="status", status=403)
        summary = bulk.run()
        assert (summary["succeeded"], summary["failures"]["UnconfirmedSubmission"]["count"]) == (2, 1)
        assert "could be it" in bulk.manifest()[0]["message"]
        simulator.clear_faults()
        assert bulk.run(run_id="tuesday", retry_failed=True)["succeeded"] == 3
        assert submitted(simulator) == ONCE

    def test_whoever_asks_for_it_pays_twice_rather_than_miss_an_image(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
        simulator.add_fault(endpoint="list_tasks", kind="status", status=403)
        assert bulk.run(on_unconfirmed_submit="resubmit")["succeeded"] == 3
        assert submitted(simulator) == {**ONCE, "ann.png": 2}

    def test_passing_failures_are_tried_again_and_lasting_ones_are_recorded(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        passing = {"endpoint": "job", "kind": "outcome", "outcome": "FAILED", "code": "InternalError.Algo"}
        simulator.add_fault(**passing, style=1, times=2)
        simulator.add_fault(**passing, style=2)
        simulator.add_fault(**{**passing, "code": "DataInspectionFailed"}, style=3, message="Not this one.")
        summary = bulk.run(images=[f"s3://{bulk.bucket.name}/in/ann.png"], style="1;2;3;4")
        rows = [(row["status"], row["code"], row["attempts"], row["cost"]) for row in bulk.manifest()]
        assert rows == [
            ("succeeded", None, 3, 0.12),
            ("failed", "InternalError.Algo", 3, 0.0),
            ("failed", "DataInspectionFailed", 1, 0.0),
            ("succeeded", None, 1, 0.12),
        ]
        assert bulk.manifest()[2]["message"] == "Not this one."
        assert summary["failures"]["DataInspectionFailed"] == {
            "count": 1,
            "examples": [
                {"row": 2, "image": f"s3://{bulk.bucket.name}/in/ann.png", "message": "Not this one."}
            ],
        }
        assert totals(simulator)["billed"] == 2

    def test_failed_images_are_left_alone_until_they_are_wanted_again(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        fault = {"endpoint": "job", "kind": "outcome", "outcome": "FAILED", "code": "DataInspectionFailed"}
        simulator.add_fault(**fault, times=1)
        assert bulk.run()["failed"] == 1
        assert bulk.run(run_id="tuesday")["failed"] == 1
        assert accepted(simulator) == 3
        summary = bulk.run(run_id="wednesday", retry_failed=True)
        assert (summary["succeeded"], summary["failures"]) == (3, {})
        assert accepted(simulator) == 4

    def test_images_that_are_wanted_again_go_into_the_rows_and_not_all_into_the_journal(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator = service()
        simulator.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="DataInspectionFailed")
        assert bulk.run(max_failures=None)["failed"] == 3

        def end(self: Batch, ended: Any) -> None:
            # Nothing that is not kept by now is known to the next try.
            kept = Ledger(
                self.destination.store(LEDGER),
                owner=self.destination.owner,
                identity=self.ledger._index.identity,
            )
            kept.read()
            kept_counts.append(dict(+kept.totals.counts))
            raise KilledError

        kept_counts: list[dict[str, int]] = []
        monkeypatch.setattr(Batch, "step", end)
        with pytest.raises(KilledError):
            bulk.run(retry_failed=True)
        assert kept_counts == [{"planned": 3}]

    def test_what_somebody_has_canceled_is_submitted_again(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        simulator.add_fault(endpoint="job", kind="outcome", outcome="CANCELED", times=1)
        assert bulk.run()["succeeded"] == 3
        assert sorted(states(simulator)) == ["CANCELED", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED"]

    def test_what_the_service_does_not_know_any_more_is_recorded(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        simulator.add_fault(endpoint="job", kind="outcome", outcome="UNKNOWN", times=1)
        summary = bulk.run()
        assert (summary["succeeded"], summary["failures"]["UNKNOWN"]["count"]) == (2, 1)
        assert accepted(simulator) == 3

    def test_a_result_is_not_given_up_for_one_unknown(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        runner = bulk.runner()
        deferred = deferral(runner.start)
        event = only_event(revived(deferred.trigger))
        simulator.add_fault(endpoint="get_task", kind="unknown", times=2)
        assert bulk.go_on(runner, lambda: runner.resume(deferred, event))["succeeded"] == 3

    def test_no_picture_is_opened_for_which_the_budget_is_too_small(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service()
        opened, prepare = [], Batch._prepare

        def watched(self: Batch, row: Any) -> Any:
            opened.append(row.row)
            return prepare(self, row)

        monkeypatch.setattr(Batch, "_prepare", watched)
        with pytest.raises(AirflowFailException, match="max_cost"):
            bulk.run(max_cost=0)
        assert opened == []

    def test_a_picture_that_is_refused_does_not_keep_the_others(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        bulk.bucket.put("in/abc.png", b"no picture")
        summary = bulk.run(max_failures=1)
        assert (summary["succeeded"], summary["failed"]) == (3, 1)
        assert bulk.manifest()[0]["code"] == "InvalidInput"
        assert submitted(simulator) == ONCE

    def test_a_result_for_which_s3_has_no_key_is_not_paid_for(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        long = "x" * 990
        bulk.bucket.put(f"in/{long}.png", bulk.bucket.body("in/ann.png"))
        # Its own key is short enough, with the destination's prefix it is not.
        bulk.run(
            s3_key="anime/{name}-{row}{extension}", destination=f"s3://{bulk.bucket.name}/out/{'d' * 20}/"
        )
        assert submitted(simulator) == ONCE


class TestCopies:
    """Results that do not come, and a store that takes none."""

    def test_a_copy_that_breaks_is_tried_again(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        simulator.add_fault(endpoint="result", kind="truncate", times=2)
        simulator.add_fault(endpoint="result", kind="status", status=503, times=5)
        assert bulk.run()["succeeded"] == 3
        assert submitted(simulator) == ONCE

    def test_a_result_that_could_not_be_had_is_copied_by_a_later_run_and_not_paid_for_again(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        simulator.add_fault(endpoint="result", kind="status", status=503)
        images = [f"s3://{bulk.bucket.name}/in/ann.png"]
        summary = bulk.run(images=images, max_failures=None)
        assert (summary["failed"], summary["billed"]) == (1, 1)
        simulator.clear_faults()
        summary = bulk.run(images=images, run_id="tuesday", retry_failed=True)
        assert (summary["succeeded"], summary["billed"]) == (1, 1)
        assert accepted(simulator) == 1

    @pytest.mark.parametrize("retryable", [True, False])
    def test_a_store_that_takes_no_results_fails_the_task_and_the_next_run_copies_them(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch, retryable: bool
    ) -> None:
        simulator = service()

        def refuse(*args: Any, **more: Any) -> None:
            raise S3Error("Could not write s3://out: it is full.", retryable=retryable)

        with monkeypatch.context() as patch:
            patch.setattr(S3Destination, "write", refuse)
            with pytest.raises(AirflowException, match="it is full") as caught:
                bulk.run()
        assert isinstance(caught.value, AirflowFailException) is not retryable
        assert bulk.run(run_id="tuesday")["succeeded"] == 3
        assert submitted(simulator) == ONCE

    def test_when_the_ledger_is_lost_no_more_copies_are_begun(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator = service()
        bulk.portraits(*(f"p{number:02}" for number in range(20)))
        runner = bulk.runner()
        deferred = deferral(runner.start)
        simulator.advance(60)
        waiting: Any = revived(deferred.trigger)
        # However slow the machine is, there are more to copy than are copied at a time.
        waiting.wake_within = 60.0
        event = only_event(waiting)
        assert len(event["ended"]) > policy.THREADS
        begun, fetch = [], Batch._fetch

        def lose_it(self: Batch, row: Any) -> Any:
            begun.append(row.row)
            if len(begun) == 1:
                raise KilledError
            return fetch(self, row)

        monkeypatch.setattr(batch, "THREADS", 1)
        monkeypatch.setattr(Batch, "_fetch", lose_it)
        with pytest.raises(KilledError):
            runner.resume(deferred, event)
        assert len(begun) < len(event["ended"])


class TestTruth:
    """What is told of a batch that has failed, and who may go on after it."""

    def test_a_batch_of_which_every_image_has_failed_fails_and_its_figures_are_there(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        simulator.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL", message="no")
        runner = bulk.runner()
        with pytest.raises(AirflowFailException, match=r"^All images have failed \(3\): InvalidURL\."):
            bulk.run(runner)
        summary = runner.xcoms["return_value"]
        assert (summary["images"], summary["failed"], summary["succeeded"]) == (3, 3, 0)
        assert summary["failures"]["InvalidURL"]["count"] == 3
        assert summary["manifest"] == [f"s3://{bulk.bucket.name}/out/manifest.jsonl"]
        assert [row["status"] for row in bulk.manifest()] == ["failed"] * 3
        assert bulk.json("status.json")["state"] == "stopped"

    @pytest.mark.parametrize("refused", ["status.json", "manifest.jsonl"])
    def test_whatever_cannot_be_written_at_a_bad_end_the_next_run_may_begin_at_once(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch, refused: str
    ) -> None:
        simulator = service()
        if refused == "status.json":
            simulator.add_fault(endpoint="submit", kind="status", status=401, code="InvalidApiKey")
        else:
            simulator.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL")
        images = [f"s3://{bulk.bucket.name}/in/ann.png"]
        write, upload = ObjectStore.write, BatchDestination.upload

        def refuse(original: Any, name: str) -> None:
            if name == refused:
                raise S3Error("Slow down.", retryable=True)

        def refusing_write(self: Any, name: str, *args: Any, **more: Any) -> Any:
            refuse(write, name)
            return write(self, name, *args, **more)

        def refusing_upload(self: Any, path: Any, name: str, content_type: str) -> None:
            refuse(upload, name)
            upload(self, path, name, content_type)

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "write", refusing_write)
            patch.setattr(BatchDestination, "upload", refusing_upload)
            with pytest.raises(AirflowException):
                bulk.run(images=images, max_failures=0)
        simulator.clear_faults()
        assert bulk.run(images=images, run_id="tuesday", retry_failed=True)["succeeded"] == 1

    def test_a_store_that_is_refused_keeps_no_lease(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service()

        def refuse(self: ObjectStore, name: str) -> None:
            raise InvalidInputError("It ignores conditions.")

        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, "check_conditions", refuse)
            with pytest.raises(AirflowFailException, match="ignores conditions"):
                bulk.run()
        assert bulk.run(run_id="tuesday")["succeeded"] == 3

    @pytest.mark.parametrize("connection", ["as it was", "gone"])
    def test_a_deferral_that_airflow_has_ended_keeps_no_lease(
        self, bulk: Bulk, service: Service, set_connection: Callable[..., None], connection: str
    ) -> None:
        simulator = service(**AT_REST)
        runner = bulk.runner()
        deferral(runner.start)
        if connection == "gone":
            set_connection("dashscope_default", WITHOUT_KEY)
        with pytest.raises(Exception, match="Trigger timeout"):
            runner.continue_with("__fail__", {"error": "Trigger timeout"})
        set_connection("dashscope_default", simulator.connection_json())
        simulator.advance(3 * 3600)
        assert bulk.run(run_id="tuesday")["succeeded"] == 3
        assert accepted(simulator) == 3

    def test_a_wake_whose_connection_is_gone_keeps_no_lease(
        self, bulk: Bulk, service: Service, set_connection: Callable[..., None]
    ) -> None:
        simulator = service(**AT_REST)
        runner = bulk.runner()
        deferred = deferral(runner.start)
        set_connection("dashscope_default", WITHOUT_KEY)
        with pytest.raises(AirflowException, match="dashscope_default"):
            runner.resume(deferred, {"ended": []})
        set_connection("dashscope_default", simulator.connection_json())
        simulator.advance(3 * 3600)
        assert bulk.run(run_id="tuesday")["succeeded"] == 3
        assert accepted(simulator) == 3

    def test_a_ledger_that_was_not_held_against_the_input_is_not_told_of(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service(**AT_REST)
        runner = bulk.runner()
        deferred = deferral(runner.start)

        def refuse(*args: Any, **more: Any) -> None:
            raise InvalidInputError("The input is gone.")

        monkeypatch.setattr(batch, "plan", refuse)
        assert deferred.kwargs is not None
        deferred.kwargs["ledger"] = "another version"
        with pytest.raises(AirflowException, match="The input is gone"):
            runner.resume(deferred, {"ended": []})
        assert bulk.json("status.json")["state"] == "running"


class TestService:
    """A service that is down, or does not want this account."""

    def test_a_service_that_takes_nothing_is_waited_for_without_a_worker(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        simulator.add_fault(endpoint="submit", kind="status", status=503)
        runner = bulk.runner()
        deferred = deferral(runner.start)
        assert isinstance(deferred.trigger, DashScopeBatchTrigger)
        assert deferred.trigger.dashscope_task_ids == []
        deferred = deferral(lambda: runner.resume(deferred, only_event(revived(deferred.trigger))))
        simulator.clear_faults()
        event = only_event(revived(deferred.trigger))
        assert event == {"ended": []}
        assert bulk.go_on(runner, lambda: runner.resume(deferred, event))["succeeded"] == 3
        assert submitted(simulator) == ONCE

    def test_one_that_stays_out_of_order_fails_the_task_for_its_retries(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(batch, "PAUSE_SECONDS", policy.LONGEST_WAIT_SECONDS)
        simulator = service()
        simulator.add_fault(endpoint="submit", kind="status", status=503)
        with pytest.raises(AirflowException, match="The service has taken no submission for") as caught:
            bulk.run()
        assert not isinstance(caught.value, AirflowFailException)
        assert bulk.wakes == 1

    def test_a_key_that_is_refused_stops_at_once_and_keeps_nobody_else_out(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        simulator.accept_keys("sk-another")
        with pytest.raises(AirflowFailException, match="InvalidApiKey"):
            bulk.runner().start()
        assert simulator.ledger(summary=True)["endpoints"]["submit"]["requests"] == 1
        simulator.accept_keys(simulator.api_key)
        assert bulk.run(run_id="tuesday")["succeeded"] == 3

    def test_pictures_that_cannot_be_read_for_a_while_are_not_given_up_at_once(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator = service()

        def refuse(self: ImageSource, image: str, *, field: str) -> Any:
            raise S3Error(f"Could not read {image}: slow down.", retryable=True)

        runner = bulk.runner()
        with monkeypatch.context() as patch:
            patch.setattr(ImageSource, "open", refuse)
            first = deferral(runner.start)
            second = deferral(lambda: runner.resume(first, {"ended": []}))
        assert accepted(simulator) == 0
        assert bulk.go_on(runner, lambda: runner.resume(second, {"ended": []}))["succeeded"] == 3

    def test_a_triggerer_that_cannot_wait_wakes_a_worker_now_and_then_and_all_is_done_in_the_end(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service(**AT_REST)
        runner = bulk.runner()
        deferred = deferral(runner.start)
        event = {"ended": deferred.trigger.dashscope_task_ids}
        pause = deferral(lambda: runner.resume(deferred, event))
        assert pause.trigger.dashscope_task_ids == []
        simulator.advance(3 * 3600)
        assert bulk.go_on(runner, lambda: runner.resume(pause, {"ended": []}))["succeeded"] == 3
        assert submitted(simulator) == ONCE

    def test_what_somebody_has_canceled_is_submitted_by_the_next_run(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service(**AT_REST, concurrency=1)
        deferred = deferral(bulk.runner().start)
        with DashScopeHook() as hook:
            for task_id in deferred.trigger.dashscope_task_ids:
                hook.cancel_task(task_id)
        assert states(simulator) == ["RUNNING", "CANCELED", "CANCELED"]
        runner = bulk.runner()
        deferred = deferral(runner.start)
        event = only_event(revived(deferred.trigger))
        assert len(event["ended"]) == 2
        deferral(lambda: runner.resume(deferred, event))
        assert states(simulator) == ["RUNNING", "CANCELED", "CANCELED", "PENDING", "PENDING"]
