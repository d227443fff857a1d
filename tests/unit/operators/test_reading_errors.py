"""Errors as they stand in a task's log, which does not wrap: the reason first, and no code of this package around it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator, WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator
from tests.unit.support.airflow import TaskRunner
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import submit_repaints

SEEN = 100
"""Characters of a line that a log shows on a narrow screen."""

LONG = "portraits/2026/autumn/collection of the house/" + "a very long name " * 6 + ".png"
GONE = "00000000-0000-0000-0000-000000000000"

REPAINT: dict[str, Any] = {"style": "fresh", "poll_interval": 0.05}
COPY: dict[str, Any] = {"s3_key": LONG + "{dashscope_task_id}", "poll_interval": 0.05}


def _message(operator: type[Any], **arguments: Any) -> str:
    """The message of a task that fails; no line of this package stands around it."""
    runner = TaskRunner(lambda: operator(task_id="task", **arguments))
    with pytest.raises((AirflowException, AirflowTaskTimeout)) as caught:
        runner.run_try()
    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert [file for file in files if "airflow_provider_wanx" in file] == []
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda: picture(100, 100), "has 100×100 pixels; the model takes 256×256 at least"),
        (lambda: b"Dear Sir or Madam,", "is text; the model takes JPEG"),
        (None, "The object does not exist"),
    ],
)
def test_of_a_bad_picture_the_reason_comes_before_its_name(
    dashscope: BackgroundSimulator, bucket: Bucket, body: Callable[[], bytes] | None, reason: str
) -> None:
    image = bucket.put(LONG, body()) if body else f"s3://{bucket.name}/{LONG}"
    message = _message(WanxStyleRepaintOperator, image=image, **REPAINT)
    assert reason in message[:SEEN]
    assert image in message


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"image": f"/data/{LONG}"}, "The file does not exist"),
        (
            {"image": "https://h.example/a.png", "style": "no such style"},
            "style 'no such style' is not known",
        ),
        ({"image": "https://h.example/a.png", "dashscope_conn_id": "wrong_key"}, "InvalidApiKey"),
        ({"image": "https://h.example/a.png", "result_bucket": "no-bucket"}, "The bucket does not exist"),
    ],
)
def test_of_a_submission_that_fails_the_reason_comes_first(
    dashscope: BackgroundSimulator,
    bucket: Bucket,
    set_connection: Callable[..., None],
    given: dict[str, Any],
    reason: str,
) -> None:
    set_connection("wrong_key", {"conn_type": "dashscope", "host": dashscope.url, "password": "wrong"})
    assert reason in _message(WanxStyleRepaintOperator, **{**REPAINT, **given})[:SEEN]


@pytest.mark.parametrize("deferrable", [True, False])
def test_of_a_wait_that_fails_the_reason_comes_first(
    dashscope: BackgroundSimulator,
    at_rest: BackgroundSimulator,
    monkeypatch: pytest.MonkeyPatch,
    deferrable: bool,
) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.2)
    given: dict[str, Any] = {"poll_interval": 0.05, "deferrable": deferrable}
    assert "is UNKNOWN" in _message(DashScopeTaskSensor, dashscope_task_id=GONE, **given)[:SEEN]
    waiting = {"image": at_rest.portrait_url, "style": "fresh", "wait_for_completion": True, **given}
    message = _message(WanxStyleRepaintOperator, execution_timeout=timedelta(seconds=0.3), **waiting)
    assert "not ended" in message[:SEEN] or "is over" in message[:SEEN]


def test_of_a_copy_that_fails_the_reason_comes_first(dashscope: BackgroundSimulator, bucket: Bucket) -> None:
    (task_id,) = submit_repaints(dashscope, 3)
    dashscope.advance(9)
    refused = {**COPY, "s3_bucket": bucket.name, "extra_args": {"StorageClass": "NO_SUCH_CLASS"}}
    message = _message(DashScopeToS3Operator, dashscope_task_id=task_id, **refused)
    assert "storage class" in message[:SEEN]
    bucket.put(LONG + task_id, b"of somebody else")
    kept = {**COPY, "s3_bucket": bucket.name, "replace": False}
    assert "The key exists" in _message(DashScopeToS3Operator, dashscope_task_id=task_id, **kept)[:SEEN]


def test_a_batch_that_fails_shows_no_code_either(dashscope: BackgroundSimulator, bucket: Bucket) -> None:
    given = {"destination": "s3://no-bucket/out/", "images": f"s3://{bucket.name}/in/", "style": "fresh"}
    assert "The bucket does not exist" in _message(WanxStyleRepaintBatchOperator, **given)[:SEEN]
