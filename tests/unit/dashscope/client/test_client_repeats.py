"""What is sent again, what is not, and for how long: counted where it arrives."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.error_codes import ErrorKind
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    AuthenticationError,
    InvalidResponseError,
    LostAnswerError,
    ProviderError,
    ThrottledError,
    TransportError,
)
from tests.unit.dashscope.support.answers import TASK_ID
from tests.unit.dashscope.support.scripted_server import (
    Raw,
    Reply,
    Reset,
    Say,
    ScriptedServer,
    Stall,
    head,
    say_error,
    say_json,
)
from tests.unit.dashscope.support.shells import REPAINT, Shell
from tests.unit.support.skipped_time import SkippedTime

Connect = Callable[..., Shell]

_TASK = say_json({"output": {"task_id": TASK_ID, "task_status": "RUNNING"}, "request_id": "r"})
_ACCEPTED = say_json({"output": {"task_id": TASK_ID, "task_status": "PENDING"}, "request_id": "r"})
_HTML = Say(body=b"<html>Welcome</html>", headers={"Content-Type": "text/html"})
_HALF = Raw(data=head(200, {"Content-Length": "400"}) + b'{"output": {"task_id": "')

_PASSING: dict[str, Reply] = {
    "500": say_error(500, "InternalError"),
    "500 without body": Say(status=500),
    "502": Say(status=502, body=b"<html>Bad gateway</html>"),
    "503": say_error(503, "ServiceUnavailable"),
    "504": Say(status=504),
    "408": Say(status=408),
    "429": say_error(429, "Throttling.RateQuota"),
    "429 without body": Say(status=429),
    "reset": Reset(),
    "closed": Raw(),
    "half an answer": _HALF,
    "garbage": Raw(data=b"\x00\x01 this is not HTTP\r\n\r\n"),
    "html": _HTML,
    "empty": Say(),
    "another task": say_json({"output": {"task_id": "other", "task_status": "SUCCEEDED"}}),
    "undecodable": Say(body=b"\x1f\x8b broken", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("trouble", _PASSING)
def test_reading_is_repeated_after_whatever_may_pass(
    server: ScriptedServer, connect: Connect, trouble: str
) -> None:
    server.script(_PASSING[trouble], _TASK)

    task = connect(server.url).get_task(TASK_ID)

    assert task.task_id == TASK_ID
    assert [seen.target for seen in server.seen] == [f"/api/v1/tasks/{TASK_ID}"] * 2


@pytest.mark.parametrize("trouble", ["503", "429", "reset", "500"])
def test_canceling_is_repeated_as_reading_is(server: ScriptedServer, connect: Connect, trouble: str) -> None:
    server.script(_PASSING[trouble], say_json({"request_id": "r"}))

    assert connect(server.url).cancel_task(TASK_ID) is True
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("POST", f"/api/v1/tasks/{TASK_ID}/cancel")
    ] * 2


@pytest.mark.parametrize(
    "reply",
    [
        say_error(429, "Throttling.RateQuota"),
        say_error(429, "Throttling"),
        Say(status=429),
        say_error(503, "ServiceUnavailable"),
        say_error(500, "ServiceUnavailable"),
        say_error(503, "ModelUnavailable"),
    ],
)
def test_a_submission_that_was_certainly_refused_is_repeated(
    server: ScriptedServer, connect: Connect, reply: Reply
) -> None:
    server.script(reply, _ACCEPTED)

    submission = connect(server.url).submit_task(**REPAINT)

    assert submission.task_id == TASK_ID
    assert [seen.path for seen in server.seen] == ["/api/v1/services/aigc/image-generation/generation"] * 2
    assert server.seen[0].json == server.seen[1].json


_NEVER_TWICE: dict[str, tuple[Reply, type[ProviderError]]] = {
    "reset after sending": (Reset(), LostAnswerError),
    "closed after sending": (Raw(), LostAnswerError),
    "half an answer": (_HALF, LostAnswerError),
    "garbage": (Raw(data=b"not HTTP at all\r\n\r\n"), LostAnswerError),
    "silence": (Stall(), LostAnswerError),
    "500": (say_error(500, "InternalError"), ApiError),
    "500 without body": (Say(status=500), ApiError),
    "502": (Say(status=502), ApiError),
    "503 without a code": (Say(status=503), ApiError),
    "504": (say_error(504, "ResponseTimeout"), ApiError),
    "408": (say_error(408, "RequestTimeOut"), ApiError),
    "html": (_HTML, InvalidResponseError),
    "empty": (Say(), InvalidResponseError),
    "no id": (say_json({"output": {}}), InvalidResponseError),
    "undecodable": (Say(body=b"?", headers={"Content-Encoding": "gzip"}), InvalidResponseError),
    "redirect": (Say(status=302, headers={"Location": "/elsewhere"}), InvalidResponseError),
    "200 with an unknown code": (say_json({"code": "Odd", "message": "?"}), ApiError),
}


@pytest.mark.parametrize("end", _NEVER_TWICE)
def test_a_submission_that_may_have_been_accepted_is_never_repeated(
    server: ScriptedServer, connect: Connect, end: str
) -> None:
    reply, kind = _NEVER_TWICE[end]
    server.script(reply, _ACCEPTED)

    with pytest.raises(kind) as caught:
        connect(server.url, timeout=0.15 if end == "silence" else 5.0).submit_task(**REPAINT)

    assert len(server.seen) == 1
    assert not caught.value.certainly_refused
    assert "submit a task of model wanx-style-repaint-v1" in str(caught.value)


def test_whoever_submits_is_told_right_before_each_sending(server: ScriptedServer, connect: Connect) -> None:
    server.script(say_error(429, "Throttling"), _ACCEPTED)
    sent_before: list[int] = []

    call = endpoints.submit_task(**REPAINT)
    connect(server.url).send(call, before_sending=lambda: sent_before.append(len(server.seen)))

    assert sent_before == [0, 1]


def test_a_refused_connection_lets_a_submission_try_again(
    connect: Connect, skipped_time: SkippedTime
) -> None:
    server = ScriptedServer(_ACCEPTED)
    try:
        with pytest.raises(TransportError, match="cannot be reached") as caught:
            connect(server.url, retry_for=0).submit_task(**REPAINT)
        assert not isinstance(caught.value, LostAnswerError)
        assert caught.value.certainly_refused

        # The door opens when the first try of this one has met it closed.
        skipped_time.before_pause = server.start
        assert connect(server.url).submit_task(**REPAINT).task_id == TASK_ID
        assert len(skipped_time.pauses) == 1
        assert len(server.seen) == 1
    finally:
        server.stop()


_PERMANENT: dict[str, tuple[int, str, type[ApiError]]] = {
    "input": (400, "InvalidParameter", ApiError),
    "url": (400, "InvalidURL", ApiError),
    "download of the input": (400, "InvalidURL.Timeout", ApiError),
    "debt": (400, "Arrearage", ApiError),
    "key": (401, "InvalidApiKey", AuthenticationError),
    "permission": (403, "AccessDenied", ApiError),
    "model": (404, "ModelNotFound", ApiError),
    "budget": (429, "BudgetLimitExceeded", ApiError),
    "overdue": (429, "PostpaidBillOverdue", ApiError),
    "three hours": (500, "InternalError.Timeout", ApiError),
}


@pytest.mark.parametrize("reason", _PERMANENT)
def test_a_permanent_refusal_is_not_repeated(server: ScriptedServer, connect: Connect, reason: str) -> None:
    status, code, kind = _PERMANENT[reason]
    shell = connect(server.url)
    server.script(say_error(status, code), say_error(status, code))

    with pytest.raises(kind):
        shell.get_task(TASK_ID)
    with pytest.raises(kind):
        shell.submit_task(**REPAINT)

    assert len(server.seen) == 2


def test_the_free_quota_is_not_asked_again_although_other_quotas_are(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(say_error(429, "Throttling.AllocationQuota", "Free allocated quota exceeded."))

    with pytest.raises(ApiError, match="Free allocated quota") as caught:
        connect(server.url).get_task(TASK_ID)

    assert (caught.value.kind, caught.value.retryable) == (ErrorKind.BILLING, False)
    assert len(server.seen) == 1


def test_retry_after_in_seconds_is_obeyed(server: ScriptedServer, connect: Connect) -> None:
    server.script(say_error(429, "Throttling", Retry_After="4.5"), _ACCEPTED)

    connect(server.url).submit_task(**REPAINT)

    assert server.seen[1].at - server.seen[0].at >= 4.5


def test_retry_after_as_a_date_is_obeyed(server: ScriptedServer, connect: Connect) -> None:
    moment = datetime.fromtimestamp(math.ceil(time.time() + 4), UTC)
    server.script(
        say_error(503, "ServiceUnavailable", Retry_After=format_datetime(moment, usegmt=True)), _TASK
    )

    connect(server.url).get_task(TASK_ID)

    assert time.time() >= moment.timestamp()
    assert len(server.seen) == 2


def test_a_service_that_asks_for_more_patience_than_there_is_gets_its_error_at_once(
    server: ScriptedServer, connect: Connect, skipped_time: SkippedTime
) -> None:
    server.script(say_error(429, "Throttling", Retry_After="15"))

    with pytest.raises(ThrottledError) as caught:
        connect(server.url, retry_for=10).get_task(TASK_ID)

    assert caught.value.retry_after == 15
    assert skipped_time.pauses == []
    assert len(server.seen) == 1


def test_repeating_ends_when_the_time_for_it_is_over(
    server: ScriptedServer, connect: Connect, skipped_time: SkippedTime
) -> None:
    server.script(*[say_error(503, "ServiceUnavailable")] * 500)

    with pytest.raises(ThrottledError, match="ServiceUnavailable"):
        connect(server.url, retry_for=60).get_task(TASK_ID)

    assert skipped_time.skipped <= 60
    assert 2 <= len(server.seen) < 100


def test_repeating_can_be_switched_off(server: ScriptedServer, connect: Connect) -> None:
    server.script(Reset(), _TASK)

    with pytest.raises(LostAnswerError):
        connect(server.url, retry_for=0).get_task(TASK_ID)

    assert len(server.seen) == 1


def test_sending_once_sends_once(server: ScriptedServer, connect: Connect) -> None:
    server.script(say_error(429, "Throttling"), _TASK)

    with pytest.raises(ThrottledError):
        connect(server.url).send_once(endpoints.get_task(TASK_ID))

    assert len(server.seen) == 1


def test_a_connection_is_used_again_and_a_broken_one_replaced(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(_TASK, _TASK, Reset(), _TASK)
    shell = connect(server.url)

    for _ in range(3):
        shell.get_task(TASK_ID)

    assert len(server.seen) == 4
    assert server.connections == 2
