"""What others recorded of the service, and what its newest pages say: one row for each point.

A row of :data:`ANSWERS` submits, lets the task end, and picks something out of the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.unit.simulator.conftest import REPAINT, REPAINT_PATH, Service, data_url

Web = tuple[str, dict[str, Any]]
Pick = Callable[[dict[str, Any]], Any]

IMAGE_TO_IMAGE = "aigc/image2image/image-synthesis"
IMAGE_GENERATION = "aigc/image-generation/generation"
TEXT_TO_IMAGE = "aigc/text2image/image-synthesis"
TRANSCRIPTION = "audio/asr/transcription"
WORDS = {"prompt": "a cat"}
TALK = [{"role": "user", "content": [{"text": "a cat"}]}]
UNREADABLE = data_url(b"no picture")


def _urls(answer: dict[str, Any], *keys: str) -> list[bool]:
    return [str(answer["output"].get(key)).startswith("http") for key in keys]


ANSWERS: dict[str, tuple[str, str, dict[str, Any], Pick, Any]] = {
    "shoe model answers results[]": (
        "aigc/virtualmodel/generation", "shoemodel-v1", {"input": WORDS, "parameters": {"n": 2}},
        lambda a: [item.keys() for item in a["output"]["results"]], [{"url"}, {"url"}],
    ),
    "wan2.6-image tells tokens and size": (
        IMAGE_GENERATION, "wan2.6-image", {"input": {"messages": TALK}, "parameters": {"n": 2, "size": "1K"}},
        lambda a: a["usage"],
        {"image_count": 2, "size": "1280*1280", "input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    ),
    "a failed wan2.6-image has its code beside the output": (
        IMAGE_GENERATION, "wan2.6-image", {"input": {"messages": [{"content": [{"image": UNREADABLE}]}]}},
        lambda a: (a["output"]["task_status"], a["code"], "code" in a["output"], "usage" in a),
        ("FAILED", "InvalidURL", False, False),
    ),
    "a failed repaint counts images": (
        REPAINT_PATH, REPAINT, {"input": {"image_url": UNREADABLE, "style_index": 3}},
        lambda a: (a["output"]["task_status"], a["usage"]), ("FAILED", {"image_count": 0}),
    ),
    "kf2v answers video_url": (
        "aigc/image2video/video-synthesis", "wanx2.1-kf2v-plus", {"input": WORDS},
        lambda a: (_urls(a, "video_url"), a["usage"]),
        ([True], {"video_count": 1, "video_duration": 5, "video_ratio": "1280*720"}),
    ),
    "wan2.2-s2v answers results as an object": (
        "aigc/image2video/video-synthesis", "wan2.2-s2v", {"input": WORDS},
        lambda a: a["output"]["results"].keys(), {"video_url"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("point", ANSWERS)
def test_answers_have_the_recorded_shape(service: Service, point: str) -> None:
    path, model, body, pick, expected = ANSWERS[point]
    assert pick(service.made(path=path, model=model, **body)) == expected


def test_part_that_failed_is_listed_in_its_place(service: Service) -> None:
    service.simulator.add_fault(
        endpoint="job", kind="outcome", outcome="PARTIAL", code="DataInspectionFailed", message="no"
    )
    body = {"input": WORDS, "parameters": {"n": 2}}
    answer = service.made(path="aigc/wordart/texture", model="wordart-texture", **body)
    good, bad = answer["output"]["results"]
    assert good.keys() == {"url"}
    assert bad == {"code": "DataInspectionFailed", "message": "no"}
    assert answer["usage"] == {"image_count": 1}


@pytest.mark.parametrize(
    ("path", "model", "given"),
    [
        (IMAGE_TO_IMAGE, "image-erase-completion", WORDS),
        (IMAGE_TO_IMAGE, "qwen-mt-image", WORDS),
        ("aigc/image2image/out-painting", "image-out-painting", WORDS),
        (IMAGE_GENERATION, "wan2.6-image", {"messages": TALK}),
        ("aigc/video-generation/video-synthesis", "wan2.2-t2v-plus", WORDS),
        (TRANSCRIPTION, "qwen3-asr-flash-filetrans", {"file_url": "data:audio/wav;base64,UklGRg=="}),
    ],
)  # fmt: skip
def test_models_without_metrics_end_without_them(
    service: Service, path: str, model: str, given: dict[str, Any]
) -> None:
    output = service.made(path=path, model=model, input=given)["output"]
    assert output["task_status"] == "SUCCEEDED", output
    assert "task_metrics" not in output


def test_filetrans_counts_seconds_and_paraformer_its_duration(service: Service, web: Web) -> None:
    address, pages = web
    pages["/talk.wav"] = (200, b"RIFF")
    url = f"{address}/talk.wav"
    one = service.made(path=TRANSCRIPTION, model="qwen3-asr-flash-filetrans", input={"file_url": url})
    many = service.made(path=TRANSCRIPTION, model="paraformer-v2", input={"file_urls": [url]})
    assert (one["usage"].keys(), many["usage"].keys()) == ({"seconds"}, {"duration"})


@pytest.mark.parametrize(
    ("path", "model", "per_second", "at_once"),
    [
        (REPAINT_PATH, REPAINT, 2, 1),
        (TEXT_TO_IMAGE, "wanx-v1", 2, 1),
        (TEXT_TO_IMAGE, "wanx2.1-t2i-turbo", 2, 2),
        (TEXT_TO_IMAGE, "wan2.2-t2i-flash", 2, 2),
        (TEXT_TO_IMAGE, "wan2.5-t2i-preview", 5, 5),
        (IMAGE_GENERATION, "wan2.6-t2i", 1, 5),
        (IMAGE_TO_IMAGE, "qwen-mt-image", 1, 2),
        (IMAGE_TO_IMAGE, "wan2.5-i2i-preview", 5, 5),
        ("aigc/image2image/out-painting", "image-out-painting", 2, 5),
        ("aigc/video-generation/video-synthesis", "wan2.2-t2v-plus", 2, 2),
    ],
)
def test_each_model_has_its_documented_limits(
    serve: Callable[..., Service], path: str, model: str, per_second: int, at_once: int
) -> None:
    # So slow that no second passes by itself.
    service = serve(submit_rate=None, speed=0.001)
    service.simulator.add_fault(endpoint="job", kind="outcome", runs_for=3600)
    given = {
        "messages": TALK,
        "prompt": "a cat",
        "image_url": service.simulator.portrait_url,
        "style_index": 3,
    }

    def statuses() -> list[int]:
        return [service.post(path=path, model=model, input=given).status_code for _ in range(per_second + 1)]

    assert statuses() == [200] * per_second + [429]
    for _ in range(at_once):
        service.simulator.advance(1)
        statuses()
    assert service.simulator.ledger()["totals"]["running"] == at_once


@pytest.mark.parametrize("model", [REPAINT, "wan2.6-t2i"])
def test_model_of_another_path_is_a_wrong_url(service: Service, model: str) -> None:
    response = service.post(path=TEXT_TO_IMAGE, model=model, input=WORDS)
    assert (response.status_code, response.json()["code"]) == (400, "InvalidParameter")
    assert response.json()["message"].startswith("url error, please check url")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing/here", 404),
        ("GET", f"/services/{REPAINT_PATH}", 405),
        ("DELETE", "/tasks/1111", 405),
        ("GET", "/tasks/1111/cancel", 405),
    ],
)
def test_unknown_address_and_wrong_method_are_refused_in_json(
    service: Service, method: str, path: str, status: int
) -> None:
    response = service.http.request(method, path)
    assert response.status_code == status
    assert response.json().keys() == {"code", "message", "request_id"}
    assert ("allow" in response.headers) is (status == 405)


@pytest.mark.parametrize(
    ("path", "model", "given", "find", "lifetimes"),
    [
        (REPAINT_PATH, REPAINT, {"style_index": 3}, lambda o: o["results"][0]["url"], {86_400}),
        (TEXT_TO_IMAGE, "wanx-v1", WORDS, lambda o: o["results"][0]["url"], range(86_392, 86_400)),
        (
            "aigc/video-generation/video-synthesis", "wan2.2-t2v-plus", WORDS,
            lambda o: o["video_url"], range(86_392, 86_400),
        ),
    ],
)  # fmt: skip
def test_result_address_expires_so_long_after_the_end_of_the_task(
    service: Service,
    china_time: Callable[[str], int],
    path: str,
    model: str,
    given: dict[str, Any],
    find: Callable[[dict[str, Any]], str],
    lifetimes: range | set[int],
) -> None:
    given = given if model != REPAINT else {**given, "image_url": service.simulator.portrait_url}
    output = service.made(path=path, model=model, input=given)["output"]
    expires = int(httpx.URL(find(output)).params["Expires"])
    assert expires - china_time(output["end_time"]) in lifetimes
    again = service.output(output["task_id"])
    assert find(again) == find(output)
