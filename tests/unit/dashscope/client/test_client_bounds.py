"""Answers without end, with a bomb in them, or one byte at a time: each is an error, and soon."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.client.transport import MAX_ANSWER_BYTES
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    DownloadError,
    InvalidResponseError,
    LostAnswerError,
    ProviderError,
    ResultExpiredError,
    WaitTimeoutError,
)
from tests.unit.dashscope.support.scripted_server import (
    Endless,
    Raw,
    Reply,
    Say,
    ScriptedServer,
    head,
    say_json,
)
from tests.unit.dashscope.support.shells import REPAINT, Shell

Connect = Callable[..., Shell]

TASK = {"request_id": "r-1", "output": {"task_id": "t-1", "task_status": "RUNNING"}}
BODY = json.dumps(TASK).encode()
CHUNKED = {"Transfer-Encoding": "chunked"}
CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"


def bomb(size: int) -> bytes:
    return gzip.compress(b" " * size)


def test_a_packed_answer_is_unpacked(server: ScriptedServer, connect: Connect) -> None:
    server.script(Say(body=gzip.compress(BODY), headers={"Content-Encoding": "gzip"}))
    assert connect(server.url).get_task("t-1").task_id == "t-1"
    assert server.seen[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Endless(data=head(200, CHUNKED), piece=CHUNK), InvalidResponseError),
        (Endless(data=head(200, {}), piece=b" " * 65536), InvalidResponseError),
        (Endless(data=head(200, {}), piece=b"", pause=0.01), LostAnswerError),
        (Endless(data=head(404, CHUNKED), piece=CHUNK), ApiError),
        (Endless(data=head(500, {}), piece=b"<html>" * 1000), ApiError),
        (Endless(data=b"HTTP/1.1 200 OK\r\n", piece=b"X-More: yes\r\n" * 1000), LostAnswerError),
        (Endless(data=b"HTTP/1.1 200 OK\r\nX-Long: ", piece=b"x" * 65536), LostAnswerError),
        (Endless(piece=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.01), LostAnswerError),
        (Say(body=bomb(20_000_000), headers={"Content-Encoding": "gzip"}), InvalidResponseError),
        (Say(body=gzip.compress(BODY)[:-9], headers={"Content-Encoding": "gzip"}), InvalidResponseError),
        (Say(body=BODY, headers={"Content-Encoding": "br"}), InvalidResponseError),
        (Say(body=b"[" * 500_000), InvalidResponseError),
        (Say(body=BODY + b" " * MAX_ANSWER_BYTES), InvalidResponseError),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    server: ScriptedServer, connect: Connect, reply: Reply, kind: type[ProviderError]
) -> None:
    server.script(reply)
    with pytest.raises(kind):
        connect(server.url, retry_for=0.0, timeout=0.5).get_task("t-1")


def test_a_submission_with_an_answer_without_end_may_have_been_accepted(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(Endless(data=head(200, CHUNKED), piece=CHUNK))
    with pytest.raises(InvalidResponseError, match="more than 524,288 bytes") as caught:
        connect(server.url).submit_task(**REPAINT)
    assert not caught.value.certainly_refused
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "start", [head(200, {"Content-Length": str(len(BODY))}), b""], ids=["in the body", "in the head"]
)
def test_an_answer_that_comes_byte_by_byte_is_given_up(
    server: ScriptedServer, connect: Connect, start: bytes
) -> None:
    """It would be a whole answer in the end, if somebody waited for it."""
    rest = BODY if start else head(200, {"Content-Length": str(len(BODY))}) + BODY
    server.script(Trickle(start, rest))
    with pytest.raises(LostAnswerError):
        connect(server.url, timeout=0.5, retry_for=0.0).get_task("t-1")


class Trickle:
    """Some bytes at once, and the rest one by one."""

    def __init__(self, start: bytes, rest: bytes) -> None:
        self.pieces = [start, *(bytes([byte]) for byte in rest)]

    def play(self, connection: object) -> bool:
        """Send them."""
        for piece in self.pieces:
            Endless(data=b"", piece=piece, pause=0.03, times=1).play(connection)  # type: ignore[arg-type]
        return True


def test_a_wait_does_not_hang_at_a_look_that_comes_byte_by_byte(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "DEFAULT_POLL_INTERVAL_SECONDS", 0.3)
    ended = json.dumps({"output": {"task_id": "t-1", "task_status": "SUCCEEDED"}}).encode()
    server.script(Trickle(head(200, {"Content-Length": str(len(ended))}), ended))
    with pytest.raises(WaitTimeoutError):
        connect(server.url).wait("t-1", timeout=0.4)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Endless(data=head(404, CHUNKED), piece=CHUNK), ResultExpiredError),
        (Endless(data=head(500, {}), piece=b" " * 65536), ApiError),
        (Say(body=b"", headers={"Content-Length": str(10**13)}), DownloadError),
        (Say(body=bomb(1000), headers={"Content-Encoding": "gzip"}), DownloadError),
        (Say(body=b"x", headers={"Content-Encoding": "gzip, gzip"}), DownloadError),
    ],
)
def test_a_download_that_is_none_is_an_error(
    server: ScriptedServer, connect: Connect, reply: Reply, kind: type[ProviderError]
) -> None:
    server.script(reply)
    with pytest.raises(kind):
        connect(server.url).download(f"{server.url}/a.png")


def test_a_download_without_announced_length_ends_at_the_largest_result(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_wanx.dashscope.client.download.MAX_RESULT_BYTES", 1_000_000)
    server.script(Endless(data=head(200, CHUNKED), piece=CHUNK))
    taken: list[int] = []
    with pytest.raises(DownloadError, match="more than 1,000,000 bytes"):
        connect(server.url).download(f"{server.url}/a.mp4", take=lambda chunk: taken.append(len(chunk)))
    assert sum(taken) <= 1_000_000


def test_cookies_of_the_service_are_not_kept(server: ScriptedServer, connect: Connect) -> None:
    server.script(say_json(TASK, Set_Cookie="a=1; Path=/"), say_json(TASK))
    shell = connect(server.url)
    shell.get_task("t-1")
    shell.get_task("t-1")
    assert "cookie" not in server.seen[1].headers


def test_a_broken_connection_is_no_answer(server: ScriptedServer, connect: Connect) -> None:
    server.script(Raw(data=head(200, {"Content-Length": "400"}) + b"{"))
    with pytest.raises(LostAnswerError):
        connect(server.url, retry_for=0.0).get_task("t-1")
