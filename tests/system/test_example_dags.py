from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest
from PIL import Image

from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests import demo
from tests.stack import ROOT, LocalStack, StackError, TaskInstance, wait_until
from tests.stack.dashscope import API_KEY
from tests.unit.support.pictures import data_url, picture

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
    run = api.wait_for_run(dag_id=dag_id, run_id=run_id)
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
    assert api.wait_for_run(dag_id="wanx_style_repaint", run_id=run_id).state == "failed"
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
    wait = api.wait_for_state(dag_id=dag_id, run_id=run_id, task_id="wait", state="deferred")
    wait_until(lambda: "is running" in api.log(instance=wait), interval=0.5, what="it to be seen running")
    simulator.advance(900)
    assert api.wait_for_run(dag_id=dag_id, run_id=run_id).state == "success"
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


def test_a_portrait_in_the_form_itself_is_repainted(stack: LocalStack) -> None:
    portrait = data_url((PORTRAITS / "astronaut-face.jpg").read_bytes(), "image/jpeg")
    conf = {"image": portrait, "style": "anime", "bucket": BUCKET}
    stack.s3.client.create_bucket(Bucket=BUCKET)
    assert len(_pictures(stack, _run(stack, "wanx_style_repaint", conf))) == 1


def test_every_portrait_under_a_prefix_is_repainted_by_mapped_tasks(
    stack: LocalStack, portraits: list[str]
) -> None:
    conf = {"bucket": BUCKET, "prefix": "portraits/", "style": "anime", "result_bucket": BUCKET}
    instances = _run(stack, "wanx_repaint_folder", conf)
    for index, key in enumerate(portraits):
        source = f"s3://{BUCKET}/{key}"
        (entry,) = _manifest(stack, instances[0].dag_run_id, index)
        assert (entry["source"], entry["style"], entry["model"]) == (source, 2, "wanx-style-repaint-v1")
        metadata = stack.s3.client.head_object(Bucket=BUCKET, Key=entry["key"])["Metadata"]
        assert (metadata["dashscope-source"], metadata["dashscope-style"]) == (source, "2")
        assert f"/anime/{PurePosixPath(key).stem}_" in entry["key"]
    for task_id in ("repaint.submit", "repaint.wait", "repaint.copy"):
        named = {each.map_index: each.rendered_map_index for each in instances if each.task_id == task_id}
        assert named == dict(enumerate(key.removeprefix("portraits/") for key in portraits))
    assert len(_pictures(stack, instances)) == len(portraits)


