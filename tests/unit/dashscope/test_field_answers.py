"""Refusals and failures as users of the service have reported them, and what the message has to say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.answers import Answer
from airflow_provider_wanx.dashscope.error_codes import ErrorKind
from airflow_provider_wanx.dashscope.errors import ApiError, AuthenticationError, TaskNotSucceededError
from airflow_provider_wanx.dashscope.polling import check_outcome
from airflow_provider_wanx.exceptions import airflow_error

TASK = "t-1"
SUBMIT = endpoints.submit_task(
    service="aigc/image-generation/generation", model="wanx-style-repaint-v1", input={"image_url": "https://h/a.jpg"}
)  # fmt: skip


def refused(status: int, body: dict[str, Any] | str, **headers: str) -> ApiError:
    text = body if isinstance(body, str) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(ApiError) as caught:
        SUBMIT.read(Answer(status, named, text.encode(), "submit a task"))
    return caught.value


def failed(**output: Any) -> TaskNotSucceededError:
    body = {"request_id": "r-7", "output": {"task_id": TASK, "task_status": "FAILED", **output}}
    task = endpoints.get_task(TASK).read(Answer(200, {}, json.dumps(body).encode(), "read a task"))
    with pytest.raises(TaskNotSucceededError) as caught:
        check_outcome([task])
    return caught.value


REFUSALS: dict[str, tuple[int, dict[str, Any] | str, ErrorKind, str, str]] = {
    "a code of the service's trouble, and a refusal of the content": (
        400,
        {
            "code": "InternalError.Algo.DataInspectionFailed",
            "message": "Input image data may contain inappropriate content.",
        },
        ErrorKind.CONTENT,
        "use other content",
        "try again",
    ),
    "the same trouble with a 4xx": (
        400,
        {"code": "InternalError.Algo", "message": "inference error"},
        ErrorKind.INPUT,
        "has to change",
        "try again later",
    ),
    "a format that was fetched and is none": (
        400,
        {
            "code": "InvalidParameter.DataInspection",
            "message": "The media format is not supported or incorrect for the data inspection.",
        },
        ErrorKind.INPUT,
        "format",
        "public",
    ),
    "a free quota that is used up": (
        429,
        {"code": "Throttling.AllocationQuota", "message": "Free allocated quota exceeded."},
        ErrorKind.BILLING,
        "buy a quota",
        "recovers",
    ),
    "the same in the compatible form": (
        429,
        {"error": {"code": "insufficient_quota", "message": "You exceeded your free tier quota."}},
        ErrorKind.BILLING,
        "buy a quota",
        "recovers",
    ),
    "a path that takes no tasks": (
        403,
        {"code": "AccessDenied", "message": "current user api does not support asynchronous calls"},
        ErrorKind.UNSUPPORTED,
        "service path",
        "workspace",
    ),
    "a header that a gateway has dropped": (
        403,
        {"code": "AccessDenied", "message": "current user api does not support synchronous calls."},
        ErrorKind.UNSUPPORTED,
        "X-DashScope-Async",
        "workspace",
    ),
    "a proxy that wants a password": (
        407,
        "<html>Proxy Authentication Required</html>",
        ErrorKind.PERMISSION,
        "NO_PROXY",
        "API key",
    ),
    "a body that is too large for a firewall": (
        413,
        "<html>Request Entity Too Large</html>",
        ErrorKind.INPUT,
        "make it smaller",
        "has to change",
    ),
    "a firewall that takes nothing from here": (
        403,
        "<html>Access denied</html>",
        ErrorKind.PERMISSION,
        "firewall",
        "workspace",
    ),
    "a firewall that takes no POST": (
        405,
        "<html>405</html>",
        ErrorKind.PERMISSION,
        "firewall",
        "has to change",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_final_and_its_advice_is_that_of_the_case(case: str) -> None:
    status, body, kind, said, unsaid = REFUSALS[case]

    error = refused(status, body)

    assert (error.kind, error.retryable, error.certainly_refused) == (kind, False, True)
    assert not isinstance(error, AuthenticationError)
    assert said in str(error)
    assert unsaid not in str(error)
    assert "recovers" not in str(airflow_error(str(error), retryable=error.retryable))


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"error_msg": "quota is closed", "error_code": 17}, "17", "17: quota is closed"),
        ({"errors": [{"code": "E-1", "message": "style is wrong"}]}, "E-1", "E-1: style is wrong"),
        ({"errors": ["style is wrong", "more"]}, "", "style is wrong"),
        ({"errors": {"style": ["is wrong"]}}, "", "is wrong"),
        ({"detail": [{"loc": ["body", "style"], "msg": "is wrong"}]}, "", "is wrong"),
        ({"msg": "style is wrong"}, "", "style is wrong"),
        ({"errors": []}, "", "no reason given"),
        ({"errors": 7, "detail": None}, "", "no reason given"),
    ],
)
def test_a_refusal_in_other_words_is_read_too(body: dict[str, Any], code: str, said: str) -> None:
    error = refused(400, body, x_request_id="r-9")

    assert error.code == code
    assert said in str(error)
    # The one thing that the service's support asks for.
    assert "request id r-9" in str(error)


@pytest.mark.parametrize("code", ["InvalidImage.FullFace", "InvalidImage.NoHuman", "InvalidImage.Anything"])
def test_a_picture_is_at_fault_in_a_failed_task_as_in_a_refusal(code: str) -> None:
    error = failed(code=code, message="words of the service")

    assert "Use another picture" in str(error)
    assert not error.resubmission_may_help
    assert refused(400, {"code": code}).kind is ErrorKind.INPUT


@pytest.mark.parametrize(
    "code",
    [
        "InvalidURL",
        "InvalidURL.Timeout",
        "InvalidURL.ConnectionRefused",
        "InvalidURL.Anything",
        "InvalidFile.DownloadFailed",
        "BadRequest.InputDownloadFailed",
    ],
)
def test_who_could_not_be_given_a_picture_by_its_link_is_told_of_the_upload(code: str) -> None:
    error = failed(code=code, message="words of the service")

    assert "image_transfer='upload'" in str(error)
    assert "does not know the code" not in str(error)


def test_a_failure_without_a_code_says_so_and_whom_to_ask() -> None:
    error = failed(submit_time="2026-09-01 10:00:00.000", end_time="2026-09-01 10:00:03.000")

    assert "given no code" in str(error)
    assert "request r-7" in str(error)
    assert "does not know the code" not in str(error)
    assert "no code" not in str(failed(code="NewCode"))
