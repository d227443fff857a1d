"""The other models: each family of them answers in its own shape."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.unit.simulator.conftest import Service


def test_text_to_image_gives_several_results_and_metrics(service: Service) -> None:
    body = service.made(
        model="wanx-v1",
        path="aigc/text2image/image-synthesis",
        input={"prompt": "a cat"},
        parameters={"n": 3, "size": "768*512"},
    )
    output = body["output"]
    assert output["task_metrics"] == {"TOTAL": 3, "SUCCEEDED": 3, "FAILED": 0}
    assert body["usage"] == {"image_count": 3}
    contents = [httpx.get(item["url"]).content for item in output["results"]]
    assert len(set(contents)) == 3
    assert {Image.open(io.BytesIO(content)).size for content in contents} == {(768, 512)}
    assert output["results"][0]["orig_prompt"] == "a cat"
    assert "." in output["end_time"], "only style repaint leaves the milliseconds out"


WORDS = {"prompt": "a cat"}


@pytest.mark.parametrize(
    ("path", "model", "given", "find"),
    [
        ("aigc/image2image/image-synthesis", "aitryon", WORDS, lambda o: [o["image_url"]]),
        ("aigc/image2image/image-synthesis", "qwen-mt-image", WORDS, lambda o: [o["image_url"]]),
        ("aigc/image2image/out-painting", "image-out-painting", WORDS, lambda o: [o["output_image_url"]]),
        ("aigc/video-generation/video-synthesis", "wan2.2-t2v-plus", WORDS, lambda o: [o["video_url"]]),
        ("aigc/image2video/video-synthesis", "wan2.2-s2v", WORDS, lambda o: [o["results"]["video_url"]]),
        (
            "aigc/image-generation/generation", "wan2.6-image",
            {"messages": [{"role": "user", "content": [{"text": "a cat"}]}]},
            lambda o: [o["choices"][0]["message"]["content"][0]["image"]],
        ),
    ],
)  # fmt: skip
def test_every_family_answers_in_its_own_shape(
    service: Service,
    path: str,
    model: str,
    given: dict[str, Any],
    find: Callable[[dict[str, Any]], list[str]],
) -> None:
    output = service.made(path=path, model=model, input=given)["output"]
    urls = find(output)
    assert len(urls) == len(set(urls))
    for url in urls:
        assert httpx.get(url).status_code == 200


def test_transcription_echoes_its_files_and_fails_for_each_alone(
    service: Service, web: tuple[str, dict[str, Any]]
) -> None:
    address, pages = web
    pages["/talk.wav"] = (200, b"RIFF")
    urls = [f"{address}/talk.wav", f"{address}/absent.wav"]
    path = "audio/asr/transcription"
    output = service.made(path=path, model="paraformer-v2", input={"file_urls": urls})["output"]
    good, bad = output["results"]
    assert (good["file_url"], bad["file_url"]) == tuple(urls)
    assert (good["subtask_status"], bad["subtask_status"]) == ("SUCCEEDED", "FAILED")
    assert "transcription_url" not in bad
    assert httpx.get(good["transcription_url"]).json()["transcripts"]
    assert output["task_metrics"] == {"TOTAL": 2, "SUCCEEDED": 1, "FAILED": 1}
    alone = service.made(path=path, model="paraformer-v2", input={"file_urls": urls[1:]})["output"]
    assert (alone["task_status"], alone["code"]) == ("FAILED", "InvalidURL")
    single = service.made(path=path, model="qwen3-asr-flash-filetrans", input={"file_url": urls[0]})["output"]
    assert httpx.get(single["result"]["transcription_url"]).status_code == 200
