"""From the source to the result: what a copy tells about the picture that a result was made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator
from tests.unit.support.airflow import DagRun, TaskRunner
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket
from tests.unit.transfers.copying import copy

MODEL = "wanx-style-repaint-v1"


def repaint(run: DagRun, image: str, **arguments: Any) -> TaskRunner[WanxStyleRepaintOperator]:
    def build() -> WanxStyleRepaintOperator:
        return WanxStyleRepaintOperator(
            **{
                "task_id": "submit",
                "image": image,
                "style": "crayon world",
                "poll_interval": 0.05,
                **arguments,
            }
        )

    return TaskRunner(build, run=run)


def copy_after_submit(
    run: DagRun, task_id: Any, bucket: str, **arguments: Any
) -> TaskRunner[DashScopeToS3Operator]:
    """A copy in a DAG in which somebody has submitted before it."""
    runner = copy(task_id, bucket, **arguments)
    alone = runner.build

    def build() -> DashScopeToS3Operator:
        with DAG("portraits"):
            submit = WanxStyleRepaintOperator(task_id="submit", image="", style="fresh")
            submit >> (built := alone())
        return built

    runner.build, runner.run = build, run
    return runner


@pytest.fixture
def run() -> DagRun:
    return DagRun()


@pytest.fixture
def ann(bucket: Bucket) -> str:
    """URL of a portrait with a name that is hard on everybody."""
    return bucket.put("people/Ann 李?\u202e#1.png", picture())


def submitted(dashscope: BackgroundSimulator, run: DagRun, image: str, **arguments: Any) -> str:
    task_id: str = repaint(run, image, **arguments).run_try()
    dashscope.advance(9)
    return task_id


def test_manifest_and_object_name_the_picture_its_style_and_the_model(
    dashscope: BackgroundSimulator, run: DagRun, ann: str, bucket: Bucket
) -> None:
    task_id = submitted(dashscope, run, ann)
    (entry,) = copy_after_submit(run, task_id, bucket.name).run_try()
    assert (entry["source"], entry["style"], entry["model"]) == (ann, 38, MODEL)
    metadata = bucket.head(entry["key"])["Metadata"]
    assert metadata["dashscope-source"] == f"s3://{bucket.name}/people/Ann%20%E6%9D%8E%3F%E2%80%AE%231.png"
    assert (metadata["dashscope-style"], metadata["dashscope-task-id"]) == ("38", task_id)


def test_it_is_the_same_where_the_submitting_task_waits_itself(
    dashscope: BackgroundSimulator, run: DagRun, ann: str, bucket: Bucket
) -> None:
    for deferrable in (True, False):
        runner = repaint(run, ann, wait_for_completion=True, deferrable=deferrable)
        (entry,) = copy_after_submit(run, runner.run_try(), bucket.name).run_try()
        assert entry["source"] == ann


def test_the_output_of_a_submitting_task_stays_the_plain_id(
    dashscope: BackgroundSimulator, run: DagRun, ann: str
) -> None:
    runner = repaint(run, ann)
    task_id = runner.run_try()
    assert isinstance(task_id, str)
    assert {key: value for key, value in runner.xcoms.items() if not key.startswith("_link_")} == {
        "dashscope_task_id": task_id,
        "dashscope_submission": {"dashscope_task_id": task_id, "source": ann, "style": 38, "model": MODEL},
        "return_value": task_id,
    }


def test_neither_a_signature_nor_the_bytes_of_a_picture_are_published(
    dashscope: BackgroundSimulator, run: DagRun
) -> None:
    image = dashscope.portrait_url
    (runner := repaint(run, f"{image}?token=secret")).run_try()
    assert runner.xcoms["dashscope_submission"]["source"] == image
    assert "secret" not in str(run.xcoms)


def test_a_key_may_take_the_sources_name(
    dashscope: BackgroundSimulator, run: DagRun, ann: str, bucket: Bucket
) -> None:
    task_id = submitted(dashscope, run, ann)
    key = "out/{source_name}_{style_name}{extension}"
    (entry,) = copy_after_submit(run, task_id, bucket.name, s3_key=key).run_try()
    assert entry["key"] == "out/Ann-李-1_crayon-world.jpg"


@pytest.mark.parametrize("waits", [True, False])
def test_a_key_that_takes_the_name_of_an_unknown_source_is_refused_before_anything_is_written(
    painted: Callable[..., list[str]], bucket: Bucket, waits: bool
) -> None:
    (task_id,) = painted()
    message = rf"^s3_key has {{source_name}}, and nothing tells what DashScope task {task_id} was made from\."
    with pytest.raises(AirflowFailException, match=message):
        copy(task_id, bucket.name, s3_key="{source_name}", wait_for_completion=waits).run_try()
    assert bucket.keys() == []


def test_two_pictures_of_one_name_are_not_written_over_each_other(
    dashscope: BackgroundSimulator, run: DagRun, ann: str, bucket: Bucket
) -> None:
    ids = [submitted(dashscope, DagRun(), ann) for _ in range(2)]
    with pytest.raises(AirflowFailException, match=r"the same key: .* Put \{dashscope_task_id\}"):
        copy(ids, bucket.name, s3_key="{source_name}", source=ann).run_try()
    assert bucket.keys() == [ann.removeprefix(f"s3://{bucket.name}/")]


def test_without_anybody_upstream_who_knows_it_the_source_is_null(
    painted: Callable[..., list[str]], bucket: Bucket
) -> None:
    (entry,) = copy(painted(31)[0], bucket.name).run_try()
    assert (entry["source"], entry["style"], entry["model"]) == (None, 31, None)
    assert bucket.head(entry["key"])["Metadata"].keys() == {
        "dashscope-task-id",
        "dashscope-request-id",
        "dashscope-style",
        "airflow-task",
        "airflow-task-instance",
    }


def test_what_the_user_says_goes_before_what_was_published(
    dashscope: BackgroundSimulator, run: DagRun, ann: str, bucket: Bucket
) -> None:
    task_id = submitted(dashscope, run, ann)
    given = "https://me:secret@archive.example/{{ run_id }}.png?secret"
    (entry,) = copy_after_submit(run, task_id, bucket.name, source=given).run_try()
    assert (entry["source"], entry["model"]) == (f"https://archive.example/{run.run_id}.png", MODEL)


def test_an_xcom_backend_that_breaks_does_not_keep_a_result_from_being_copied(
    painted: Callable[..., list[str]],
    run: DagRun,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("The backend is down.")

    runner = copy_after_submit(run, painted()[0], bucket.name)
    monkeypatch.setattr("tests.unit.support.airflow.TaskInstance.xcom_pull", broken)
    (entry,) = runner.run_try()
    assert entry["source"] is None
    assert "It cannot be found out what the tasks were made from: OSError" in capsys.readouterr().out


def test_the_log_and_a_failure_name_the_picture(
    dashscope: BackgroundSimulator, run: DagRun, ann: str, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    task_id = submitted(dashscope, run, ann)
    name = ann.replace("\u202e", "�")
    copy_after_submit(run, task_id, bucket.name).run_try()
    assert f"DashScope task {task_id} was made from {name}." in capsys.readouterr().out
    with pytest.raises(AirflowFailException) as caught:
        copy_after_submit(run, task_id, "no-such-bucket").run_try()
    assert str(caught.value).endswith(f" Picture: {name}")


def test_of_a_list_the_failure_names_the_pictures_of_those_that_failed(
    dashscope: BackgroundSimulator, bucket: Bucket
) -> None:
    dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL", style=1)
    run = DagRun()
    ids = []
    for index, style in enumerate((0, 1, 3)):
        runner = repaint(run, bucket.put(f"{style}.png", picture(300 + style, 300)), style=style)
        runner.map_index = index
        ids.append(runner.run_try())
        dashscope.advance(9)
    with pytest.raises(AirflowFailException) as caught:
        copy_after_submit(run, ids, bucket.name).run_try()
    assert str(caught.value).endswith(f" Picture: s3://{bucket.name}/1.png")
