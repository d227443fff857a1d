from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.endpoints import Endpoint
from airflow_provider_wanx.dashscope.errors import ApiError, InvalidInputError, InvalidResponseError
from airflow_provider_wanx.dashscope.models import TaskStatus
from tests.unit.dashscope.support.answers import TASK_ID, answer, task_answer
from tests.unit.dashscope.support.shells import REPAINT

_NOON = datetime(2026, 11, 23, 12, 0, 5, tzinfo=timezone(timedelta(hours=8)))


def _submit(**changes: Any) -> endpoints.Call[Any]:
    return endpoints.submit_task(**{**REPAINT, **changes})


def test_a_submission_is_built_as_documented() -> None:
    call = _submit()

    assert (call.endpoint, call.method, call.url) == (
        Endpoint.SUBMIT,
        "POST",
        "/services/aigc/image-generation/generation",
    )
    assert call.headers == {"X-DashScope-Async": "enable"}
    assert call.json == {"model": "wanx-style-repaint-v1", "input": REPAINT["input"]}
    assert call.signed
    assert not call.repeatable


def test_parameters_are_sent_where_there_are_some() -> None:
    assert _submit(parameters={"n": 1}).json == {
        "model": "wanx-style-repaint-v1",
        "input": REPAINT["input"],
        "parameters": {"n": 1},
    }
    assert "parameters" not in (_submit(parameters={}).json or {})


@pytest.mark.parametrize(
    ("content", "resolves"),
    [
        ({"image_url": "oss://dashscope-instant/a.png"}, True),
        ({"images": [{"deep": "oss://b"}]}, True),
        ({"image_url": "https://x/oss://b"}, False),
        ({"prompt": "draw oss://b"}, False),
    ],
)
def test_uploaded_files_are_announced(content: dict[str, Any], resolves: bool) -> None:
    assert ("X-DashScope-OssResourceResolve" in _submit(input=content).headers) is resolves
    assert ("X-DashScope-OssResourceResolve" in _submit(parameters=content).headers) is resolves


@pytest.mark.parametrize("service", ["/services/aigc/a/b/", " aigc/a/b ", "services/aigc/a/b"])
def test_a_service_path_may_be_written_with_its_surroundings(service: str) -> None:
    assert _submit(service=service).url == "/services/aigc/a/b"


