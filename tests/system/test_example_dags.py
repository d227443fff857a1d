from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests import demo
from tests.stack import ROOT, LocalStack, TaskInstance, wait_until
from tests.stack.dashscope import API_KEY

PORTRAITS = ROOT / "tests" / "data" / "portraits"
BUCKET = "examples"
DEFAULT = "s3://wanx-portraits/portraits/astronaut.png"


@pytest.fixture
def simulator(stack: LocalStack) -> Iterator[SimulatorHandle]:
    """The local DashScope, to be looked at and told what to do."""
    handle = SimulatorHandle(url=stack.simulator.url, api_key=API_KEY)
    yield handle
    handle.close()


@pytest.fixture
def portraits(stack: LocalStack) -> list[str]:
    """Keys of the sample portraits in the bucket."""
    files = [file for file in sorted(PORTRAITS.iterdir()) if file.suffix != ".md"]
    for file in files:
        stack.s3.put(bucket=BUCKET, key=f"portraits/{file.name}", body=file.read_bytes())
    return [f"portraits/{file.name}" for file in files]


def _run(stack: LocalStack, dag_id: str, conf: dict[str, Any]) -> list[TaskInstance]:
    """Run a DAG to its good end; return its task instances."""
    api = stack.airflow.api
    run_id = api.trigger(dag_id=dag_id, conf=conf)
    run = api.wait_for_run(dag_id=dag_id, run_id=run_id, timeout=120)
    instances = api.task_instances(dag_id=dag_id, run_id=run_id)
    logs = [api.log(instance=each) for each in instances if each.state == "failed"]
    assert run.state == "success", "\n".join(logs)
    return instances


def _pictures(stack: LocalStack, instances: list[TaskInstance]) -> list[Image.Image]:
    """The pictures that a run left in the bucket: its id is part of their keys, in a form that is safe there."""
    (run_id,) = {each.dag_run_id for each in instances}
    safe = run_id.replace(":", "-").replace("+", "-")
    keys = [each.key for each in stack.s3.list(bucket=BUCKET) if safe in each.key]
    return [Image.open(io.BytesIO(stack.s3.get(bucket=BUCKET, key=key))) for key in keys]


def test_one_portrait_is_repainted_and_waited_for_without_a_worker(
    stack: LocalStack, portraits: list[str]
) -> None:
    conf = {"image": f"s3://{BUCKET}/{portraits[0]}", "style": "clay world", "bucket": BUCKET}
    instances = _run(stack, "wanx_style_repaint", conf)
    assert {each.task_id: each.state for each in instances} == dict.fromkeys(
        ("submit", "wait", "copy"), "success"
    )
    (picture,) = _pictures(stack, instances)
    assert picture.format in {"JPEG", "PNG"}
    assert min(picture.size) == 1536
    (wait,) = [each for each in instances if each.task_id == "wait"]
    assert "Pausing task as DEFERRED" in stack.airflow.api.log(instance=wait)


def test_the_form_as_it_stands_fails_within_one_try_where_its_portrait_does_not_exist(
    stack: LocalStack, simulator: SimulatorHandle
) -> None:
    before = simulator.ledger(summary=True)["totals"]
    api = stack.airflow.api
    run_id = api.trigger(dag_id="wanx_style_repaint")
    assert api.wait_for_run(dag_id="wanx_style_repaint", run_id=run_id, timeout=120).state == "failed"
    found = {each.task_id: each for each in api.task_instances(dag_id="wanx_style_repaint", run_id=run_id)}
    assert {task_id: (each.state, each.try_number) for task_id, each in found.items()} == {
        "submit": ("failed", 1),
        "wait": ("upstream_failed", 0),
        "copy": ("upstream_failed", 0),
    }
    assert f"AirflowFailException: The bucket does not exist: could not read {DEFAULT}" in api.log(
        instance=found["submit"]
    )
    assert simulator.ledger(summary=True)["totals"] == before


def test_the_three_logs_alone_tell_what_happened_when(stack: LocalStack, simulator: SimulatorHandle) -> None:
    for path in demo.portraits():
        stack.s3.put(bucket=demo.BUCKET, key=f"{demo.PREFIX}{path.name}", body=path.read_bytes())
    stack.s3.client.create_bucket(Bucket=demo.RESULTS)
    simulator.add_fault(endpoint="job", kind="outcome", runs_for=900, times=1)
    api, dag_id = stack.airflow.api, "wanx_style_repaint"
    run_id = api.trigger(dag_id=dag_id)
    wait = api.wait_for_state(dag_id=dag_id, run_id=run_id, task_id="wait", state="deferred", timeout=120)
    wait_until(
        lambda: "is running" in api.log(instance=wait), timeout=60, interval=0.5, what="it to be seen running"
    )
    simulator.advance(900)
    assert api.wait_for_run(dag_id=dag_id, run_id=run_id, timeout=120).state == "success"
    task_id = api.xcom(dag_id=dag_id, run_id=run_id, task_id="submit")
    (entry,) = api.xcom(dag_id=dag_id, run_id=run_id, task_id="copy")
    task, seconds = f"DashScope task {task_id}", r"\d+\.\d s"
    expected = {
        "submit": [
            rf"Submitting {DEFAULT} in style 3 \(fresh\), for 0\.12 CNY if it succeeds\.",
            rf"Submitted {task} of model wanx-style-repaint-v1 \(request id \S+\)\.",
        ],
        "wait": [
            rf"Waiting for {task} until \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.",
            r"Pausing task as DEFERRED",
            rf"{task} is running",
            rf"{task} is SUCCEEDED: queued {seconds}, ran {seconds}, noticed {seconds} later\.",
        ],
        "copy": [
            rf"Copied result 0 of {task} as s3://{demo.RESULTS}/{entry['key']} \({entry['bytes']} bytes, {seconds}\)\.",
        ],
    }
    for instance in api.task_instances(dag_id=dag_id, run_id=run_id):
        log = api.log(instance=instance)
        # Every line tells its time; each must come, and in this order.
        wanted = "".join(rf"^20\d\d-\S+ info {line}.*?" for line in expected[instance.task_id])
        assert re.search(wanted, log, re.MULTILINE | re.DOTALL), log


def test_a_portrait_on_the_workers_disk_is_uploaded_and_repainted(stack: LocalStack) -> None:
    conf = {"image": str(PORTRAITS / "astronaut.png"), "style": "anime", "bucket": BUCKET}
    stack.s3.client.create_bucket(Bucket=BUCKET)
    assert len(_pictures(stack, _run(stack, "wanx_style_repaint", conf))) == 1


def test_every_portrait_under_a_prefix_is_repainted_by_mapped_tasks(
    stack: LocalStack, portraits: list[str]
) -> None:
    conf = {"bucket": BUCKET, "prefix": "portraits/", "style": "anime", "result_bucket": BUCKET}
    instances = _run(stack, "wanx_repaint_folder", conf)
    for task_id in ("repaint.submit", "repaint.wait", "repaint.copy"):
        named = {each.map_index: each.rendered_map_index for each in instances if each.task_id == task_id}
        assert named == dict(enumerate(key.removeprefix("portraits/") for key in portraits))
    assert len(_pictures(stack, instances)) == len(portraits)


def test_the_generic_operator_runs_text_to_image(stack: LocalStack) -> None:
    stack.s3.client.create_bucket(Bucket=BUCKET)
    conf = {"prompt": "A lighthouse on a cliff", "n": 3, "bucket": BUCKET}
    assert len(_pictures(stack, _run(stack, "dashscope_any_model", conf))) == 3
