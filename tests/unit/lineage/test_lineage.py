"""What the real OpenLineage provider extracts from tasks that have really run."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskInstanceState

from airflow_provider_wanx.lineage.openlineage import dataset
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.lineage.extraction import Kept, extracted
from tests.unit.operators.painting import paint
from tests.unit.sensors.sensing import POKING, wait
from tests.unit.support.airflow import TaskRunner, deferral, only_event, revived
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import submit_repaints
from tests.unit.transfers.copying import copy


def repaint(image: str, **arguments: Any) -> Kept:
    def build() -> WanxStyleRepaintOperator:
        return WanxStyleRepaintOperator(
            task_id="submit", image=image, style="clay world", poll_interval=0.05, **arguments
        )

    return Kept(TaskRunner(build))


def test_a_submission_reads_a_picture_and_makes_a_task_at_a_price(
    at_rest: BackgroundSimulator, bucket: Bucket
) -> None:
    runner = repaint(bucket.put("in/a b.png", picture(300, 320)))
    task_id = runner.start()
    before = extracted(runner.operator, TaskInstanceState.RUNNING)
    assert before["inputs"] == [(f"s3://{bucket.name}", "in/a b.png")]
    assert before["outputs"] == []
    after = extracted(runner.operator)
    assert after["inputs"] == before["inputs"]
    assert after["outputs"] == [("dashscope", f"tasks/{task_id}")]
    facet = after["facet"]
    assert (facet["model"], facet["styles"], facet["styleNames"]) == (
        "wanx-style-repaint-v1",
        [31],
        ["clay world"],
    )
    assert (facet["pricePerImage"], facet["currency"], facet["dashscopeTaskIds"]) == (0.12, "CNY", [task_id])
    assert facet.get("cost") is None


def test_a_submission_that_waits_tells_what_was_paid(dashscope: BackgroundSimulator, bucket: Bucket) -> None:
    runner = repaint(bucket.put("a.png", picture(300, 320)), wait_for_completion=True, deferrable=True)
    deferred = deferral(runner.start)
    runner.resume(deferred, only_event(revived(deferred.trigger)))
    facet = extracted(runner.operator)["facet"]
    assert (facet["images"], facet["cost"]) == (1, 0.12)


def test_the_generic_operator_tells_its_model_and_no_price(at_rest: BackgroundSimulator) -> None:
    runner = Kept(paint())
    runner.start()
    facet = extracted(runner.operator)["facet"]
    assert facet["model"] == "wanx2.1-t2i-turbo"
    assert facet.get("pricePerImage") is None


@pytest.mark.parametrize("mode", [{}, POKING], ids=["deferred", "poking"])
def test_a_sensor_reads_tasks_and_tells_what_they_made_and_cost(
    dashscope: BackgroundSimulator, mode: dict[str, Any]
) -> None:
    ids = submit_repaints(dashscope, 3, 31)
    dashscope.advance(20)
    runner = Kept(wait(ids, **mode))
    runner.run_try()
    told = extracted(runner.operator)
    assert told["inputs"] == [("dashscope", f"tasks/{task_id}") for task_id in ids]
    facet = told["facet"]
    assert (facet["styles"], facet["images"], facet["cost"]) == ([3, 31], 2, 0.24)
    assert facet["model"] == "wanx-style-repaint-v1"


def test_a_copy_makes_objects_out_of_tasks(dashscope: BackgroundSimulator, bucket: Bucket) -> None:
    (task_id,) = submit_repaints(dashscope, 31)
    dashscope.advance(9)
    runner = Kept(copy(task_id, bucket.name))
    (entry,) = runner.run_try()
    told = extracted(runner.operator)
    assert ("dashscope", f"tasks/{task_id}") in told["inputs"]
    assert told["outputs"] == [(f"s3://{bucket.name}", entry["key"])]
    assert told["sizes"] == [entry["bytes"]]
    assert (told["facet"]["images"], told["facet"]["cost"], told["facet"]["styles"]) == (1, 0.12, [31])


def test_a_copy_that_fails_tells_what_it_has_copied(dashscope: BackgroundSimulator, bucket: Bucket) -> None:
    dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", times=1)
    ids = submit_repaints(dashscope, 3, 31)
    dashscope.advance(20)
    runner = Kept(copy(ids, bucket.name))
    with pytest.raises(Exception, match="is FAILED"):
        runner.run_try()
    told = extracted(runner.operator, TaskInstanceState.FAILED)
    assert told["outputs"] == [(f"s3://{bucket.name}", key) for key in bucket.keys()]  # noqa: SIM118 - no dictionary
    assert (told["facet"]["images"], told["facet"]["cost"]) == (1, 0.12)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("s3://my_conn@bucket/a?b#c.jpg", ("s3://bucket", "a?b#c.jpg")),
        ("s3://bucket", ("s3://bucket", "/")),
        ("https://user:secret@example.com/a.jpg?Signature=secret", ("https://example.com", "a.jpg")),
        ("/data/a.jpg", ("file", "/data/a.jpg")),
        ("file:///data/a.jpg", ("file", "/data/a.jpg")),
        ("gs://bucket/a.jpg", ("gs://bucket", "a.jpg")),
        ("dashscope://tasks/1-2", ("dashscope", "tasks/1-2")),
        ("data:image/png;base64,AAAA", None),
        ("oss://dashscope-instant/a.jpg", None),
        ("OSS://dashscope-instant/a.jpg", None),
        ("", None),
    ],
)
def test_an_address_becomes_a_dataset_without_anything_secret(
    address: str, place: tuple[str, str] | None
) -> None:
    found = dataset(address)
    assert (None if found is None else (found.namespace, found.name)) == place


def test_a_picture_given_as_text_is_no_dataset() -> None:
    assert dataset("A" * 129_000) is None
    assert dataset("DATA:image/png;base64,AAAA") is None
