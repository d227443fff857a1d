"""Waiting with either client, against a server that says what the test tells it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient, DashScopeClient
from airflow_provider_wanx.dashscope.errors import (
    AuthenticationError,
    InvalidInputError,
    NewStatusError,
    TaskNotSucceededError,
    WaitTimeoutError,
)
from airflow_provider_wanx.dashscope.models import TaskStatus
from tests.unit.dashscope.support.answers import TASK_ID
from tests.unit.dashscope.support.scripted_server import Reset, Say, ScriptedServer, say_error, say_json
from tests.unit.dashscope.support.shells import KEY, Shell, config

Connect = Callable[..., Shell]

_URL = "https://r.example/a.jpg"


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.2)


def _say(status: str, **more: Any) -> Say:
    return say_json({"output": {"task_id": TASK_ID, "task_status": status, **more}, "request_id": "r-1"})


def _wait(connect: Connect, server: ScriptedServer, **how: Any) -> Any:
    return connect(server.url).wait(TASK_ID, **{"poll_interval": 0.01, **how})


def test_it_lasts_until_the_task_has_succeeded_whatever_goes_wrong_meanwhile(
    connect: Connect, server: ScriptedServer
) -> None:
    server.script(
        _say("UNKNOWN"), _say("PENDING"), say_error(503, "ServiceUnavailable"), Reset(), _say("RUNNING")
    )
    server.script(_say("SUSPENDED"), Say(body=b"<html>"), _say("SUCCEEDED", results=[{"url": _URL}]))

    task = _wait(connect, server, timeout=60)

    assert (task.status, [file.url for file in task.results]) == (TaskStatus.SUCCEEDED, [_URL])
    assert [(seen.method, seen.path) for seen in server.seen] == [("GET", f"/api/v1/tasks/{TASK_ID}")] * 8


@pytest.mark.parametrize("status", ["FAILED", "CANCELED"])
def test_any_other_end_is_an_error_with_its_reason(
    connect: Connect, server: ScriptedServer, status: str
) -> None:
    server.script(_say("RUNNING"), _say(status, code="InvalidURL", message="no picture"))

    with pytest.raises(
        TaskNotSucceededError, match=rf"{TASK_ID} is {status} \(InvalidURL: no picture\)"
    ) as caught:
        _wait(connect, server)

    assert [task.status for task in caught.value.tasks] == [status]


def test_unknown_is_believed_in_the_end(connect: Connect, server: ScriptedServer) -> None:
    server.script(*[_say("UNKNOWN")] * 20)

    with pytest.raises(TaskNotSucceededError, match="The service does not know this id"):
        _wait(connect, server)

    assert len(server.seen) > 2


def test_the_time_that_was_given_ends_it_and_cancels_nothing(
    connect: Connect, server: ScriptedServer
) -> None:
    server.script(*[_say("RUNNING")] * 20)

    with pytest.raises(WaitTimeoutError, match=r"last seen RUNNING.*may still run and will be billed"):
        _wait(connect, server, timeout=0.2)

    assert {seen.method for seen in server.seen} == {"GET"}


def test_a_refused_key_ends_it_at_once(connect: Connect, server: ScriptedServer) -> None:
    server.script(say_error(401, "InvalidApiKey"))

    with pytest.raises(AuthenticationError):
        _wait(connect, server)

    assert len(server.seen) == 1


def test_a_state_that_nobody_knows_ends_it_after_a_few_looks(
    connect: Connect, server: ScriptedServer
) -> None:
    server.script(*[_say("ARCHIVING")] * 20)

    with pytest.raises(NewStatusError, match="'ARCHIVING'"):
        _wait(connect, server)

    assert len(server.seen) == polling.NEW_STATUS_LOOKS


def test_what_cannot_be_an_id_is_never_asked_for(connect: Connect, server: ScriptedServer) -> None:
    with pytest.raises(InvalidInputError, match="is not a task id"):
        connect(server.url).wait("../tasks")

    assert server.seen == []


def _answer(request: httpx.Request) -> httpx.Response:
    assert request.headers["authorization"] == f"Bearer {KEY}"
    return httpx.Response(200, content=_say("SUCCEEDED", results=[{"url": _URL}]).body)


def test_the_blocking_client_uses_the_transport_that_it_is_given() -> None:
    with DashScopeClient(config("https://any.example"), transport=httpx.MockTransport(_answer)) as client:
        assert client.wait(TASK_ID).results[0].url == _URL


async def test_the_asynchronous_client_uses_the_transport_that_it_is_given() -> None:
    transport = httpx.MockTransport(_answer)
    async with AsyncDashScopeClient(config("https://any.example"), transport=transport) as client:
        assert (await client.wait(TASK_ID)).results[0].url == _URL
