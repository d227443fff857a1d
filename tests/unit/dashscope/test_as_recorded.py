"""The service as others recorded it: one row for each answer, or habit of callers, that the client once took wrongly."""

from __future__ import annotations

import ast
import inspect
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from airflow_provider_wanx import dashscope
from airflow_provider_wanx.dashscope import images
from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.results import find_results
from airflow_provider_wanx.dashscope.errors import ProviderError, TaskNotSucceededError
from airflow_provider_wanx.dashscope.models import Task, UploadPolicy
from tests.unit.dashscope.support.answers import TASK_ID, answer, task_answer

_A, _B = "https://r.example/a.png?Signature=x", "https://r.example/b.png"
_POLICY = UploadPolicy(
    policy="p", signature="s", upload_dir="d", upload_host="https://store.example", oss_access_key_id="LTAI"
)


def _uploaded_as(filename: str) -> str:
    file = endpoints.upload(_POLICY, filename=filename, content=b"x").file
    assert file is not None
    return file[0]


def _task(output: dict[str, Any], **beside: Any) -> Task:
    return endpoints.get_task(TASK_ID).read(task_answer(output, **beside))


def _told(output: dict[str, Any], **beside: Any) -> str:
    return _task(output, **beside).describe().removeprefix(f"DashScope task {TASK_ID} ")


def _urls(output: dict[str, Any]) -> list[str]:
    return [file.url for file in find_results(output)[0]]


def _failed_parts(*parts: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each.path, each.code, each.message) for each in find_results({"results": list(parts)})[1]]


def _error(act: Callable[[], object]) -> str:
    with pytest.raises(ProviderError) as caught:
        act()
    return f"{type(caught.value).__name__}: {caught.value}"


def _cancel(status: int, code: str, message: str = "") -> bool:
    return endpoints.cancel_task(TASK_ID).read(answer({"code": code, "message": message}, status=status))


def _list(**filters: Any) -> object:
    return endpoints.list_tasks(**filters)


def _submit(**changed: Any) -> endpoints.Call[Any]:
    new: dict[str, Any] = {"service": "aigc/image-generation/generation", "model": "m", "input": {"a": 1}}
    return endpoints.submit_task(**{**new, **changed})


def _picture(width: int, height: int, *, size: int | None = None, **role: Any) -> tuple[str, ...]:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return images.check_image(file.getvalue(), what="ada.png", size=size, **role).doubts


_TOO_LONG = "ada.png has 1200×400 pixels, 3.00:1; "

