"""The official SDK against the simulator: an independent client that knows nothing of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dashscope
import httpx
import pytest
from dashscope.aigc.image_generation import AioImageGeneration, ImageGeneration
from dashscope.aigc.image_synthesis import AioImageSynthesis, ImageSynthesis
from dashscope.aigc.video_synthesis import AioVideoSynthesis, VideoSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.audio.asr.transcription import Transcription
from dashscope.audio.qwen_asr.qwen_transcription import QwenTranscription
from dashscope.client.base_api import BaseAsyncAioApi, BaseAsyncApi
from dashscope.utils.oss_utils import OssUtils

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.simulator.conftest import REPAINT

REPAINT_TASK = {"task_group": "aigc", "task": "image-generation", "function": "generation"}
TRANSCRIPTION_TASK = {"task_group": "audio", "task": "asr", "function": "transcription"}
RECORDING = "data:audio/wav;base64,UklGRg=="


@dataclass(frozen=True, kw_only=True)
class Interface:
    """One of the SDK's classes, with its counterpart for asyncio.

    :param sync: the class.
    :param aio: the counterpart.
    :param order: what is submitted.
    :param aio_order: what is submitted there, where that is something else.
    :param find: where the address of the result is.
    :param media_type: what lies there.
    """

    sync: Any
    aio: Any
    order: dict[str, Any]
    find: Callable[[Any], str]
    media_type: str
    aio_order: dict[str, Any] | None = None


INTERFACES = {
    "ImageSynthesis": Interface(
        sync=ImageSynthesis,
        aio=AioImageSynthesis,
        order={"model": "wanx2.1-t2i-turbo", "prompt": "a cat"},
        find=lambda output: output["results"][0]["url"],
        media_type="image/png",
    ),
    "ImageGeneration": Interface(
        sync=ImageGeneration,
        aio=AioImageGeneration,
        order={
            "model": "wan2.6-image",
            "messages": [{"role": "user", "content": [{"text": "a cat"}]}],
            "size": "1K",
        },
        find=lambda output: output["choices"][0]["message"]["content"][0]["image"],
        media_type="image/png",
    ),
    "VideoSynthesis": Interface(
        sync=VideoSynthesis,
        aio=AioVideoSynthesis,
        order={"model": "wan2.2-t2v-plus", "prompt": "a cat", "size": "832*480", "duration": 5},
        find=lambda output: output["video_url"],
        media_type="video/mp4",
    ),
    "Transcription": Interface(
        sync=Transcription,
        # The SDK has no class of its own for asyncio here.
        aio=BaseAsyncAioApi,
        order={"model": "paraformer-v2", "file_urls": [RECORDING]},
        aio_order={"model": "paraformer-v2", "input": {"file_urls": [RECORDING]}, **TRANSCRIPTION_TASK},
        find=lambda output: output["results"][0]["transcription_url"],
        media_type="application/json",
    ),
}


@pytest.fixture(params=INTERFACES)
def interface(request: pytest.FixtureRequest) -> Interface:
    return INTERFACES[request.param]


@pytest.fixture
def point_sdk(monkeypatch: pytest.MonkeyPatch) -> Callable[[BackgroundSimulator], None]:
    """Makes the SDK, whose settings are global, talk to a simulator."""

    def point(simulator: BackgroundSimulator) -> None:
        monkeypatch.setattr(dashscope, "base_http_api_url", f"{simulator.url}/api/v1")
        monkeypatch.setattr(dashscope, "api_key", simulator.api_key)
        # It would look once a second.
        sleep, asleep = time.sleep, asyncio.sleep
        monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 50))
        monkeypatch.setattr(asyncio, "sleep", lambda seconds, *result: asleep(seconds / 50, *result))

    return point


@pytest.fixture
def simulator(
    dashscope_simulator_factory: Callable[..., BackgroundSimulator],
    point_sdk: Callable[[BackgroundSimulator], None],
) -> BackgroundSimulator:
    simulator = dashscope_simulator_factory(speed=100)
    point_sdk(simulator)
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


def test_each_class_submits_fetches_waits_and_lists(
    simulator: BackgroundSimulator, interface: Interface
) -> None:
    task = interface.sync.async_call(**interface.order)
    assert task.status_code == 200, task
    task_id = task.output["task_id"]
    assert interface.sync.fetch(task_id).output["task_status"] in ("PENDING", "RUNNING", "SUCCEEDED")
    ended = interface.sync.wait(task_id)
    assert (ended.status_code, ended.output["task_status"]) == (200, "SUCCEEDED")
    assert httpx.get(interface.find(ended.output)).headers["content-type"] == interface.media_type
    listing = interface.sync.list(model_name=interface.order["model"], status="SUCCEEDED")
    assert [row["task_id"] for row in listing.output["data"]] == [task_id]


def test_each_class_cancels_a_waiting_task_only(
    dashscope_simulator_factory: Callable[..., BackgroundSimulator],
    point_sdk: Callable[[BackgroundSimulator], None],
    interface: Interface,
) -> None:
    simulator = dashscope_simulator_factory(concurrency=1, submit_rate=0)
    point_sdk(simulator)
    simulator.add_fault(endpoint="job", kind="outcome", runs_for=3000)
    running, waiting = (interface.sync.async_call(**interface.order).output["task_id"] for _ in range(2))
    assert interface.sync.cancel(waiting).status_code == 200
    assert interface.sync.wait(waiting).output["task_status"] == "CANCELED"
    refused = interface.sync.cancel(running)
    assert (refused.status_code, refused.code) == (400, "UnsupportedOperation")


@pytest.mark.usefixtures("aio")
async def test_each_class_submits_fetches_waits_and_lists_in_asyncio(
    simulator: BackgroundSimulator, interface: Interface
) -> None:
    task = await interface.aio.async_call(**interface.aio_order or interface.order)
    assert task.status_code == 200, task
    task_id = task.output["task_id"]
    fetched = await interface.aio.fetch(task_id)
    assert fetched.output["task_status"] in ("PENDING", "RUNNING", "SUCCEEDED")
    ended = await interface.aio.wait(task_id)
    assert (ended.status_code, ended.output["task_status"]) == (200, "SUCCEEDED")
    async with httpx.AsyncClient() as http:
        result = await http.get(interface.find(ended.output))
    assert result.headers["content-type"] == interface.media_type
    listing = await interface.aio.list(model_name=interface.order["model"], status="SUCCEEDED")
    assert [row["task_id"] for row in listing.output["data"]] == [task_id]


@pytest.mark.usefixtures("aio")
async def test_each_class_cancels_a_waiting_task_only_in_asyncio(
    dashscope_simulator_factory: Callable[..., BackgroundSimulator],
    point_sdk: Callable[[BackgroundSimulator], None],
    interface: Interface,
) -> None:
    simulator = dashscope_simulator_factory(concurrency=1, submit_rate=0)
    point_sdk(simulator)
    simulator.add_fault(endpoint="job", kind="outcome", runs_for=3000)
    order = interface.aio_order or interface.order
    running, waiting = [(await interface.aio.async_call(**order)).output["task_id"] for _ in range(2)]
    cancelled = await interface.aio.cancel(waiting)
    assert cancelled.status_code == 200
    ended = await interface.aio.wait(waiting)
    assert ended.output["task_status"] == "CANCELED"
    refused = await interface.aio.cancel(running)
    assert (refused.status_code, refused.code) == (400, "UnsupportedOperation")


def test_video_of_a_local_picture_is_made(
    simulator: BackgroundSimulator, tmp_path: Path, portrait: bytes
) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(portrait)
    response = VideoSynthesis.call(
        model="wan2.2-i2v-plus", prompt="a smile", img_url=path.as_uri(), duration=3
    )
    assert response.output.task_status == "SUCCEEDED", response
    assert (response.usage.video_count, response.usage.video_duration) == (1, 3)
    assert httpx.get(response.output.video_url).content[4:8] == b"ftyp"


def test_one_recording_is_transcribed(simulator: BackgroundSimulator) -> None:
    response = QwenTranscription.call(model="qwen3-asr-flash-filetrans", file_url=RECORDING)
    assert response.output["task_status"] == "SUCCEEDED"
    assert response.usage.keys() == {"seconds"}
    assert httpx.get(response.output["result"]["transcription_url"]).json()["transcripts"]


def test_unknown_model_is_reported_as_the_service_does(simulator: BackgroundSimulator) -> None:
    response = ImageSynthesis.async_call(model="wanx9-t2i", prompt="a cat")
    assert (response.status_code, response.code) == (404, "InvalidParameter")
    assert response.message == "Model not exist."


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


def test_wrong_key_is_reported_as_the_service_does(simulator: BackgroundSimulator) -> None:
    response = BaseAsyncApi.async_call(model=REPAINT, input=given(simulator), api_key="wrong", **REPAINT_TASK)
    assert (response.status_code, response.code) == (401, "InvalidApiKey")
