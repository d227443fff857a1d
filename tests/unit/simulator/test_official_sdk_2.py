"""The client of the official SDK 2.0 against the simulator; collected where that SDK is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import dashscope
import httpx
import pytest
import requests
from dashscope.client.base_api import BaseAsyncApi

from airflow_provider_wanx.dashscope.errors import LostAnswerError
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.jobs.submitting import lost_submissions
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.stack import ROOT
from tests.unit.operators.painting import PAINT, paint

ORDER = {"model": PAINT["model"], "prompt": "a cat"}


def client(simulator: BackgroundSimulator) -> Any:
    return dashscope.Client(api_key=simulator.api_key, base_url=f"{simulator.url}/api/v1")


@pytest.fixture
def service(connect_dashscope: Callable[..., BackgroundSimulator]) -> Callable[..., BackgroundSimulator]:
    """A local DashScope, which the connection of this package leads to as well."""
    return lambda **settings: connect_dashscope(
        **{"speed": 100, "submit_rate": 0, "task_rate": 0, **settings}
    )


def test_it_submits_fetches_and_waits(service: Callable[..., BackgroundSimulator]) -> None:
    with client(service()) as sdk:
        job = sdk.images.jobs.create(**ORDER)
        assert sdk.images.jobs.fetch(job.task_id).status in ("PENDING", "RUNNING", "SUCCEEDED")
        ended = sdk.images.jobs.wait(job.task_id)
    assert ended.status == "SUCCEEDED"
    (url,) = ended.image_urls
    assert httpx.get(url, trust_env=False).headers["content-type"] == "image/png"


@pytest.mark.parametrize(("key", "seen"), [("data", 0), ("tasks", 1)])
def test_its_list_reads_tasks_and_nothing_of_the_recorded_answer(
    service: Callable[..., BackgroundSimulator], key: str, seen: int
) -> None:
    with client(service(list_key=key)) as sdk:
        sdk.images.jobs.create(**ORDER)
        listed = sdk.images.jobs.list()
    assert (listed.total, len(listed.tasks)) == (1, seen)


def _with_1(simulator: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{simulator.url}/api/v1")
    monkeypatch.setattr(dashscope, "api_key", simulator.api_key)
    with pytest.raises(requests.ConnectionError):
        BaseAsyncApi.async_call(
            model=ORDER["model"],
            input={"prompt": ORDER["prompt"]},
            task_group="aigc",
            task="text2image",
            function="image-synthesis",
        )


def _with_2(simulator: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with client(simulator) as sdk, pytest.raises(Exception, match="connection error"):
        sdk.images.jobs.create(**ORDER)


def _with_the_hook(simulator: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with DashScopeHook() as hook, pytest.raises(LostAnswerError):
        hook.submit_task(**PAINT, input={"prompt": ORDER["prompt"]})


def _with_this_package(simulator: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_submissions, "PAUSES_BEFORE_LOOKS_SECONDS", (0.0, 0.0, 0.0))
    assert paint().run_try()


@pytest.mark.parametrize(
    ("named", "submit"),
    [
        ("official SDK, classes of 1.x (1.26.7, 1.27.8, 2.0.2)", _with_1),
        ("official SDK, `Client` of 2.0 (2.0.2)", _with_2),
        ("this package, `submit_task`", _with_the_hook),
        ("this package, in Airflow", _with_this_package),
    ],
)
def test_how_often_a_picture_is_paid_for_if_no_answer_to_a_submission_arrives(
    service: Callable[..., BackgroundSimulator],
    monkeypatch: pytest.MonkeyPatch,
    named: str,
    submit: Callable[..., None],
) -> None:
    simulator = service()
    simulator.add_fault(endpoint="submit", kind="lose_answer")
    submit(simulator, monkeypatch)
    accepted = simulator.ledger(summary=True)["totals"]["accepted"]
    page = (ROOT / "docs" / "library.md").read_text()
    told = re.search(rf"^\| {re.escape(named)} \| (\d) \|", page, re.MULTILINE)
    assert told is not None
    assert accepted == int(told[1])
