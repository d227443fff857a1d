"""Links of running tasks: there while the task is deferred, and the same afterwards."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import XCom

from airflow_provider_wanx.get_provider_info import get_provider_info
from airflow_provider_wanx.links.dashscope import (
    COPY_LINKS,
    DashScopeConsoleLink,
    GalleryLink,
    ResultLink,
    S3ObjectLink,
    StoredLink,
)
from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator, WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator
from airflow_provider_wanx.version_compat import AIRFLOW_V_3_1_PLUS
from tests.unit.operators.painting import paint
from tests.unit.sensors.sensing import wait
from tests.unit.support.airflow import TaskRunner, deferral, only_event, revived
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import submit_repaints
from tests.unit.transfers.copying import copy

CONSOLE, GALLERY = DashScopeConsoleLink.key, GalleryLink.key
RESULT, OBJECT = ResultLink.key, S3ObjectLink.key
PAGE = "/wanx/gallery/dags/dag/runs/manual__2026-11-23T10%3A00%3A00%2B00%3A00/tasks/{}?map_index=-1"


def links(runner: TaskRunner[Any]) -> dict[str, Any]:
    """What a task has stored for its links."""
    return {key: value for key, value in runner.xcoms.items() if key.startswith("_link_")}


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (DashScopeSubmitTaskOperator, ["DashScope console", "Gallery"]),
        (WanxStyleRepaintOperator, ["DashScope console", "Gallery"]),
        (DashScopeTaskSensor, ["DashScope console", "Gallery"]),
        (DashScopeToS3Operator, ["DashScope console", "Gallery", "Result", "S3 object"]),
        (WanxStyleRepaintBatchOperator, ["DashScope console", "Gallery", "S3 object"]),
    ],
)
def test_every_task_has_its_links(operator: Any, expected: list[str]) -> None:
    there = [name for name in expected if AIRFLOW_V_3_1_PLUS or name not in ("Gallery", "Result")]
    assert [link.name for link in operator.operator_extra_links] == there


def test_airflow_is_told_of_every_class_of_links() -> None:
    told = set()
    for path in get_provider_info()["extra-links"]:
        module, _, name = path.rpartition(".")
        told.add(getattr(importlib.import_module(module), name))
    assert told == set(StoredLink.__subclasses__()) >= {type(link) for link in COPY_LINKS}


def in_gallery(address: str) -> dict[str, str]:
    """The link to a page of the gallery, where Airflow has one."""
    return {GALLERY: address} if AIRFLOW_V_3_1_PLUS else {}


def test_a_submitting_task_has_its_links_while_it_is_deferred(at_rest: BackgroundSimulator) -> None:
    runner = paint(wait_for_completion=True, deferrable=True)
    deferred: Any = deferral(runner.start)
    (task_id,) = deferred.trigger.dashscope_task_ids
    assert links(runner) == {CONSOLE: f"{at_rest.url}/#{task_id}"} | in_gallery(PAGE.format("paint"))


def test_so_has_a_sensor(queued: tuple[BackgroundSimulator, str]) -> None:
    service, task_id = queued
    runner = wait(task_id)
    deferral(runner.start)
    assert links(runner) == {CONSOLE: f"{service.url}/#{task_id}"} | in_gallery(PAGE.format("wait"))


def test_a_sensor_whose_connection_is_missing_goes_on_without_a_link_to_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_DASHSCOPE_DEFAULT", raising=False)
    runner = wait("an-id", dashscope_conn_id="nowhere")
    deferral(runner.start)
    assert links(runner) == in_gallery(PAGE.format("wait"))


@pytest.mark.needs_airflow("3.1", "the gallery")
def test_a_copy_links_to_its_one_result_in_the_gallery(
    painted: Callable[..., list[str]], bucket: Bucket
) -> None:
    (task_id,) = painted()
    runner = copy(task_id, bucket.name)
    runner.run_try()
    page = PAGE.format("copy")
    assert links(runner)[RESULT] == page.replace("?map_index=-1", "/-1/results/0")
    assert links(runner)[GALLERY] == page
    # The local S3's objects are not for everybody.
    assert OBJECT not in links(runner)


def test_a_copy_links_to_its_folder_in_aws_while_it_waits_and_to_the_object_then(
    dashscope: BackgroundSimulator, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_wanx.links.urls.is_aws", lambda client: True)
    (task_id,) = submit_repaints(dashscope, 3)
    runner = copy(task_id, bucket.name, wait_for_completion=True, deferrable=True)
    deferred = deferral(runner.start)
    console = "https://console.aws.amazon.com/s3"
    assert links(runner)[OBJECT] == (f"{console}/buckets/{bucket.name}?region=us-east-1&prefix=repainted%2F")
    dashscope.advance(9)
    (entry,) = runner.resume(deferred, only_event(revived(deferred.trigger)))
    key = quote(entry["key"], safe="")
    assert links(runner)[OBJECT] == f"{console}/object/{bucket.name}?region=us-east-1&prefix={key}"


def test_a_link_that_airflow_does_not_take_does_not_end_a_task_that_was_paid_for(
    at_rest: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runner = paint()
    context = runner.context()
    push = context["ti"].xcom_push

    def refuse(key: str, value: Any) -> None:
        if key.startswith("_link_"):
            raise RuntimeError("The API server is away.")
        push(key, value)

    monkeypatch.setattr(context["ti"], "xcom_push", refuse)
    assert runner.build().execute(context)
    assert len(at_rest.ledger()["tasks"]) == 1


def test_the_process_that_has_stored_a_link_knows_it_and_any_other_asks_airflow(
    at_rest: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: asked.append((ti_key, key)) or "stored")
    runner = paint()
    operator, key = runner.build(), object()
    assert DashScopeConsoleLink().get_link(operator, ti_key=key) == "stored"  # type: ignore[arg-type]
    assert asked == [(key, CONSOLE)]
    task_id = operator.execute(runner.context())
    assert DashScopeConsoleLink().get_link(operator, ti_key=key) == f"{at_rest.url}/#{task_id}"  # type: ignore[arg-type]
    assert len(asked) == 1


def test_a_task_that_has_stored_none_has_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow would show the word None for one."""
    monkeypatch.setattr(XCom, "get_value", lambda *, ti_key, key: None)
    assert GalleryLink().get_link(paint().build(), ti_key=object()) == ""  # type: ignore[arg-type]