_POINTS: dict[str, tuple[Callable[[], object], object]] = {
    # Uploads
    "a name outside ASCII keeps its extension": (lambda: _uploaded_as("肖像.jpg"), "file.jpg"),
    "so does one that is partly so": (lambda: _uploaded_as("Ada 肖像 1.PNG"), "Ada-1.PNG"),
    # Tasks that ended
    "a model that could not be served may be tried again": (
        lambda: TaskNotSucceededError(
            [_task({"task_status": "FAILED", "code": "ModelServingError", "message": "m"})]
        ).resubmission_may_help,
        True,
    ),
    "words beside a failed task are its reason": (
        lambda: _told({"task_status": "FAILED"}, message="the model is busy"),
        "is FAILED (the model is busy).",
    ),
    "words beside an unknown task are its reason": (
        lambda: _told({"task_status": "UNKNOWN"}, message="task not exist"),
        "is UNKNOWN (task not exist).",
    ),
    "words in the task count more than those beside it": (
        lambda: _told({"task_status": "FAILED", "code": "A", "message": "a"}, code="B", message="b"),
        "is FAILED (A: a).",
    ),
    "a code beside a failed task is a failed task and no failed call": (
        lambda: _told({"task_status": "FAILED"}, code="InvalidURL", message="no picture"),
        "is FAILED (InvalidURL: no picture).",
    ),
    "a code beside a task that runs is a failed call": (
        lambda: _error(lambda: _task({"task_status": "RUNNING"}, code="SystemError", message="m")).partition(":")[0],
        "ApiError",
    ),
    "a success may have nothing but words": (
        lambda: _task({"message": "No text detected for translation"}).made_only_data,
        False,
    ),
    "a success may have something that is no file": (
        lambda: _task({"template_id": "AACT.1"}).made_only_data,
        True,
    ),
    "a state that nobody knows is told as such": (
        lambda: _error(lambda: _task({"task_status": "ARCHIVING"})).partition(" It may")[0],
        f"NewStatusError: DashScope task {TASK_ID} is in a state that this version does not know: 'ARCHIVING'.",
    ),
    # Results
    "a part with a number for a code has failed": (
        lambda: _failed_parts({"code": 500, "message": "m"}),
        [("results[0]", "500", "m")],
    ),
    "a part without a code has failed if its state says so": (
        lambda: _failed_parts({"file_url": _A, "subtask_status": "FAILED"}),
        [("results[0]", "", "")],
    ),
    "a part that is nothing but words has failed": (
        lambda: _failed_parts({"url": _B}, {"message": "An internal timeout error"}),
        [("results[1]", "", "An internal timeout error")],
    ),
    "a part whose error is nested has failed": (
        lambda: _failed_parts({"error": {"code": "C", "message": "m"}}),
        [("results[0]", "C", "m")],
    ),
    "a list of images holds results": (lambda: _urls({"images": [_A, _B]}), [_A, _B]),
    "a list of images below results holds results": (lambda: _urls({"results": {"images": [_A]}}), [_A]),
    "a list of URLs holds results": (lambda: _urls({"image_urls": [_A], "video_urls": [_B]}), [_A, _B]),
    "a list under the name of one result holds results": (lambda: _urls({"output_image_url": [_A]}), [_A]),
    "a list of images may have objects in it": (lambda: _urls({"images": [{"image_url": _A}]}), [_A]),
    "a list of inputs holds none": (lambda: _urls({"base_image_urls": [_A], "url": _B}), [_B]),
    # Cancelling
    "a state that does not allow it is no error": (
        lambda: _cancel(400, "UnsupportedOperation", "please confirm if the task is in PENDING status."),
        False,
    ),
    "nor is such a state in other words": (lambda: _cancel(400, "InvalidParameter", "not in PENDING"), False),
    "a debt is an error": (lambda: _error(lambda: _cancel(400, "Arrearage"))[:9], "ApiError:"),
    "a bad key is an error": (lambda: _error(lambda: _cancel(400, "InvalidApiKey"))[:19], "AuthenticationError"),
    "a bad request is an error": (lambda: _error(lambda: _cancel(400, "InvalidParameter"))[:9], "ApiError:"),
    # Calls
    "a service path may be as the pages write it": (
        lambda: _submit(service="/api/v1/services/aigc/image-generation/generation").url,
        "/services/aigc/image-generation/generation",
    ),
    "an input that is a list is told": (
        lambda: _error(lambda: _submit(input=["a"])),
        "InvalidInputError: input is empty or no object; model m needs one.",
    ),
    "a model that is None is told": (lambda: _error(lambda: _submit(model=None))[:36], "InvalidInputError: model is empty; g"),
    "a time that is a text is told": (
        lambda: _error(lambda: _list(start_time="20261123")),
        "InvalidInputError: start_time: Input should be a valid datetime, and not '20261123'.",
    ),
    "a page that is a text is told": (
        lambda: _error(lambda: _list(page_no="1")),
        "InvalidInputError: page_no: Input should be a valid integer, and not '1'.",
    ),
    "a model that is a list is told": (
        lambda: _error(lambda: _list(model_name=["a"])),
        "InvalidInputError: model_name: Input should be a valid string, and not ['a'].",
    ),
    "a filter that does not exist is told, with those that do": (
        lambda: _error(lambda: _list(model="m")).partition(", task_id")[0],
        "InvalidInputError: There is no filter model. There are page_no, page_size",
    ),
    "so are those of the limits": (
        lambda: _error(lambda: endpoints.get_quotas(page_size=0)),
        "InvalidInputError: page_size: Input should be greater than or equal to 1, and not 0.",
    ),
    # Pictures
    "a portrait that is too long is refused": (
        lambda: _error(lambda: _picture(1200, 400)),
        "InvalidInputError: The picture has 1200×400 pixels, 3.00:1; the model takes 2:1 at most: ada.png. Crop it.",
    ),
    "a style reference that is too long is doubtful": (
        lambda: _picture(1200, 400, is_style_reference=True),
        (_TOO_LONG + "2:1 at most is recommended for a picture whose style is taken.",),
    ),
    "10,000,000 bytes are certainly 10 MB at most": (lambda: _picture(300, 300, size=10_000_000), ()),
    "up to 10 MiB are doubtful": (
        lambda: _picture(300, 300, size=10 * 1024 * 1024),
        ("ada.png has 10485760 bytes; the model takes 10 MB at most, and may mean 10000000 bytes by that.",),
    ),
    "more than 10 MiB are refused": (
        lambda: _error(lambda: _picture(300, 300, size=10 * 1024 * 1024 + 1)),
        "InvalidInputError: The picture has 10.5 MB; the model takes 10 MB at most: ada.png.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("point", _POINTS)
def test_the_client_takes_the_service_as_it_is(point: str) -> None:
    act, expected = _POINTS[point]

    assert act() == expected


_NAMES = ["ApiError", "InvalidInputError", "LostAnswerError", "TaskNotSucceededError", "ThrottledError"]


@pytest.mark.parametrize("name", [*_NAMES, "WaitTimeoutError", "SubmissionQueueError", "check_image"])
def test_what_a_program_catches_and_calls_comes_from_one_place(name: str) -> None:
    assert name in dashscope.__all__
    assert getattr(dashscope, name).__name__ == name


_AIRFLOWS = re.compile(
    r"\bAirflow\b|\bDAG\b|XCom|\bpool\b|[Ss]ensor|[Oo]perator|connection's|dashscope_task_id"
)


def _texts(file: Path) -> list[str]:
    """What stands in quotes in a module, except its docstrings and notes."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in notes)
    return [node.value for node in constants if isinstance(node.value, str)]


def test_no_message_speaks_of_airflow_where_there_is_none() -> None:
    files = list(Path(inspect.getfile(dashscope)).parent.rglob("*.py"))
    assert len(files) > 10

    assert [text for file in files for text in _texts(file) if _AIRFLOWS.search(text)] == []
