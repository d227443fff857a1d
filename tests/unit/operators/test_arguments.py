"""Arguments as templates, forms and other tasks give them, with native rendering and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException

from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator, WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator
from tests.unit.operators.repainting import Bulk, accepted
from tests.unit.support.airflow import TaskRunner
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import submit_repaints, totals
from tests.unit.transfers.copying import copy

Service = Callable[..., BackgroundSimulator]

VALUES: dict[str, Any] = {
    "prompt": "1984",
    "n": 2,
    "none": None,
    "again": False,
    "ids": ["a", "b"],
    "day": "20260101",
    "flag": "True",
    "size": {"w": 3},
}


def rendered(operator: Any, native: bool) -> Any:
    with DAG(dag_id="d", schedule=None, render_template_as_native_obj=native) as dag:
        dag.add_task(operator)
    operator.render_template_fields({"params": VALUES, "ds_nodash": VALUES["day"]})
    return operator


@pytest.fixture(params=[True, False], ids=["native", "text"])
def native(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_text_stays_text_and_numbers_stay_numbers_whatever_the_dag_says(native: bool) -> None:
    operator = rendered(
        DashScopeSubmitTaskOperator(
            task_id="t",
            service="s",
            model="{{ params.prompt }}",
            input={
                "prompt": "{{ params.prompt }}",
                "fixed": "1984",
                "mixed": "{{ params.prompt }}{{ params.n }}",
                "padded": "{{- params.prompt -}}",
                "filtered": "{{ params.prompt | upper }}",
                "flag": "{{ params.flag }}",
                "deep": [{"day": "{{ ds_nodash }}"}],
            },
            parameters={"n": "{{ params.n }}", "size": "{{ params.size }}", "seed": "{{ params.none }}", "k": "[1]"},
        ),
        native,
    )  # fmt: skip

    assert operator.model == "1984"
    assert operator.input == {
        "prompt": "1984",
        "fixed": "1984",
        "mixed": "19842",
        "padded": "1984",
        "filtered": "1984",
        "flag": "True",
        "deep": [{"day": "20260101"}],
    }
    assert operator.parameters == {"n": 2, "size": {"w": 3}, "seed": None, "k": "[1]"}


def test_keys_buckets_and_ids_keep_their_types(native: bool) -> None:
    operator = rendered(
        DashScopeToS3Operator(
            task_id="t",
            dashscope_task_id="{{ params.ids }}",  # type: ignore[arg-type]
            s3_bucket="{{ params.prompt }}",
            s3_key="{{ ds_nodash }}",
            source="{{ params.none }}",
        ),
        native,
    )
    operator.read_arguments()

    assert (operator.s3_bucket, operator.s3_key, operator.source) == ("1984", "20260101", None)
    assert operator.dashscope_task_id == ["a", "b"]


def test_what_is_wrong_with_a_template_is_said_as_ever(native: bool) -> None:
    operator = DashScopeSubmitTaskOperator(task_id="t", service="{{ oops(", model="m", input={})

    with pytest.raises(Exception, match=r"unexpected|expected token"):
        rendered(operator, native)


@pytest.mark.parametrize("value", ["", "None", " None "])
def test_what_a_form_leaves_empty_is_nothing(value: str) -> None:
    transfer = copy("id", source=value, aws_conn_id=value, dashscope_conn_id=value).build()
    bulk = WanxStyleRepaintBatchOperator(
        task_id="t", destination="s3://b/o/", images="s3://b/i/", shard=value, s3_key=value
    )
    single = WanxStyleRepaintOperator(
        task_id="t", image="x", style=3, result_bucket=value, style_reference=value
    )
    for operator in (transfer, bulk, single):
        operator.read_arguments()

    assert (transfer.source, transfer.aws_conn_id, transfer.dashscope_conn_id) == (
        None,
        "aws_default",
        "dashscope_default",
    )
    assert (bulk.shard, bulk.s3_key) == (None, "{style_name}/{name}-{row}{extension}")
    assert (single.result_bucket, single.style_reference) == (None, None)


def test_none_in_the_dag_means_none() -> None:
    operator = copy("id", aws_conn_id=None).build()
    operator.read_arguments()

    assert operator.aws_conn_id is None


@pytest.mark.parametrize("again", ["False", "no", "0", "", "None", False])
def test_a_batch_does_not_pay_again_unless_it_is_told_to(bulk: Bulk, service: Service, again: Any) -> None:
    simulator = service()
    simulator.add_fault(
        endpoint="job", kind="outcome", outcome="FAILED", code="InvalidImage.NoHumanFace", times=2
    )
    bulk.run()
    simulator.clear_faults()
    before = accepted(simulator)

    summary = bulk.run(retry_failed=again, run_id="tuesday")

    assert summary["failed"] == 2
    assert accepted(simulator) == before


def test_every_switch_of_a_batch_is_a_template(native: bool) -> None:
    switches = ("retry_failed", "dry_run", "deferrable")
    operator = rendered(
        WanxStyleRepaintBatchOperator(
            task_id="t", destination="s3://b/o/", images="s3://b/i/", **dict.fromkeys(switches, "{{ params.again }}")
        ),
        native,
    )  # fmt: skip

    read = {name: getattr(operator, "only_look" if name == "dry_run" else name) for name in switches}
    assert read == dict.fromkeys(switches, False)


@pytest.mark.parametrize("again", ["true", "True", "yes", "1", "on", True])
def test_it_pays_again_when_it_is_told_to(bulk: Bulk, service: Service, again: Any) -> None:
    simulator = service()
    simulator.add_fault(
        endpoint="job", kind="outcome", outcome="FAILED", code="InvalidImage.NoHumanFace", times=2
    )
    bulk.run()

    assert bulk.run(retry_failed=again, run_id="tuesday")["succeeded"] == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"retry_failed": "maybe"}, "retry_failed must be true or false, not 'maybe'"),
        ({"dry_run": "7"}, "dry_run must be true or false"),
        ({"deferrable": "later"}, "deferrable must be true or false"),
        ({"destination": "None"}, "destination '' is not like s3://bucket/prefix/"),
    ],
)
def test_a_switch_or_number_that_is_none_is_refused_before_anything_is_paid(
    bulk: Bulk, service: Service, given: dict[str, Any], said: str
) -> None:
    simulator = service()

    with pytest.raises(AirflowFailException, match=said):
        bulk.run(**given)
    assert accepted(simulator) == 0


def test_numbers_as_text_are_numbers(bulk: Bulk, service: Service) -> None:
    service()

    summary = bulk.run(max_failures="2.0", max_cost="1")

    assert summary["succeeded"] == 3


@pytest.mark.parametrize(
    ("cls", "switch"),
    [
        (DashScopeSubmitTaskOperator, "wait_for_completion"),
        (DashScopeSubmitTaskOperator, "deferrable"),
        (DashScopeSubmitTaskOperator, "cancel_on_kill"),
        (DashScopeTaskSensor, "deferrable"),
        (DashScopeTaskSensor, "start_from_trigger"),
    ],
)
def test_a_switch_that_is_no_template_takes_no_text(cls: type[Any], switch: str) -> None:
    needed: dict[type[Any], dict[str, Any]] = {
        DashScopeSubmitTaskOperator: {"service": "s", "model": "m", "input": {}},
        DashScopeTaskSensor: {"dashscope_task_id": "id"},
    }

    with pytest.raises(
        (ValueError, AirflowException), match=f"{switch} must be True or False, and is no template"
    ):
        cls(task_id="t", **needed[cls], **{switch: "false"})


def test_a_bucket_may_be_written_as_a_url(dashscope: BackgroundSimulator, bucket: Bucket) -> None:
    (task_id,) = submit_repaints(dashscope, 3)
    dashscope.advance(9)

    (entry,) = copy(task_id, f" s3://{bucket.name}/ ", s3_key="out/").run_try()

    assert entry["bucket"] == bucket.name
    assert bucket.keys() == [entry["key"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"s3_bucket": "s3://results/deep"}, "A bucket has a name only"),
        ({"s3_bucket": "s3://conn@results"}, "A bucket has a name only"),
        ({"s3_bucket": ""}, "The name of the bucket is empty"),
        ({"dashscope_task_id": []}, "was skipped, or was mapped over an empty list"),
        ({"dashscope_task_id": "None"}, "has returned nothing"),
        ({"dashscope_task_id": None}, "has returned nothing"),
        ({"dashscope_task_id": [None]}, "is not a task id"),
        ({"aws_conn_id": "aws_resluts"}, "There is no AWS connection 'aws_resluts'"),
    ],
)
def test_what_a_copy_cannot_do_it_says_at_once(
    dashscope: BackgroundSimulator, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(AirflowFailException, match=said):
        copy(arguments.pop("dashscope_task_id", "an-id"), **arguments).run_try()


def test_a_forgotten_output_is_named() -> None:
    class Submitter:
        task_id, output = "submit", "x"

    with pytest.raises(
        AirflowFailException, match=r"is the task submit itself. Give its result: submit\.output"
    ):
        copy(Submitter()).run_try()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"image": ["a", "b"]},
            r"image is a list of 2, and takes one. Map the task over it: .*expand\(image=…\)",
        ),
        ({"image": {"url": "x"}}, "image must be text, not dict"),
        ({"image": "None"}, "image is empty"),
        ({"style": "crayn world"}, "Did you mean 'crayon world'"),
        ({"style": "None"}, "style is empty"),
        ({"image": "gs://bucket/a.png"}, "it needs apache-airflow-providers-google"),
        ({"result_bucket": "s3://no/such"}, "A bucket has a name only"),
    ],
)
def test_what_a_repaint_cannot_do_it_says_before_it_is_paid(
    dashscope: BackgroundSimulator, arguments: dict[str, Any], said: str
) -> None:
    given = {"task_id": "t", "image": dashscope.portrait_url, "style": 3, **arguments}
    with pytest.raises(AirflowFailException, match=said):
        TaskRunner(lambda: WanxStyleRepaintOperator(**given)).start()
    assert totals(dashscope)["accepted"] == 0


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("in/bob.png", "looks like a picture, and was taken for a folder. Give single images as a list"),
        ("in/list.jsonl/", "looks like a manifest, and was taken for a folder. Leave out the slash"),
    ],
)
def test_a_file_in_place_of_a_folder_is_told_from_one(
    bulk: Bulk, service: Service, images: str, said: str
) -> None:
    service()
    with pytest.raises(AirflowFailException, match=said):
        bulk.run(images=f"s3://{bulk.bucket.name}/{images}")


def test_a_port_where_nobody_listens_is_named(set_connection: Callable[..., None]) -> None:
    connection = {"conn_type": "dashscope", "host": "http://127.0.0.1", "port": 9, "password": "sk-1"}
    set_connection("dashscope_default", connection | {"extra": {"retry_for": 0}})

    with pytest.raises(AirflowException, match=r"127\.0\.0\.1:9 cannot be reached .* Check host and port"):
        TaskRunner(
            lambda: WanxStyleRepaintOperator(task_id="t", image="https://h.example/a.jpg", style=3)
        ).start()
