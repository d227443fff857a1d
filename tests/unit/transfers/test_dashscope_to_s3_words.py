"""What a service may call things, and S3, a file system or a terminal may not: the result is copied all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wanx.cli.definition import make_parser
from tests.unit.dashscope.support.scripted_server import Say, ScriptedServer, say_json
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket
from tests.unit.transfers.copying import copy

TASK = "0385dc79-5ff8-4d82-bcb6-000000000001"
STEERING = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\n"


def task(server: ScriptedServer, *, name: str = "a.png", **beside: Any) -> Say:
    output = {"task_id": TASK, "task_status": "SUCCEEDED", "results": [{"url": f"{server.url}/{name}"}]}
    return say_json({"request_id": "r", "output": {**output, **beside.pop("output", {})}, **beside})


@pytest.mark.parametrize(
    "request_id", ["é", "a\r\nx-amz-acl: public-read", "请求\u2028\x00", "\ud800", "x" * 10_000, 7, None]
)
@pytest.mark.parametrize("content_type", ["image/png", "image/pñg\x85", "x" * 5000])
def test_a_request_id_and_a_type_of_whatever_kind_do_not_keep_a_result_from_being_copied(
    set_connection: Callable[..., None], bucket: Bucket, request_id: object, content_type: str
) -> None:
    with ScriptedServer() as server:
        set_connection(
            "dashscope_default", {"conn_type": "dashscope", "host": server.url, "password": "sk-1"}
        )
        answer = task(server, request_id=request_id)
        body = picture()
        server.script(answer, Say(body=body, headers={"Content-Type": content_type}))
        copy(TASK, bucket.name, s3_key="out/{index}{extension}").run_try()

    head = bucket.head("out/0.png")
    assert bucket.body("out/0.png") == body
    assert head["Metadata"]["dashscope-task-id"] == TASK
    assert all(value.isascii() and value.isprintable() for value in head["Metadata"].values())
    assert head["ContentType"] in ("image/png", "application/octet-stream")
    assert "ACL" not in head


@pytest.mark.parametrize(
    "name", [f"a.{'x' * 900}", "a.%0Apng", "a.%2E%2E%2F%2E%2E", "%2E%2E", "a." + "%F0%9F%8E%A8" * 99]
)
def test_a_result_of_whatever_name_is_copied_under_a_safe_key(
    set_connection: Callable[..., None], bucket: Bucket, name: str
) -> None:
    with ScriptedServer() as server:
        set_connection(
            "dashscope_default", {"conn_type": "dashscope", "host": server.url, "password": "sk-1"}
        )
        server.script(task(server, name=name))
        server.script(Say(body=picture(), headers={"Content-Type": "image/png"}))
        copy(TASK, bucket.name, s3_key="out/").run_try()

    assert bucket.keys() == [f"out/{TASK}_0.png"]


@pytest.mark.parametrize("output", ["table", "json"])
def test_no_word_of_the_service_steers_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    said = {
        "message": f"m{STEERING}",
        "code": f"c{STEERING}",
        "results": [{"url": f"http://h.example/{STEERING}.png"}, {"code": STEERING, "message": f"part{STEERING}"}],
    }  # fmt: skip
    limits = {
        "page_no": 1,
        "total": 1,
        "quotas": [{"model": f"m{STEERING}", "model_limit": {"request_limit": 2}}],
    }
    rows = {"total": 1, "data": [{"task_id": "t-1", "status": "PENDING", "model_name": f"m{STEERING}"}]}
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    with ScriptedServer() as server:
        server.script(task(server, output=said), say_json(rows), say_json({"output": limits}))
        server.script(say_json({"code": f"c{STEERING}", "message": f"m{STEERING}"}, status=400))
        for words in (["tasks", "show", TASK], ["tasks", "list"], ["limits"], ["tasks", "show", TASK]):
            arguments = make_parser().parse_args([*words, "--host", server.url, "-o", output])
            with pytest.raises(SystemExit):
                arguments.func(arguments)
            printed = capsys.readouterr()
            shown = printed.out + printed.err
            assert shown.strip()
            assert all(each.isprintable() or each == "\n" for each in shown), words
            if printed.out and output == "json":
                json.loads(printed.out)
