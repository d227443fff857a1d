"""What is accepted, what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.simulator.conftest import REPAINT, REPAINT_PATH, Service, data_url

PORTRAIT = "https://pictures.example/portrait.jpg"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"image_url": PORTRAIT, "style_index": 99}, "InvalidParameter"),
        ({"image_url": PORTRAIT, "style_index": 12}, "InvalidParameter"),
        ({"image_url": PORTRAIT, "style_index": "3"}, "InvalidParameter"),
        ({"image_url": PORTRAIT, "style_index": True}, "InvalidParameter"),
        ({"image_url": PORTRAIT}, "InvalidParameter"),
        ({"style_index": 3}, "InvalidParameter"),
        ({"image_url": PORTRAIT, "style_index": -1}, "InvalidParameter"),
        ({"image_url": "not a url", "style_index": 3}, "InvalidURL"),
        ({"image_url": "https://pictures.example/肖像.jpg", "style_index": 3}, "InvalidURL"),
        ({"image_url": "oss://dashscope-instant/a/b.jpg", "style_index": 3}, "InvalidURL"),
        ({}, "BadRequest.EmptyInput"),
    ],
)
def test_input_that_does_not_fit_is_refused_with_400(
    service: Service, given: dict[str, Any], code: str
) -> None:
    response = service.post(input=given)
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert set(response.json()) == {"code", "message", "request_id"}
    assert service.simulator.ledger()["totals"]["accepted"] == 0


def test_every_documented_style_is_accepted(service: Service) -> None:
    for style in (-1, *range(10), 14, 15, *range(30, 41)):
        assert service.repaint(style=style, style_ref_url=PORTRAIT).status_code == 200, style


def test_body_beyond_the_limit_is_refused(service: Service) -> None:
    response = service.repaint(image="data:image/jpeg;base64," + "A" * (33 * 1024 * 1024))
    assert (response.status_code, response.json()["code"]) == (400, "BadRequest.TooLarge")


def test_unknown_model_and_unknown_path_are_told_apart(service: Service) -> None:
    unknown_model = service.post(model="wanx-style-repaint-v9", input={"image_url": PORTRAIT})
    assert (unknown_model.status_code, unknown_model.json()["message"]) == (404, "Model not exist.")
    unknown_path = service.post(path="aigc/nothing/here", input={"image_url": PORTRAIT})
    assert (unknown_path.status_code, unknown_path.json()["message"][:9]) == (400, "url error")


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Basic sk-key", "Bearer", ""])
def test_key_that_is_none_is_refused_with_401_on_every_endpoint(service: Service, authorization: str) -> None:
    headers = {"Authorization": authorization}
    for method, path in (
        ("POST", f"/services/{REPAINT_PATH}"),
        ("GET", "/tasks/1"),
        ("GET", "/tasks/"),
        ("POST", "/tasks/1/cancel"),
        ("GET", "/uploads?action=getPolicy&model=m"),
        ("GET", "/quotas"),
        ("GET", "/models/limits"),
    ):
        response = service.http.request(method, path, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "InvalidApiKey"), path


def test_only_the_given_keys_are_accepted_and_can_be_rotated(serve: Callable[..., Service]) -> None:
    service = serve(api_keys=("sk-old",))
    assert service.http.get("/tasks").status_code == 200
    service.simulator.accept_keys("sk-new")
    assert service.http.get("/tasks").status_code == 401
    assert service.http.get("/tasks", headers={"Authorization": "Bearer sk-new"}).status_code == 200


def test_workspace_has_to_be_one_of_the_account(serve: Callable[..., Service]) -> None:
    service = serve(workspaces=("ws_one", "ws_two"))

    def status(key: str, workspace: str | None) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {key}"} | (
            {} if workspace is None else {"X-DashScope-WorkSpace": workspace}
        )
        response = service.http.get("/tasks", headers=headers)
        return response.status_code, response.json().get("code", "")

    assert status("sk-main", None) == (200, "")
    assert status("sk-main", "ws_two") == (200, "")
    assert status("sk-main", "ws_three") == (401, "NOT AUTHORIZED")
    assert status("sk-ws-sub", None) == (403, "Workspace.AccessDenied")
    assert status("sk-ws-sub", "ws_one") == (200, "")


def test_third_submission_within_a_second_is_refused_with_429(serve: Callable[..., Service]) -> None:
    service = serve(submit_rate=None)
    assert [service.repaint().status_code for _ in range(3)] == [200, 200, 429]
    refused = service.repaint()
    assert refused.json()["code"] == "Throttling.RateQuota"
    assert refused.json()["message"] == "Requests rate limit exceeded, please try again later."
    # Each model has a limit of its own.
    other = service.post(model="wanx-v1", path="aigc/text2image/image-synthesis", input={"prompt": "a cat"})
    assert other.status_code == 200
    service.simulator.advance(1)
    assert service.repaint().status_code == 200


def test_speed_scales_the_limits(serve: Callable[..., Service]) -> None:
    service = serve(submit_rate=2, speed=1_000_000)
    assert {service.repaint().status_code for _ in range(12)} == {200}


def test_full_queue_is_refused_with_429(serve: Callable[..., Service]) -> None:
    service = serve(queue_limit=2)
    assert [service.repaint().status_code for _ in range(4)] == [200, 200, 200, 429]
    assert service.repaint().json()["code"].startswith("Throttling")
    service.simulator.advance(9)
    assert service.repaint().status_code == 200


def test_inputs_can_be_inspected_before_a_task_is_accepted(
    serve: Callable[..., Service], portrait: bytes
) -> None:
    service = serve(inspect_on_submit=True)
    assert service.repaint(image=data_url(portrait)).status_code == 200
    refused = service.repaint(image=data_url(b"words"))
    assert (refused.status_code, refused.json()["code"]) == (400, "InvalidURL")
    assert service.simulator.ledger()["totals"]["accepted"] == 1


def test_quotas_tell_the_limits_under_both_addresses(serve: Callable[..., Service]) -> None:
    service = serve(submit_rate=None, queue_limit=77)
    for path in ("/quotas", "/models/limits"):
        output = service.http.get(path, params={"model": REPAINT}).json()["output"]
        assert output["total"] == 1
        limits = output["quotas"][0]["model_limit"]
        assert (limits["request_limit"], limits["request_limit_period"]) == (2, 1)
        assert limits["async_user_concurrency_limit"] == 1
        assert limits["async_user_queue_limit"] == 77
    fuzzy = service.http.get("/quotas", params={"name": "wanx", "page_size": 3, "page_no": 2}).json()[
        "output"
    ]
    assert fuzzy["total"] > 3
    assert len(fuzzy["quotas"]) == 3
