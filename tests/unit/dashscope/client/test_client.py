"""Both clients against the local DashScope."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.errors import ApiError, AuthenticationError, ResultExpiredError
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.unit.dashscope.support.shells import KEY, Shell, SyncShell, config

Connect = Callable[..., Shell]
Simulate = Callable[..., SimulatorHandle]

_SERVICE = "aigc/image-generation/generation"
_MODEL = "wanx-style-repaint-v1"


def _submit(shell: Shell, simulator: SimulatorHandle, *, style: int = 3, image: str | None = None) -> str:
    content = {"image_url": image or simulator.portrait_url, "style_index": style}
    return shell.submit_task(service=_SERVICE, model=_MODEL, input=content).task_id


def _ended(shell: Shell, simulator: SimulatorHandle, task_id: str) -> Task:
    simulator.advance(60)
    task = shell.get_task(task_id)
    assert task.status.is_terminal
    return task


def test_a_portrait_goes_its_whole_way(
    dashscope_simulator: SimulatorHandle, connect: Connect, tmp_path: Any
) -> None:
    shell = connect(dashscope_simulator.url)

    submission = shell.submit_task(
        service=_SERVICE,
        model=_MODEL,
        input={"image_url": dashscope_simulator.portrait_url, "style_index": 5},
    )
    task = _ended(shell, dashscope_simulator, submission.task_id)
    with (tmp_path / "result").open("wb") as file:
        received = shell.download(task.results[0].url, take=file.write)

    assert submission.status is TaskStatus.PENDING
    assert submission.request_id
    assert task.status is TaskStatus.SUCCEEDED
    assert task.style_index == 5
    assert task.usage is not None
    assert task.usage.image_count == 1
    assert task.results[0].extension == ".jpg"
    content = (tmp_path / "result").read_bytes()
    assert (received.size, received.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    with Image.open(tmp_path / "result") as picture:
        assert min(picture.size) == 1536
    totals = dashscope_simulator.ledger()["totals"]
    assert (totals["accepted"], totals["billed"], totals["downloads"]) == (1, 1, 1)


def test_times_of_a_task_are_the_real_ones_with_milliseconds_and_without(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    shell = connect(dashscope_simulator.url)
    before = time.time()
    task = _ended(shell, dashscope_simulator, _submit(shell, dashscope_simulator))

    assert task.submit_time is not None
    assert task.end_time is not None
    assert before - 0.01 <= task.submit_time.timestamp() <= time.time()
    assert task.output["end_time"].count(".") == 0
    assert task.output["submit_time"].count(".") == 1
    assert task.submit_time.utcoffset() == timedelta(hours=8)


@pytest.mark.dashscope_simulator(speed=1, duration=600, submit_rate=0)
def test_waiting_running_and_canceled_tasks_are_told_apart(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    shell = connect(dashscope_simulator.url)
    first, second = (_submit(shell, dashscope_simulator) for _ in range(2))

    assert shell.get_task(first).status is TaskStatus.RUNNING
    assert shell.get_task(second).status is TaskStatus.PENDING
    assert shell.cancel_task(first) is False
    assert shell.cancel_task(second) is True
    assert shell.cancel_task(second) is False
    assert shell.cancel_task("nobody-knows-this") is False
    assert shell.get_task(second).status is TaskStatus.CANCELED


def test_an_id_that_nobody_knows_is_unknown_and_no_error(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    assert connect(dashscope_simulator.url).get_task("1111").status is TaskStatus.UNKNOWN


def test_a_task_that_failed_tells_its_reason(dashscope_simulator: SimulatorHandle, connect: Connect) -> None:
    shell = connect(dashscope_simulator.url)
    small = dashscope_simulator.portrait_url + "?width=100&height=100"

    task = _ended(shell, dashscope_simulator, _submit(shell, dashscope_simulator, image=small))

    assert (task.status, task.code) == (TaskStatus.FAILED, "InvalidImageResolution")
    assert task.message
    assert task.results == ()
    assert task.usage is not None
    assert task.usage.image_count == 0


@pytest.mark.parametrize(
    ("service", "model", "content", "files"),
    [
        ("aigc/text2image/image-synthesis", "wanx-v1", {"prompt": "a cat"}, 2),
        ("aigc/image2image/out-painting", "image-out-painting", {"image_url": "portrait"}, 1),
        ("aigc/wordart/texture", "wordart-texture", {"text": "cat", "prompt": "fur"}, 2),
        ("aigc/image-generation/generation", "wan2.6-image", {"messages": "portrait"}, 2),
    ],
)
def test_other_models_results_are_found_and_can_be_downloaded(
    dashscope_simulator: SimulatorHandle,
    connect: Connect,
    service: str,
    model: str,
    content: dict[str, Any],
    files: int,
) -> None:
    shell, portrait = connect(dashscope_simulator.url), dashscope_simulator.portrait_url
    if "image_url" in content:
        content = {"image_url": portrait}
    if "messages" in content:
        content = {"messages": [{"role": "user", "content": [{"text": "a cat"}, {"image": portrait}]}]}

    submission = shell.submit_task(service=service, model=model, input=content, parameters={"n": 2})
    task = _ended(shell, dashscope_simulator, submission.task_id)

    assert task.status is TaskStatus.SUCCEEDED, task.describe()
    assert len(task.results) == files
    for file in task.results:
        assert shell.download(file.url).size > 0


def test_parts_that_failed_are_told_beside_those_that_did_not(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    shell = connect(dashscope_simulator.url)
    dashscope_simulator.add_fault(endpoint="job", kind="outcome", outcome="PARTIAL")

    submission = shell.submit_task(
        service="aigc/text2image/image-synthesis",
        model="wanx-v1",
        input={"prompt": "a cat"},
        parameters={"n": 3},
    )
    task = _ended(shell, dashscope_simulator, submission.task_id)

    assert task.status is TaskStatus.SUCCEEDED
    assert len(task.results) == 2
    assert [failure.code for failure in task.failures] == ["InternalError.Algo"]


@pytest.mark.dashscope_simulator(speed=50, submit_rate=0, max_page_size=2)
def test_the_list_is_read_page_by_page_with_filters(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    shell = connect(dashscope_simulator.url)
    before = time.time()
    ids = [_submit(shell, dashscope_simulator) for _ in range(3)]
    dashscope_simulator.advance(60)

    first = shell.list_tasks(page_size=2, model_name=_MODEL)
    last = shell.list_tasks(page_size=2, page_no=2, model_name=_MODEL)

    assert {row.task_id for row in (*first.tasks, *last.tasks)} == set(ids)
    assert (first.total, first.total_page, first.has_more, last.has_more) == (3, 2, True, False)
    assert {row.status for row in first.tasks} == {TaskStatus.SUCCEEDED}
    assert first.tasks[0].create_time is not None
    assert before - 0.01 <= first.tasks[0].create_time.timestamp() <= time.time()
    assert first.answered_at is not None
    assert shell.list_tasks(model_name="other").tasks == ()
    assert shell.list_tasks(status=TaskStatus.FAILED).tasks == ()
    assert [row.task_id for row in shell.list_tasks(task_id=ids[1]).tasks] == [ids[1]]
    now = datetime.now(UTC)
    assert shell.list_tasks(start_time=now - timedelta(hours=1), end_time=now + timedelta(hours=1)).total == 3
    assert shell.list_tasks(end_time=now - timedelta(hours=1)).total == 0


def test_limits_are_read(dashscope_simulator: SimulatorHandle) -> None:
    with SyncShell(config(dashscope_simulator.url)) as client:
        (quota,) = client.get_quotas(model=_MODEL).quotas

    assert quota.model_limit is not None
    assert (quota.model_limit.request_limit, quota.model_limit.async_user_concurrency_limit) == (2, 1)


def test_an_uploaded_picture_is_painted(dashscope_simulator: SimulatorHandle, connect: Connect) -> None:
    shell = connect(dashscope_simulator.url)
    parts: list[bytes] = []
    shell.download(dashscope_simulator.portrait_url, take=parts.append)

    url = shell.upload_file(filename="me.jpg", content=b"".join(parts), model=_MODEL)
    task = _ended(shell, dashscope_simulator, _submit(shell, dashscope_simulator, image=url))

    assert url.startswith("oss://dashscope-instant/")
    assert url.endswith("-me.jpg")
    assert task.status is TaskStatus.SUCCEEDED, task.describe()


@pytest.mark.dashscope_simulator(speed=50, url_lifetime=100)
def test_a_result_whose_url_has_expired_is_had_with_a_fresh_one(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    shell = connect(dashscope_simulator.url)
    task = _ended(shell, dashscope_simulator, _submit(shell, dashscope_simulator))
    dashscope_simulator.advance(200)

    with pytest.raises(ResultExpiredError, match="Request has expired"):
        shell.download(task.results[0].url)

    assert shell.download(shell.get_task(task.task_id).results[0].url).size > 0


@pytest.mark.parametrize("key", ["wrong-key", "sk-other"])
@pytest.mark.dashscope_simulator(api_keys=("sk-right",))
def test_a_wrong_key_is_told_at_once_and_costs_nothing(
    dashscope_simulator: SimulatorHandle, connect: Connect, key: str
) -> None:
    shell = connect(dashscope_simulator.url, api_key=key)

    with pytest.raises(AuthenticationError, match="Check the API key"):
        _submit(shell, dashscope_simulator)
    with pytest.raises(AuthenticationError):
        shell.list_tasks()

    ledger = dashscope_simulator.ledger()
    assert ledger["totals"]["accepted"] == 0
    assert ledger["endpoints"]["list_tasks"]["requests"] == 1


@pytest.mark.dashscope_simulator(workspaces=("ws-1",))
def test_a_workspace_opens_the_account_to_its_keys_only(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    url = dashscope_simulator.url

    assert connect(url, workspace="ws-1").list_tasks().total == 0
    with pytest.raises(AuthenticationError):
        connect(url, workspace="ws-2").list_tasks()
    with pytest.raises(ApiError, match=r"Workspace\.AccessDenied"):
        connect(url, api_key="sk-ws-1").list_tasks()


def test_a_submission_whose_answer_is_lost_is_sent_once_and_found_in_the_list(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    shell = connect(dashscope_simulator.url)
    dashscope_simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)

    with pytest.raises(Exception, match="no complete answer") as caught:
        _submit(shell, dashscope_simulator)

    assert getattr(caught.value, "certainly_refused", True) is False
    assert dashscope_simulator.ledger()["totals"]["accepted"] == 1
    assert shell.list_tasks(model_name=_MODEL).total == 1


@pytest.mark.dashscope_simulator(speed=10, submit_rate=1)
def test_the_submission_limit_is_waited_out(dashscope_simulator: SimulatorHandle, connect: Connect) -> None:
    shell = connect(dashscope_simulator.url)

    ids = {_submit(shell, dashscope_simulator, style=style) for style in range(3)}

    assert len(ids) == 3
    assert dashscope_simulator.ledger()["totals"]["accepted"] == 3


def test_a_call_that_was_built_elsewhere_can_be_sent(
    dashscope_simulator: SimulatorHandle, connect: Connect
) -> None:
    shell = connect(dashscope_simulator.url, api_key=KEY)

    assert shell.send(endpoints.list_tasks()).total == 0
    assert shell.send_once(endpoints.list_tasks()).total == 0
