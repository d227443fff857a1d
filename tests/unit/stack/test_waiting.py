from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.stack import AirflowApi, StackError, wait_until
from tests.stack.s3 import LocalS3
from tests.stack.waiting import PatientClient, checked
from tests.unit.dashscope.support.scripted_server import (
    Raw,
    Reply,
    Reset,
    Say,
    ScriptedServer,
    Stall,
    head,
    say_json,
)

HERE = Say(body=b"here")
CUT_SHORT = Raw(data=head(200, {"Content-Length": "100"}) + b"{")


@dataclass(frozen=True, kw_only=True)
class Late:
    """An answer after a while."""

    seconds: float

    def play(self, connection: socket.socket) -> bool:
        time.sleep(self.seconds)
        return HERE.play(connection)


def ask(server: ScriptedServer, method: str = "GET", *, patience: float = 60, **arguments: Any) -> bytes:
    client = PatientClient(base_url=server.url, patience=patience, asks_again_after=0.3, pause=0.05)
    try:
        return checked(client.answer(method, "/", **arguments)).content
    finally:
        client.close()


@pytest.mark.parametrize("trouble", [Reset(), CUT_SHORT, Stall(), Say(status=503), Say(status=500)])
def test_a_look_that_fails_is_repeated(trouble: Reply) -> None:
    with ScriptedServer(trouble, trouble, HERE) as server:
        assert ask(server) == b"here"
    assert len(server.seen) == 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_comes_up_late_is_waited_for(method: str) -> None:
    server, answers = ScriptedServer(HERE), list[bytes]()
    asking = threading.Thread(target=lambda: answers.append(ask(server, method)), daemon=True)
    asking.start()
    asking.join(0.3)
    with server:
        asking.join(60)
    assert answers == [b"here"]


def test_what_must_not_be_done_twice_is_sent_once_and_may_take_its_time() -> None:
    with ScriptedServer(Late(seconds=0.6)) as server:
        assert ask(server, "POST") == b"here"
    assert len(server.seen) == 1


def test_what_must_not_be_done_twice_is_not_repeated_when_its_answer_is_lost() -> None:
    with ScriptedServer(Reset()) as server, pytest.raises(StackError, match="was sent and not answered"):
        ask(server, "POST")
    assert len(server.seen) == 1


def test_a_refusal_is_no_failed_look() -> None:
    refusal = Say(status=404, body=b"no such thing")
    with ScriptedServer(refusal) as server, pytest.raises(StackError, match="GET /: HTTP 404 no such thing"):
        ask(server)


def test_when_the_time_is_over_the_message_tells_what_the_last_look_met() -> None:
    loading = Say(status=503, body=b"still loading")
    told = "an answer to GET /.*HTTP 503 still loading"
    with ScriptedServer(*[loading] * 100) as server, pytest.raises(StackError, match=told):
        ask(server, patience=0.6)


def test_a_wait_looks_again_itself_at_everything_that_it_asks_for() -> None:
    """Otherwise one of its questions could take all its time, and it would not see that a process has ended meanwhile."""
    looks = itertools.count()

    def look() -> httpx.Response:
        if next(looks) == 2:
            raise StackError("The API server has ended")
        return client.answer("GET", "/")

    with ScriptedServer(Say(status=503), Say(status=503)) as server:
        client = PatientClient(base_url=server.url)
        with pytest.raises(StackError, match="has ended"):
            wait_until(look, what="an answer")
        client.close()


@pytest.mark.parametrize("error", [ConnectionResetError, TimeoutError])
def test_a_condition_that_meets_a_dead_connection_is_asked_again(error: type[Exception]) -> None:
    looks: Iterator[Exception | Mapping[str, int]] = iter([error("gone"), {}, {"found": 1}])

    def condition() -> Mapping[str, int]:
        look = next(looks)
        if isinstance(look, Exception):
            raise look
        return look

    assert wait_until(condition, what="something", interval=0.01) == {"found": 1}


def test_a_condition_that_is_wrong_is_not_asked_again() -> None:
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 // 0, what="something", timeout=0)


def test_a_run_whose_start_was_not_answered_is_started_once() -> None:
    """The second time, Airflow says that a run with this id is there."""
    token, done = say_json({"access_token": "t"}), say_json({})
    run = {"dag_id": "dag", "state": "queued"}
    there = [Say(status=409), say_json({**run, "dag_run_id": "the run"})]
    with ScriptedServer(token, done, Reset(), *there) as server:
        api = AirflowApi(base_url=server.url)
        assert api.trigger(dag_id="dag", conf={"style": "anime"}) == "the run"
        api.close()
    first, second = [request.json for request in server.seen if request.path.endswith("/dagRuns")]
    assert first == second
    assert server.seen[-1].target.endswith(f"/dagRuns/{first['dag_run_id']}")


def test_the_local_s3_is_asked_again_too(tmp_path: Path) -> None:
    with ScriptedServer(Reset(), Say(status=503), Say()) as server:
        LocalS3(port=server.port, logs=tmp_path).client.head_object(Bucket="bucket", Key="key")
    assert len(server.seen) == 3
