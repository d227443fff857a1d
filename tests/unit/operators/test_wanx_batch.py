"""A bulk task that meets no trouble: what it submits, copies, writes and tells."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, Asset, AssetAlias
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from airflow_provider_wanx.batch.batch import Batch
from airflow_provider_wanx.batch.outcomes import Outcome
from airflow_provider_wanx.identity import identity_of
from airflow_provider_wanx.jobs.copying.result_metadata import ownership
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.repainting import AT_REST, Bulk, accepted, submitted
from tests.unit.support.airflow import TaskRunner, deferral, only_event, revived
from tests.unit.support.airflow_names import alias_events
from tests.unit.support.pictures import data_url, picture
from tests.unit.support.service import states, totals

Service = Callable[..., BackgroundSimulator]


NONE = dict.fromkeys(("planned", "intent", "submitted", "succeeded", "failed", "duplicate", "removed"), 0)
"""What a summary counts."""


class TestRun:
    """One run, and another one after it."""

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_every_image_is_submitted_once_and_copied(
        self, bulk: Bulk, service: Service, deferrable: bool
    ) -> None:
        simulator = service()
        summary = bulk.run(deferrable=deferrable)
        assert submitted(simulator) == {"ann.png": 1, "bob.png": 1, "cleo.png": 1}
        assert bulk.results() == [
            "out/anime/ann-000000.jpg",
            "out/anime/bob-000001.jpg",
            "out/anime/cleo-000002.jpg",
        ]
        assert summary == {
            "destination": f"s3://{bulk.bucket.name}/out/",
            "images": 3,
            **NONE,
            "succeeded": 3,
            "bytes": 3 * len(picture(64, 64, kind="JPEG")),
            "billed": 3,
            "cost": 0.36,
            "currency": "CNY",
            "failures": {},
            "manifest": [f"s3://{bulk.bucket.name}/out/manifest.jsonl"],
        }
        assert (bulk.wakes > 0) is deferrable
        status = bulk.json("status.json")
        assert (status["state"], status["in_flight"], status["seconds_left"]) == ("finished", 0, 0)
        assert json.loads(bulk.bucket.body("out/_ledger/journal.jsonl").splitlines()[0])["owner"] is None

    def test_what_is_copied_in_threads_is_part_of_the_tasks_trace_too(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service()
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
        with trace.get_tracer("airflow").start_as_current_span("worker.repaint") as span:
            task: Any = span
            bulk.run(deferrable=False)
        told = [each for each in exporter.get_finished_spans() if each is not task]
        names = Counter(each.name for each in told if each.name.startswith("dashscope."))
        assert names["dashscope.submit"] == names["dashscope.copy"] == 3
        assert {each.parent and each.parent.span_id for each in told if each.name in names} == {
            task.get_span_context().span_id
        }

    def test_the_manifest_tells_of_each_image_what_was_wanted_and_what_has_become_of_it(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        bulk.run()
        body = picture(64, 64, kind="JPEG")
        rows = bulk.manifest()
        assert [row["row"] for row in rows] == [0, 1, 2]
        ids = [task["task_id"] for task in simulator.ledger()["tasks"]]
        row = rows[1]
        assert bulk.bucket.body(row["key"]) == body
        metadata = bulk.bucket.head(row["key"])["Metadata"]
        del metadata["dashscope-request-id"]
        assert {name: metadata[name] for name in metadata if name.startswith("dashscope-")} == {
            "dashscope-task-id": ids[1],
            "dashscope-source": f"s3://{bulk.bucket.name}/in/bob.png",
            "dashscope-style": "2",
        }
        assert row.pop("submit_time")[:19] <= row.pop("end_time")[:19]
        assert row == {
            "row": 1,
            "image": f"s3://{bulk.bucket.name}/in/bob.png",
            "style": 2,
            "style_name": "anime",
            "style_reference": None,
            "status": "succeeded",
            "dashscope_task_id": ids[1],
            "bucket": bulk.bucket.name,
            "key": "out/anime/bob-000001.jpg",
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "content_type": "image/jpeg",
            "code": None,
            "message": None,
            "attempts": 1,
            "duplicate_of": None,
            "cost": 0.12,
        }

    def test_others_may_read_how_far_it_is(self, bulk: Bulk, service: Service) -> None:
        service(**AT_REST)
        deferral(bulk.runner().start)
        status = bulk.json("status.json")
        assert status.pop("updated_at")
        assert status == {
            "state": "running",
            "owner": "task bulk of run monday of DAG dag",
            "in_flight": 3,
            "images_per_hour": pytest.approx(status["images_per_hour"]),
            "seconds_left": pytest.approx(status["seconds_left"]),
            "destination": f"s3://{bulk.bucket.name}/out/",
            "images": 3,
            **NONE,
            "submitted": 3,
            "bytes": 0,
            "billed": 0,
            "cost": 0.0,
            "currency": "CNY",
            "failures": {},
        }
        assert status["images_per_hour"] > 0
        assert status["seconds_left"] > 0

    def test_another_run_submits_what_is_new_and_nothing_else(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        bulk.run()
        first = bulk.manifest()
        assert bulk.run(run_id="tuesday")["succeeded"] == 3
        assert accepted(simulator) == 3
        bulk.portraits("ann", "aaron")
        assert bulk.run(run_id="wednesday")["succeeded"] == 4
        assert submitted(simulator) == {"ann.png": 1, "bob.png": 1, "cleo.png": 1, "aaron.png": 1}
        assert bulk.manifest()[:3] == first
        assert bulk.manifest()[3]["key"] == "out/anime/aaron-000003.jpg"

    @pytest.mark.parametrize("key", ["anime/{name}-{row}{extension}", "anime/{name}{extension}"])
    def test_a_picture_that_was_replaced_under_its_name_is_repainted_and_no_other(
        self, bulk: Bulk, service: Service, key: str
    ) -> None:
        simulator = service()
        bulk.run(s3_key=key)
        bulk.bucket.put("in/bob.png", picture(400, 400))
        assert bulk.runner(dry_run=True, s3_key=key).start()["to_submit"] == 1
        summary = bulk.run(run_id="tuesday", s3_key=key)
        assert submitted(simulator) == {"ann.png": 1, "bob.png": 2, "cleo.png": 1}
        assert (summary["images"], summary["succeeded"], summary["removed"]) == (3, 3, 1)
        assert [row["image"].rpartition("/")[2] for row in bulk.manifest()] == [
            "ann.png",
            "cleo.png",
            "bob.png",
        ]
        # Whoever puts the old one back gets what was paid for.
        bulk.portraits("ann", "bob")
        bulk.run(run_id="wednesday", s3_key=key)
        assert accepted(simulator) == 4

    def test_own_columns_and_missing_rows_follow_the_manifest_of_today(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        url = f"s3://{bulk.bucket.name}/in"
        arguments = {
            "images": bulk.bucket.put("people.csv", f"image,id\n{url}/ann.png,1\n{url}/bob.png,2\n".encode()),
        }
        bulk.run(**arguments)
        bulk.bucket.put("people.csv", f"image,name\n{url}/bob.png,Bob\n{url}/cleo.png,Cleo\n".encode())
        summary = bulk.run(run_id="tuesday", **arguments)
        assert [(row["image"][-7:], row["name"]) for row in bulk.manifest()] == [
            ("bob.png", "Bob"),
            ("leo.png", "Cleo"),
        ]
        assert not any("id" in row for row in bulk.manifest())
        assert (summary["images"], summary["removed"], summary["cost"]) == (2, 1, 0.36)
        assert accepted(simulator) == 3

    def test_no_more_than_allowed_are_in_flight(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        bulk.at_most(2)
        runner = bulk.runner()
        first = deferral(runner.start)
        assert accepted(simulator) == 2
        event = only_event(revived(first.trigger))
        assert bulk.go_on(runner, lambda: runner.resume(first, event))["succeeded"] == 3

    def test_submissions_go_on_while_results_are_copied(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        simulator = service()
        fetch, seen = Batch._fetch, []

        def fetch_late(self: Batch, row: Any) -> Outcome:
            # What is being copied is in the service's queue no more, so there is room for the next of three.
            moment = threading.Event()
            for _ in range(500 if row.row < 2 else 0):
                if accepted(simulator) > row.row + 1:
                    seen.append(row.row)
                    break
                moment.wait(0.02)
            return fetch(self, row)

        monkeypatch.setattr(Batch, "_fetch", fetch_late)
        bulk.at_most(1)
        bulk.run()
        assert seen == [0, 1]

    def test_an_image_that_stands_in_the_input_twice_is_paid_for_once(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        url = f"s3://{bulk.bucket.name}/in/ann.png"
        summary = bulk.run(images=[url, data_url(picture()), url])
        assert accepted(simulator) == 2
        assert (summary["succeeded"], summary["duplicate"]) == (2, 1)
        assert [row["duplicate_of"] for row in bulk.manifest()] == [None, None, 0]

    def test_a_manifest_in_parquet_comes_back_in_parquet_too_with_its_own_columns(
        self, bulk: Bulk, service: Service
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        service()
        people = [
            {"image": f"s3://{bulk.bucket.name}/in/ann.png", "style": "anime", "id": "7"},
            {"image": f"s3://{bulk.bucket.name}/in/bob.png", "style": "4", "id": "李雷"},
        ]
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(people), file)
        manifest = bulk.bucket.put("people.parquet", file.getvalue())
        summary = bulk.run(images=manifest, style=None)
        names = ("jsonl", "parquet")
        assert summary["manifest"] == [f"s3://{bulk.bucket.name}/out/manifest.{name}" for name in names]
        rows = bulk.manifest()
        assert [(row["style"], row["id"]) for row in rows] == [(2, "7"), (4, "李雷")]
        table = pq.read_table(io.BytesIO(bulk.bucket.body("out/manifest.parquet")))
        assert table.to_pylist() == rows

    def test_the_parts_of_an_input_are_disjoint_and_complete(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        bulk.portraits(*(f"p{number}" for number in range(5)))
        done = [
            bulk.run(run_id=f"part-{part}", shard=f"{part}/2", destination=f"s3://{bulk.bucket.name}/{part}/")
            for part in (1, 2)
        ]
        assert set(submitted(simulator).values()) == {1}
        assert sum(summary["images"] for summary in done) == 8
        assert sum(summary["succeeded"] for summary in done) == 8

    def test_the_summary_is_in_xcom_and_in_the_events_of_outlets(self, bulk: Bulk, service: Service) -> None:
        service()
        asset, alias = Asset("s3://portraits/"), AssetAlias("bulk")
        runner = bulk.runner(outlets=[asset, alias])
        summary = bulk.run(runner)
        assert runner.xcoms["return_value"] == summary
        assert runner.xcoms["wanx_gallery"] == {
            "version": 1,
            "kind": "batch",
            "bucket": bulk.bucket.name,
            "prefix": "out/",
            "rows": summary["images"],
            "images": summary["succeeded"],
            "cost": summary["cost"],
        }
        assert len(json.dumps(summary)) < 2000
        assert runner.outlet_events[asset].extra == summary
        assert alias_events(runner.outlet_events[alias]) == [(summary["manifest"][0], summary)]

    def test_every_object_says_which_task_instance_has_written_it(self, bulk: Bulk, service: Service) -> None:
        service()
        runner = bulk.runner()
        bulk.run(runner)
        said = ownership(identity_of(runner.context()["ti"]))
        written = [key for key in bulk.bucket.keys() if key.startswith("out/")]  # noqa: SIM118 - no mapping
        assert len(written) == 9
        for key in written:
            assert said.items() <= bulk.bucket.head(key)["Metadata"].items(), key

    def test_keys_take_own_columns_and_the_names_that_a_copy_takes(
        self, bulk: Bulk, service: Service
    ) -> None:
        service()
        url = f"s3://{bulk.bucket.name}/in"
        lines = f"image,order no,style\n{url}/ann.png,A-1,2\n{url}/bob.png,B/../2,4\n"
        manifest = bulk.bucket.put("people.csv", lines.encode())
        bulk.run(
            images=manifest,
            style=None,
            s3_key="{run_id}/{order no}/{source_name}_{index}{extension}",
        )
        assert [row["key"] for row in bulk.manifest()] == [
            "out/monday/A-1/ann_0.jpg",
            "out/monday/B-..-2/bob_0.jpg",
        ]


class TestDryRun:
    """Looking without touching."""

    def test_it_tells_what_a_run_would_do_and_submits_and_writes_nothing(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        bulk.bucket.put("in/small.png", picture(100, 100))
        bulk.bucket.put("in/text.png", b"no picture at all")
        before = bulk.bucket.keys()
        report = bulk.runner(dry_run=True, style="anime; fresh").start()
        assert accepted(simulator) == 0
        assert bulk.bucket.keys() == before
        refusals = report.pop("refusals")
        assert len(refusals) == 4
        assert {refusal["image"].rpartition("/")[2] for refusal in refusals} == {"small.png", "text.png"}
        assert all(refusal["reason"] for refusal in refusals)
        assert report == {
            "images": 10,
            "done": 0,
            "duplicates": 0,
            "refused": 4,
            "to_submit": 6,
            "cost": 0.72,
            "currency": "CNY",
            "seconds": pytest.approx(6 * report["seconds_per_image"], abs=1),
            "seconds_per_image": report["seconds_per_image"],
            "seconds_per_image_from": "the model's page",
        }

    def test_it_counts_what_is_done_and_learns_from_the_accounts_history(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service(concurrency=1, duration=0.2)
        bulk.run()
        bulk.portraits("dora")
        report = bulk.runner(dry_run="True").start()
        assert (report["images"], report["done"], report["to_submit"], report["cost"]) == (4, 3, 1, 0.12)
        assert report["seconds_per_image_from"] == "3 images of the last 24 hours"
        assert report["seconds_per_image"] < 10
        assert accepted(simulator) == 3

    def test_failed_images_count_if_they_would_be_tried_again(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        simulator.add_fault(
            endpoint="job", kind="outcome", outcome="FAILED", code="DataInspectionFailed", times=1
        )
        bulk.run()
        assert bulk.runner(dry_run=True).start()["to_submit"] == 0
        assert bulk.runner(dry_run=True, retry_failed=True).start()["to_submit"] == 1

    def test_an_image_that_is_left_and_stands_in_the_input_twice_is_counted_once(
        self, bulk: Bulk, service: Service
    ) -> None:
        service(**AT_REST)
        names = ("ann", "bob", "cleo", "bob")
        images = [f"s3://{bulk.bucket.name}/in/{name}.png" for name in names]
        bulk.at_most(1)
        deferral(bulk.runner(images=images).start)
        report = bulk.runner(images=images, dry_run=True).start()
        assert (report["done"], report["duplicates"], report["to_submit"]) == (1, 1, 2)


class TestLimits:
    """What ends a run before its images are done."""

    def test_a_budget_is_not_exceeded_and_a_bigger_one_goes_on(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        with pytest.raises(
            AirflowFailException,
            match=r"^1 of 3 images are left, and one more could cost more than max_cost=0\.30\.",
        ):
            bulk.run(max_cost="0.30")
        assert accepted(simulator) == 2
        assert bulk.json("status.json")["state"] == "stopped"
        assert [row["status"] for row in bulk.manifest()] == ["succeeded", "succeeded", "planned"]
        assert bulk.run(run_id="tuesday", max_cost=0.36)["cost"] == 0.36
        assert submitted(simulator) == {"ann.png": 1, "bob.png": 1, "cleo.png": 1}

    def test_no_picture_is_uploaded_that_the_budget_cannot_pay(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        with pytest.raises(AirflowFailException, match="2 of 3 images are left"):
            bulk.run(max_cost="0.12", image_transfer="upload")
        assert simulator.ledger(summary=True)["endpoints"]["upload"]["requests"] == accepted(simulator) == 1

    def test_too_many_failures_end_it_and_cancel_what_is_queued(self, bulk: Bulk, service: Service) -> None:
        simulator = service(concurrency=1)
        bulk.portraits("dora")
        simulator.add_fault(
            endpoint="job", kind="outcome", outcome="FAILED", code="InvalidParameter", times=1
        )
        simulator.add_fault(endpoint="job", kind="outcome", runs_for=3600)
        with pytest.raises(
            AirflowFailException, match=r"^1 of 4 images have failed, more than max_failures=0"
        ):
            bulk.run(max_failures=0)
        assert states(simulator) == ["FAILED", "RUNNING", "CANCELED", "CANCELED"]
        assert [row["status"] for row in bulk.manifest()] == ["failed", "submitted", "planned", "planned"]
        simulator.clear_faults()
        simulator.advance(3600)
        assert bulk.run(run_id="tuesday", retry_failed=True, max_failures=0)["succeeded"] == 4
        assert totals(simulator)["billed"] == 4

    def test_execution_timeout_ends_the_wait_and_the_next_run_goes_on(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service(**AT_REST)
        runner = bulk.runner(execution_timeout=timedelta(minutes=2))
        deferred = deferral(runner.start)
        with (
            # Right before it is over, so that the wait itself meets the end, if the first step was quick.
            time_machine.travel(time.time() + 119.5),
            pytest.raises(
                AirflowTaskTimeout,
                match=r"execution_timeout is over\. 0 of 3 images done, 0 failed, 3 in flight",
            ),
        ):
            bulk.go_on(runner, lambda: runner.resume(deferred, only_event(revived(deferred.trigger))))
        simulator.advance(3 * 3600)
        assert bulk.run(run_id="tuesday")["succeeded"] == 3
        assert accepted(simulator) == 3


NOWHERE = '{"conn_type": "dashscope", "password": "sk-nowhere", "host": "http://127.0.0.1:9"}'


class TestBadArguments:
    """What is told before anything is asked of the service."""

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (
                {"destination": "s3://{bucket}/in/out/"},
                "is inside the source s3://{bucket}/in/: the next run would repaint its results",
            ),
            ({"destination": "/tmp/out"}, "destination '/tmp/out' is not like s3://bucket/prefix/"),
            (
                {"destination": "s3://no-such-bucket-{bucket}/"},
                "The bucket does not exist: could not use bucket no-such-bucket-{bucket}",
            ),
            ({"images": "s3://{bucket}/nothing/"}, "s3://{bucket}/nothing/"),
            ({"images": None}, "images is empty"),
            ({"images": []}, "images is an empty list"),
            (
                {"images": ["a.png", ""]},
                "1 of 2 rows cannot be repainted: images[1]: image is empty. Nothing was submitted.",
            ),
            ({"style": "cubism"}, "cubism"),
            ({"style": None}, "styles is empty"),
            ({"style": -1}, "style -1 takes the style from a picture"),
            (
                {"s3_key": "{{colour}}"},
                "s3_key has {colour}, and row 0 (s3://{bucket}/in/ann.png) has no value in such a column",
            ),
            ({"s3_key": "all/x"}, "gives row 1 (s3://{bucket}/in/bob.png) the key of another row"),
            ({"max_cost": "much"}, "max_cost must be a number from 0 on, and below 10^15, not 'much'"),
            ({"max_failures": -1}, "max_failures must be a number from 0 on, and below 10^15, not -1"),
            ({"shard": "3/2"}, "shard '3/2' is not like '1/4'"),
            ({"extra_args": {"Colour": "blue"}}, "extra_args has Colour, which boto3 does not know"),
            ({"images": "s3://{bucket}/bad.csv"}, "has no column 'image'"),
            (
                {"images": "s3://{bucket}/styles.csv", "style": None},
                "1 of 1 rows cannot be repainted: ",
            ),
        ],
    )
    def test_they_fail_at_once_without_a_request(
        self, bulk: Bulk, set_connection: Callable[..., None], arguments: dict[str, Any], told: str
    ) -> None:
        set_connection("dashscope_default", NOWHERE)
        bulk.bucket.put("bad.csv", b"picture,style\na.png,2\n")
        bulk.bucket.put("styles.csv", b"image,style\na.png,cubism\n")
        name = bulk.bucket.name
        given = {
            key: value.format(bucket=name) if isinstance(value, str) else value
            for key, value in arguments.items()
        }
        with pytest.raises(AirflowFailException) as caught:
            bulk.runner(**given).start()
        assert told.replace("{bucket}", name) in str(caught.value)
        assert str(caught.value).endswith("Retries are skipped.")

    def test_what_no_template_can_change_is_told_when_the_dag_is_read(self) -> None:
        given: dict[str, Any] = {"on_unconfirmed_submit": "retry"}
        with pytest.raises(ValueError, match="on_unconfirmed_submit"):
            WanxStyleRepaintBatchOperator(task_id="bulk", destination="s3://b/", images="s3://c/", **given)

    def test_a_corrected_list_may_go_to_the_same_destination(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        good = f"s3://{bulk.bucket.name}/in/ann.png"
        with pytest.raises(AirflowFailException, match="1 of 2 rows"):
            bulk.run(images=[f"s3://{bulk.bucket.name}/in/bob.png", ""])
        assert bulk.run(images=[good], run_id="tuesday")["images"] == 1
        assert submitted(simulator) == {"ann.png": 1}

    def test_another_input_is_refused_at_a_destination_that_is_taken(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        bulk.run()
        with pytest.raises(
            AirflowFailException, match=r"is the ledger of another batch: styles was \[2\] and is \[4\]"
        ):
            bulk.run(style=4, run_id="tuesday")
        assert accepted(simulator) == 3


def test_a_template_may_give_every_argument_that_names_something() -> None:
    operator = WanxStyleRepaintBatchOperator(task_id="bulk", destination="s3://b/", images="s3://c/")
    assert {"destination", "images", "max_cost"} < set(operator.template_fields)
    assert all(hasattr(operator, name) for name in operator.template_fields)
    assert isinstance(TaskRunner(lambda: operator).build(), WanxStyleRepaintBatchOperator)
