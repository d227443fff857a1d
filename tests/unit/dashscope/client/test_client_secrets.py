"""Where the key goes, where it does not, and what shows up in logs and messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wanx import __version__
from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.errors import (
    ConfigurationError,
    DownloadError,
    InvalidResponseError,
    LostAnswerError,
    ProviderError,
    TransportError,
)
from airflow_provider_wanx.dashscope.models import UploadPolicy
from tests.unit.dashscope.support.answers import TASK_ID
from tests.unit.dashscope.support.scripted_server import (
    Raw,
    Reply,
    Reset,
    Say,
    ScriptedServer,
    Stall,
    say_error,
    say_json,
)
from tests.unit.dashscope.support.shells import KEY, REPAINT, Shell

Connect = Callable[..., Shell]
Serve = Callable[..., ScriptedServer]

_SIGNATURE = "c2VjcmV0c2lnbmF0dXJl"
_RESULT = f"/r/a.png?Expires=1&OSSAccessKeyId=LTAI&Signature={_SIGNATURE}"
_TASK = say_json({"output": {"task_id": TASK_ID, "task_status": "RUNNING"}})
_PNG = Say(body=b"\x89PNG\r\n\x1a\n....", headers={"Content-Type": "image/png"})


def _policy(host: str) -> dict[str, Any]:
    return {
        "policy": "p",
        "signature": _SIGNATURE,
        "upload_dir": "dashscope-instant/d",
        "upload_host": host,
        "oss_access_key_id": "LTAI",
        "max_file_size_mb": 1,
    }


def test_every_request_to_the_service_carries_key_and_workspace(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(_TASK, say_json({"total": 0, "data": []}), say_json({}))
    shell = connect(server.url, workspace="ws-1")

    shell.get_task(TASK_ID)
    shell.list_tasks()
    shell.cancel_task(TASK_ID)

    assert len(server.seen) == 3
    for seen in server.seen:
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.headers["x-dashscope-workspace"] == "ws-1"
        assert seen.headers["accept"] == "application/json"
        assert seen.headers["user-agent"] == f"airflow-provider-wanx/{__version__}"
        assert KEY not in seen.target


def test_a_submission_carries_its_headers_and_body(server: ScriptedServer, connect: Connect) -> None:
    server.script(say_json({"output": {"task_id": TASK_ID, "task_status": "PENDING"}}))

    connect(server.url).submit_task(**REPAINT, parameters={"n": 1})

    (seen,) = server.seen
    assert seen.headers["x-dashscope-async"] == "enable"
    assert seen.headers["content-type"] == "application/json"
    assert "x-dashscope-workspace" not in seen.headers
    assert "x-dashscope-ossresourceresolve" not in seen.headers
    assert seen.json == {"model": REPAINT["model"], "input": REPAINT["input"], "parameters": {"n": 1}}


def test_neither_key_nor_workspace_goes_to_the_store_of_results(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(_PNG)

    connect("http://127.0.0.1:9", workspace="ws-1").download(server.url + _RESULT)

    (seen,) = server.seen
    assert seen.target == _RESULT
    assert not {"authorization", "x-dashscope-workspace", "cookie"} & set(seen.headers)
    assert KEY not in str(seen)


def test_neither_key_nor_workspace_goes_to_the_store_of_uploads(serve: Serve, connect: Connect) -> None:
    store = serve(Say())
    service = serve(say_json({"data": _policy(f"{store.url}/up")}))

    connect(service.url, workspace="ws-1").upload_file(filename="a.png", content=b"bytes", model="m")

    (seen,) = store.seen
    assert not {"authorization", "x-dashscope-workspace"} & set(seen.headers)
    assert KEY.encode() not in seen.body


def test_no_redirect_takes_the_key_elsewhere(serve: Serve, connect: Connect) -> None:
    elsewhere = serve()
    service = serve(Say(status=307, headers={"Location": f"{elsewhere.url}/steal"}))

    with pytest.raises(InvalidResponseError, match="HTTP 307"):
        connect(service.url, retry_for=0).get_task(TASK_ID)
    assert elsewhere.seen == []


@pytest.mark.parametrize("host", ["http://store.example/up", "http://192.0.2.1/up"])
def test_nothing_is_uploaded_in_the_clear(server: ScriptedServer, connect: Connect, host: str) -> None:
    server.script(say_json({"data": _policy(host)}))

    with pytest.raises(InvalidResponseError, match="not https"):
        connect(server.url, retry_for=0).upload_file(filename="a", content=b"x", model="m")
    assert len(server.seen) == 1


def test_a_clear_text_service_is_refused_before_a_client_exists(connect: Connect) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        connect("http://dashscope.example")


_LEAKS = f"https://h.example/x?Signature={_SIGNATURE} Authorization: Bearer {KEY}"

_BAD: dict[str, Reply] = {
    "code": say_error(400, "InvalidURL", f"cannot read {_LEAKS}"),
    "html": Say(status=502, body=_LEAKS.encode(), headers={"Content-Type": "text/html"}),
    "text": Say(body=_LEAKS.encode()),
    "wrong task": say_json({"output": {"task_id": _LEAKS, "task_status": "RUNNING"}}),
    "odd fields": say_json({"output": {"task_id": [_LEAKS], "task_status": _LEAKS, _LEAKS: 1}}),
    "request id": say_json({"code": _LEAKS, "message": "m", "request_id": _LEAKS}, status=400),
    "reset": Reset(),
    "garbage": Raw(data=f"{_LEAKS}\r\n\r\n".encode()),
    "silence": Stall(),
}


@pytest.mark.parametrize("bad", _BAD)
def test_no_message_shows_key_or_signature(
    server: ScriptedServer, connect: Connect, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    server.script(*[_BAD[bad]] * 3)
    shell = connect(server.url, retry_for=0, timeout=0.15)
    shown = []

    with caplog.at_level(logging.INFO):
        for act in (
            lambda: shell.get_task(TASK_ID),
            lambda: shell.submit_task(**REPAINT),
            lambda: shell.download(server.url + _RESULT, what="result 0"),
        ):
            try:
                act()
            except ProviderError as error:
                shown += [str(error), repr(error)]

    assert len(shown) >= 4
    assert KEY not in "".join(shown) + caplog.text
    assert _SIGNATURE not in "".join(shown) + caplog.text


def test_nothing_is_logged_of_a_request(
    server: ScriptedServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.script(_TASK, _PNG)
    shell = connect(server.url)

    with caplog.at_level(logging.INFO):
        shell.get_task(TASK_ID)
        shell.download(server.url + _RESULT)

    assert caplog.text == ""


def test_a_host_that_does_not_exist_is_told_as_such(connect: Connect) -> None:
    with pytest.raises(TransportError, match=r"nowhere\.invalid cannot be reached") as caught:
        connect("https://nowhere.invalid", retry_for=0).submit_task(**REPAINT)

    assert caught.value.certainly_refused
    assert not isinstance(caught.value, LostAnswerError)


@pytest.mark.parametrize(
    "host", ["https://exa%mple", "https://a_b\u2603\u200d.example", "https://1.2.3.4.5.6\u00ad"]
)
def test_a_host_that_only_httpx_refuses_is_a_wrong_configuration_or_unreachable(
    connect: Connect, host: str
) -> None:
    with pytest.raises((ConfigurationError, TransportError)):
        connect(host, retry_for=0).get_task(TASK_ID)


@pytest.mark.parametrize("url", ["https://h.example:x/up", "https://h\x00.example/up", "http://[::x]/up"])
def test_a_url_from_the_service_that_cannot_be_used_is_its_error(connect: Connect, url: str) -> None:
    shell = connect("http://127.0.0.1:9", retry_for=0)
    policy = UploadPolicy(**_policy(url))

    with pytest.raises(InvalidResponseError, match="cannot be used"):
        shell.send(endpoints.upload(policy, filename="a", content=b"x"))
    with pytest.raises(DownloadError, match="download result 0: its URL cannot be used"):
        shell.download(url, what="result 0")


@pytest.mark.parametrize("url", ["https://h..example/a.png", f"https://{'a' * 64}.example/a.png"])
def test_a_host_name_that_no_resolver_takes_is_unreachable(connect: Connect, url: str) -> None:
    with pytest.raises(TransportError, match="cannot be reached"):
        connect("http://127.0.0.1:9").download(url)


def test_closing_a_client_closes_its_connections(serve: Serve, connect: Connect) -> None:
    server = serve(_TASK)
    with connect(server.url) as shell:
        shell.get_task(TASK_ID)

    server.wait_until_idle(timeout=60)

    assert server.connections == 1