@pytest.mark.parametrize(
    "service", ["", "/", "aigc/../tasks", "aigc//x", "aigc/a?b=c", "https://h.example/aigc", "a b"]
)
def test_a_service_path_that_is_none_is_refused(service: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a path like"):
        _submit(service=service)


@pytest.mark.parametrize(
    ("change", "named"), [({"model": " "}, "model is empty"), ({"input": {}}, "input is empty")]
)
def test_a_submission_that_lacks_something_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        _submit(**change)


def _endless() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    return loop


@pytest.mark.parametrize(
    "content",
    [{"a": {1}}, {"a": float("nan")}, {"a": "\ud800"}, {"a": b"x"}, {("a",): 1}, _endless()],
    ids=repr,
)
def test_what_json_cannot_hold_is_refused_before_anything_is_sent(content: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        _submit(input=content)
    with pytest.raises(InvalidInputError, match="cannot be written as JSON"):
        _submit(parameters=content)


@pytest.mark.parametrize(
    "body",
    [
        {"output": {"task_status": "PENDING", "task_id": TASK_ID}, "request_id": "r-1"},
        {"request_id": "r-1", "output": {"task_id": TASK_ID, "task_status": "PENDING"}},
        {"output": {"task_id": TASK_ID, "task_status": "PENDING", "request_id": "r-1"}},
    ],
)
def test_a_submissions_answer_is_read_whatever_the_order_of_its_keys(body: dict[str, Any]) -> None:
    submission = _submit().read(answer(body))

    assert (submission.task_id, submission.status, submission.request_id) == (
        TASK_ID,
        TaskStatus.PENDING,
        "r-1",
    )


@pytest.mark.parametrize("output", [{}, {"task_id": ""}, {"task_id": None}, {"task_id": 5}])
def test_a_submission_without_an_id_is_an_error(output: dict[str, Any]) -> None:
    with pytest.raises(InvalidResponseError, match="task_id"):
        _submit().read(answer({"output": output}))


def test_a_task_is_asked_for_by_its_id() -> None:
    call = endpoints.get_task(TASK_ID)

    assert (call.endpoint, call.method, call.url) == (Endpoint.GET_TASK, "GET", f"/tasks/{TASK_ID}")
    assert call.repeatable


@pytest.mark.parametrize(
    "wrong", ["", " ", "None ", "a b", "../tasks", "a/b", ".hidden", "a" * 129, "ä", "a\n", None, 5, ["a"]]
)
def test_what_cannot_be_a_task_id_is_never_sent(wrong: Any) -> None:
    for build in (endpoints.get_task, endpoints.cancel_task):
        with pytest.raises(InvalidInputError, match="is not a task id"):
            build(wrong)


def test_a_url_given_as_a_task_id_is_not_quoted_with_its_signature() -> None:
    with pytest.raises(InvalidInputError) as caught:
        endpoints.check_task_id("https://r.example/a.jpg?Signature=hidden")

    assert "hidden" not in str(caught.value)


def test_a_tasks_answer_is_read_whole() -> None:
    task = endpoints.get_task(TASK_ID).read(
        task_answer(
            {
                "submit_time": "2024-03-02 22:22:13.026",
                "end_time": "2024-03-02 22:22:21",
                "error_code": 0,
                "error_message": "Success",
                "style_index": 3,
                "results": [{"url": "https://r.example/a.jpg"}, {"code": "C", "message": "m"}],
            },
            usage={"image_count": 1},
        )
    )

    assert (task.task_id, task.status, task.request_id, task.style_index) == (
        TASK_ID,
        TaskStatus.SUCCEEDED,
        "r-1",
        3,
    )
    assert [file.url for file in task.results] == ["https://r.example/a.jpg"]
    assert [failure.path for failure in task.failures] == ["results[1]"]
    assert task.usage is not None
    assert task.usage.image_count == 1
    assert task.submit_time == datetime(2024, 3, 2, 14, 22, 13, 26_000, tzinfo=UTC)
    assert task.end_time == datetime(2024, 3, 2, 14, 22, 21, tzinfo=UTC)
    assert task.output["error_message"] == "Success"


def test_the_reason_of_a_failure_is_read_from_the_output() -> None:
    task = endpoints.get_task(TASK_ID).read(
        task_answer({"task_status": "FAILED", "code": "InvalidURL", "message": "The request URL is invalid"})
    )

    assert task.describe() == f"DashScope task {TASK_ID} is FAILED (InvalidURL: The request URL is invalid)."


def test_metrics_that_claim_success_do_not_end_a_task() -> None:
    task = endpoints.get_task(TASK_ID).read(
        task_answer({"task_status": "RUNNING", "task_metrics": {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}})
    )

    assert not task.status.is_terminal


def test_an_unknown_task_is_no_error() -> None:
    task = endpoints.get_task(TASK_ID).read(task_answer({"task_status": "UNKNOWN"}))

    assert task.status is TaskStatus.UNKNOWN


@pytest.mark.parametrize("other", ["another-task", TASK_ID.upper(), TASK_ID + " "])
def test_an_answer_about_another_task_is_an_error_that_names_both(other: str) -> None:
    with pytest.raises(InvalidResponseError) as caught:
        endpoints.get_task(TASK_ID).read(task_answer({"task_id": other}))

    assert TASK_ID in str(caught.value)
    assert other.strip() in str(caught.value)


def test_a_cancellation_is_posted_and_may_be_repeated() -> None:
    call = endpoints.cancel_task(TASK_ID)

    assert (call.endpoint, call.method, call.url) == (Endpoint.CANCEL, "POST", f"/tasks/{TASK_ID}/cancel")
    assert call.json is None
    assert call.repeatable
    assert call.read(answer({"request_id": "r-1"})) is True


def test_a_task_that_cannot_be_canceled_is_no_error() -> None:
    body = {
        "request_id": "r-1",
        "code": "UnsupportedOperation",
        "message": "Failed to cancel the task, please confirm if the task is in PENDING status.",
    }

    assert endpoints.cancel_task(TASK_ID).read(answer(body, status=400)) is False


@pytest.mark.parametrize("status", [401, 429, 500])
def test_other_refusals_of_a_cancellation_are_errors(status: int) -> None:
    with pytest.raises(ApiError):
        endpoints.cancel_task(TASK_ID).read(answer({}, status=status))