def _manifest(stack: LocalStack, run_id: str, index: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.airflow.api.xcom(
        dag_id="wanx_repaint_folder", run_id=run_id, task_id="repaint.copy", map_index=index
    )
    return found


def test_of_a_folder_a_picture_that_fails_is_named_in_grid_log_and_message(
    stack: LocalStack, portraits: list[str], simulator: SimulatorHandle
) -> None:
    body = stack.s3.get(bucket=BUCKET, key=portraits[0])
    for key in ("mixed/a.png", "mixed/ob<b>.png"):
        stack.s3.put(bucket=BUCKET, key=key, body=body)
    stack.s3.put(bucket=BUCKET, key="mixed/tiny.png", body=picture(100, 100))
    simulator.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL", style=7, times=1)
    conf = {"bucket": BUCKET, "prefix": "mixed/", "style": "colorful cartoon", "result_bucket": BUCKET}
    api, dag_id = stack.airflow.api, "wanx_repaint_folder"
    run_id = api.trigger(dag_id=dag_id, conf=conf)
    assert api.wait_for_run(dag_id=dag_id, run_id=run_id).state == "failed"
    failed = [each for each in api.task_instances(dag_id=dag_id, run_id=run_id) if each.state == "failed"]
    assert sorted(each.task_id for each in failed) == ["repaint.submit", "repaint.wait"]
    for instance in failed:
        name = instance.rendered_map_index
        assert name in ("a.png", "ob<b>.png", "tiny.png")
        log = api.log(instance=instance)
        assert re.search(rf"^AirflowFailException: .*s3://{BUCKET}/mixed/{name}", log, re.MULTILINE), log
    (submit,) = [each for each in failed if each.task_id == "repaint.submit"]
    assert submit.rendered_map_index == "tiny.png"
    # The third went its way.
    entries = [entry for index in (0, 1) for entry in _copied(stack, run_id, index)]
    assert len(entries) == 1


def _copied(stack: LocalStack, run_id: str, index: int) -> list[dict[str, Any]]:
    try:
        return _manifest(stack, run_id, index)
    except StackError:
        return []


@pytest.mark.parametrize(
    ("dag_id", "conf", "task_id", "message"),
    [
        (
            "wanx_style_repaint",
            {"image": f"s3://{BUCKET}/portraits/astronaut.png", "bucket": "no-such-results"},
            "submit",
            (
                "The bucket does not exist: could not use bucket no-such-results (NoSuchBucket, HTTP 404). "
                "Create it, or correct its name. Retries are skipped. Picture: s3://examples/portraits/astronaut.png"
            ),
        ),
        (
            "wanx_repaint_folder",
            {"bucket": BUCKET, "result_bucket": "no-such-results"},
            "pictures",
            (
                "There is no bucket no-such-results, or the connection aws_default may not use it. "
                "Create it, or correct its name."
            ),
        ),
        (
            "wanx_repaint_folder",
            {"bucket": BUCKET, "prefix": "nothing/", "result_bucket": BUCKET},
            "pictures",
            (
                f"No picture under s3://{BUCKET}/nothing/. Put some there (.jpg, .jpeg, .png, .bmp, .webp), "
                "or correct bucket and prefix."
            ),
        ),
    ],
    ids=["result bucket of one", "result bucket of a folder", "empty folder"],
)
@pytest.mark.usefixtures("portraits")
def test_what_cannot_end_well_ends_the_run_with_one_sentence_before_anything_is_submitted(
    stack: LocalStack,
    simulator: SimulatorHandle,
    dag_id: str,
    conf: dict[str, Any],
    task_id: str,
    message: str,
) -> None:
    before = simulator.ledger(summary=True)["totals"]
    api = stack.airflow.api
    run_id = api.trigger(dag_id=dag_id, conf=conf)
    assert api.wait_for_run(dag_id=dag_id, run_id=run_id).state == "failed"
    (failed,) = [each for each in api.task_instances(dag_id=dag_id, run_id=run_id) if each.state == "failed"]
    assert (failed.task_id, failed.try_number) == (task_id, 1)
    assert f"AirflowFailException: {message}\n" in f"{api.log(instance=failed)}\n"
    assert simulator.ledger(summary=True)["totals"] == before


@pytest.mark.parametrize(
    ("dag_id", "conf"),
    [
        ("wanx_style_repaint", {"style": "no such style"}),
        ("wanx_style_repaint", {"bucket": "s3://results"}),
        ("wanx_style_repaint", {"image": ""}),
        ("wanx_style_repaint", {"image": "/etc/hostname"}),
        ("wanx_style_repaint", {"image": "file:///etc/hostname"}),
        ("wanx_style_repaint", {"image": "s3://other@bucket/a.png"}),
        ("wanx_style_repaint", {"key": "/a"}),
        ("wanx_bulk", {"source": "/"}),
        ("wanx_bulk", {"source": "s3://other@bucket/"}),
        ("wanx_bulk", {"destination": "s3://other@bucket/out/"}),
    ],
)
def test_the_form_refuses_a_wrong_value_at_once(stack: LocalStack, dag_id: str, conf: dict[str, Any]) -> None:
    with pytest.raises(StackError, match=r"HTTP 400.*Invalid input for param"):
        stack.airflow.api.trigger(dag_id=dag_id, conf=conf)


def test_the_connection_test_of_airflow_tells_limits_and_refuses_a_wrong_key(stack: LocalStack) -> None:
    api, connection = stack.airflow.api, stack.simulator.connection
    api.set_connection(conn_id="tried", connection=connection)
    # As the UI sends it: the key is one that it has never seen.
    unchanged = {"description": "", "extra": "{}", "login": "", "schema": "", "password": "***"}
    good = {"connection_id": "tried", **connection, **unchanged}
    answer = api._call("POST", "/api/v2/connections/test", json=good)
    assert answer["status"] is True
    assert "wanx-style-repaint-v1: 2 submission(s) in 1 s, 1 task(s) at a time" in answer["message"]
    wrong = {**good, "password": "sk-another"}
    answer = api._call("POST", "/api/v2/connections/test", json=wrong)
    assert answer["status"] is False
    assert "InvalidApiKey" in answer["message"][:100]
    assert "sk-another" not in answer["message"]


def test_the_generic_operator_runs_text_to_image(stack: LocalStack) -> None:
    stack.s3.client.create_bucket(Bucket=BUCKET)
    conf = {"prompt": "A lighthouse on a cliff", "n": 3, "bucket": BUCKET}
    assert len(_pictures(stack, _run(stack, "dashscope_any_model", conf))) == 3


def test_portraits_are_repainted_as_they_arrive_and_only_what_a_person_approves_is_published(
    stack: LocalStack,
) -> None:
    for path in demo.portraits():
        stack.s3.put(bucket=demo.BUCKET, key=f"{demo.PREFIX}{path.name}", body=path.read_bytes())
    stack.s3.client.create_bucket(Bucket=demo.RESULTS)
    api = stack.airflow.api
    for dag_id in ("wanx_new_portraits", "wanx_review"):
        api.set_paused(dag_id=dag_id, paused=False)
    keys = [f"{demo.PREFIX}{name}" for name in ("astronaut.png", "astronaut-mirrored.webp")]
    stack.s3.put(bucket=demo.BUCKET, key="tiny.png", body=picture(100, 100))
    # Who names one twice does not pay twice.
    api.create_asset_event(uri=f"s3://{demo.BUCKET}/portraits", extra={"keys": [*keys, keys[0], "tiny.png"]})
    (repainting,) = wait_until(
        lambda: api.runs(dag_id="wanx_new_portraits"),
        interval=0.5,
        what="new portraits to start a run",
    )
    ended = api.wait_for_run(dag_id=repainting.dag_id, run_id=repainting.dag_run_id)
    # One portrait cannot be repainted: the run says so, and the others go on.
    assert ended.state == "failed"
    failed = [
        each
        for each in api.task_instances(dag_id=ended.dag_id, run_id=ended.dag_run_id)
        if each.state == "failed"
    ]
    assert sorted(each.task_id for each in failed) == ["failures", "repaint.submit"]

    asked = wait_until(lambda: _asked(stack, 2), interval=0.5, what="each result to be asked about")
    for instance in asked:
        for address in re.findall(r"!\[[^]]*]\(([^)]+)\)", api.question(instance=instance)["body"]):
            shown = api.get(address)
            assert Image.open(io.BytesIO(shown)).format in {"PNG", "JPEG", "WEBP"}, address
    approved, rejected = asked
    wait_until(
        lambda: all(map(stack.airflow.worker_has_left, asked)), what="the workers that have asked to end"
    )
    api.answer(instance=approved, option="Approve")
    api.answer(instance=rejected, option="Reject")
    for run in api.runs(dag_id="wanx_review"):
        assert api.wait_for_run(dag_id=run.dag_id, run_id=run.dag_run_id).state == "success"
    published = [each.key for each in stack.s3.list(bucket=demo.RESULTS) if each.key.startswith("published/")]
    assert published == [f"published/{approved.rendered_map_index}"]
    (skipped,) = [
        each
        for run in api.runs(dag_id="wanx_review")
        for each in api.task_instances(dag_id=run.dag_id, run_id=run.dag_run_id, task_id="review.publish")
        if each.state == "skipped"
    ]
    assert skipped.map_index == rejected.map_index


def _asked(stack: LocalStack, number: int) -> list[TaskInstance] | None:
    """The task instances that wait for a person, once there are so many."""
    api = stack.airflow.api
    found = [
        each
        for run in api.runs(dag_id="wanx_review")
        for each in api.task_instances(dag_id="wanx_review", run_id=run.dag_run_id, task_id="review.approve")
        if each.state == "awaiting_input"
    ]
    return found if len(found) == number else None
