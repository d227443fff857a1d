"""The official SDK against the simulator: an independent client that knows nothing of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import dashscope
import httpx
import pytest
from dashscope.aigc.image_synthesis import AioImageSynthesis, ImageSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.client.base_api import BaseAsyncAioApi, BaseAsyncApi
from dashscope.utils.oss_utils import OssUtils

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.simulator.conftest import REPAINT

REPAINT_TASK = {"task_group": "aigc", "task": "image-generation", "function": "generation"}


@pytest.fixture
def simulator(
    dashscope_simulator_factory: Callable[..., BackgroundSimulator], monkeypatch: pytest.MonkeyPatch
) -> BackgroundSimulator:
    simulator = dashscope_simulator_factory(speed=100)
    monkeypatch.setattr(dashscope, "base_http_api_url", f"{simulator.url}/api/v1")
    monkeypatch.setattr(dashscope, "api_key", simulator.api_key)
    # It would look once a second.
    sleep, asleep = time.sleep, asyncio.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 50))
    monkeypatch.setattr(asyncio, "sleep", lambda seconds, *result: asleep(seconds / 50, *result))
    return simulator


@pytest.fixture
async def aio() -> AsyncIterator[None]:
    yield
    await close_shared_aio_session()


def given(simulator: BackgroundSimulator, **more: Any) -> dict[str, Any]:
    return {"image_url": simulator.portrait_url, "style_index": 2, **more}


def test_repaint_is_submitted_and_waited_for(simulator: BackgroundSimulator) -> None:
    response = BaseAsyncApi.call(model=REPAINT, input=given(simulator), **REPAINT_TASK)
    assert response.status_code == 200
    assert not response.code
    assert response.output["task_status"] == "SUCCEEDED"
    assert response.usage == {"image_count": 1}
    assert httpx.get(response.output["results"][0]["url"]).headers["content-type"] == "image/jpeg"


def test_text_to_image_is_submitted_waited_for_and_listed(simulator: BackgroundSimulator) -> None:
    task = ImageSynthesis.async_call(model="wanx-v1", prompt="a cat", n=2, size="512*512")
    assert task.status_code == 200
    assert ImageSynthesis.fetch(task).output.task_status in ("PENDING", "RUNNING", "SUCCEEDED")
    response = ImageSynthesis.wait(task)
    assert response.output.task_status == "SUCCEEDED"
    assert len({httpx.get(result.url).content for result in response.output.results}) == 2
    assert response.output.task_metrics["TOTAL"] == 2
    assert response.usage.image_count == 2
    listing = ImageSynthesis.list(model_name="wanx-v1", status="SUCCEEDED")
    assert [row["task_id"] for row in listing.output["data"]] == [task.output.task_id]


def test_only_a_waiting_task_is_cancelled(simulator: BackgroundSimulator) -> None:
    simulator.add_fault(endpoint="job", kind="outcome", runs_for=3000)
    running, waiting = (
        BaseAsyncApi.async_call(model=REPAINT, input=given(simulator), **REPAINT_TASK) for _ in range(2)
    )
    assert BaseAsyncApi.cancel(waiting).status_code == 200
    assert BaseAsyncApi.wait(waiting).output["task_status"] == "CANCELED"
    refused = BaseAsyncApi.cancel(running)
    assert (refused.status_code, refused.code) == (400, "UnsupportedOperation")


def test_local_file_is_uploaded_and_repainted(
    simulator: BackgroundSimulator, tmp_path: Path, portrait: bytes
) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(portrait)
    url, certificate = OssUtils.upload(model=REPAINT, file_path=str(path), api_key=simulator.api_key)
    assert url == f"oss://{certificate['upload_dir']}/face.jpg"
    response = BaseAsyncApi.call(
        model=REPAINT,
        input=given(simulator, image_url=url),
        headers={"X-DashScope-OssResourceResolve": "enable"},
        **REPAINT_TASK,
    )
    assert response.output["task_status"] == "SUCCEEDED"


def test_local_reference_picture_is_uploaded_along_with_a_prompt(
    simulator: BackgroundSimulator, tmp_path: Path, portrait: bytes
) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(portrait)
    response = ImageSynthesis.call(model="wanx-v1", prompt="a cat", ref_img=path.as_uri())
    assert response.output.task_status == "SUCCEEDED"
    assert simulator.ledger()["totals"]["fetched_inputs"] == 1


@pytest.mark.usefixtures("aio")
async def test_repaint_is_submitted_waited_for_and_listed_in_asyncio(simulator: BackgroundSimulator) -> None:
    task = await BaseAsyncAioApi.async_call(model=REPAINT, input=given(simulator), **REPAINT_TASK)
    response = await BaseAsyncAioApi.wait(task)
    assert response.output["task_status"] == "SUCCEEDED"
    listing = await BaseAsyncAioApi.list(model_name=REPAINT)
    assert [row["task_id"] for row in listing.output["data"]] == [task.output["task_id"]]


@pytest.mark.usefixtures("aio")
async def test_text_to_image_is_made_in_asyncio(simulator: BackgroundSimulator) -> None:
    response = await AioImageSynthesis.call(model="wanx-v1", prompt="a cat", n=2)
    assert response.output.task_status == "SUCCEEDED"
    assert len(response.output.results) == 2


@pytest.mark.usefixtures("aio")
async def test_waiting_task_is_cancelled_in_asyncio(simulator: BackgroundSimulator) -> None:
    simulator.add_fault(endpoint="job", kind="outcome", runs_for=3000)
    _, waiting = [
        await BaseAsyncAioApi.async_call(model=REPAINT, input=given(simulator), **REPAINT_TASK)
        for _ in range(2)
    ]
    cancelled = await BaseAsyncAioApi.cancel(waiting)
    assert cancelled.status_code == 200
    fetched = await BaseAsyncAioApi.fetch(waiting)
    assert fetched.output["task_status"] == "CANCELED"


def test_wrong_key_is_reported_as_the_service_does(simulator: BackgroundSimulator) -> None:
    response = BaseAsyncApi.async_call(model=REPAINT, input=given(simulator), api_key="wrong", **REPAINT_TASK)
    assert (response.status_code, response.code) == (401, "InvalidApiKey")
