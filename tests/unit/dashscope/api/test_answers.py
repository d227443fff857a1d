from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import time_machine

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.answers import (
    LONGEST_RETRY_AFTER_SECONDS,
    http_date,
    json_object,
    raise_for_result,
    retry_after,
    store_error,
    try_json,
)
from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    AuthenticationError,
    InvalidResponseError,
    ProviderError,
    ResultExpiredError,
    ThrottledError,
)
from tests.unit.dashscope.support.answers import TASK_ID, answer

_KEY = "sk-0123456789abcdef"
_SIGNATURE = "c2VjcmV0c2ln"
_HTML = (
    f"<html><body>Bad gateway: https://h.example/x?Signature={_SIGNATURE} for {_KEY}</body></html>".encode()
)

_CALLS: dict[str, Call[Any]] = {
    "submit": endpoints.submit_task(service="aigc/x", model="m", input={"a": 1}),
    "get": endpoints.get_task(TASK_ID),
    "list": endpoints.list_tasks(),
    "policy": endpoints.get_upload_policy("m"),
    "quotas": endpoints.get_quotas(),
    "cancel": endpoints.cancel_task(TASK_ID),
}


@pytest.fixture(params=list(_CALLS))
def call(request: pytest.FixtureRequest) -> Call[Any]:
    return _CALLS[request.param]


def _raised(call: Call[Any], body: Any, **more: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        call.read(answer(body, doing=call.doing, **more))
    assert call.doing in str(caught.value)
    assert _SIGNATURE not in str(caught.value)
    assert _KEY not in str(caught.value)
    return caught.value


def test_html_instead_of_json_is_a_clear_error_without_secrets(call: Call[Any]) -> None:
    error = _raised(call, _HTML, headers={"content-type": "text/html; charset=utf-8"})

    assert isinstance(error, InvalidResponseError)
    assert error.http_status == 200
    assert error.retryable
    assert not error.certainly_refused
    assert f"(text/html, {len(_HTML)} bytes: '<html><body>Bad gateway" in str(error)


def test_a_gateways_502_with_html_is_the_services_trouble(call: Call[Any]) -> None:
    error = _raised(call, _HTML, status=502, headers={"content-type": "text/html"})

    assert isinstance(error, ApiError)
    assert (error.http_status, error.code) == (502, "")
    assert error.retryable
    assert not error.certainly_refused
    assert "Bad gateway" in str(error)


@pytest.mark.parametrize("body", [b"", b" \r\n "])
def test_an_empty_body_is_a_clear_error(call: Call[Any], body: bytes) -> None:
    error = _raised(call, body)

    assert isinstance(error, InvalidResponseError)
    assert "an empty body" in str(error)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"12", b"NaN", b'[{"output": {}}]'])
def test_json_that_is_no_object_is_a_clear_error(call: Call[Any], body: bytes) -> None:
    error = _raised(call, body)

    assert isinstance(error, InvalidResponseError)
    assert "not the JSON it should be" in str(error)


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00", b'{"a": ' * 100_000, b'{"output": {"task_id": "t', b'{"a": 1' + b"1" * 9999]
)
def test_broken_json_is_a_clear_error(call: Call[Any], body: bytes) -> None:
    assert isinstance(_raised(call, body), InvalidResponseError)


def test_an_error_code_at_the_top_is_an_error_even_with_http_200(call: Call[Any]) -> None:
    error = _raised(
        call, {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "r-9"}
    )

    assert isinstance(error, AuthenticationError)
    assert (error.code, error.http_status, error.request_id) == ("InvalidApiKey", 200, "r-9")


def test_an_unknown_code_with_http_200_does_not_prove_that_nothing_was_done(call: Call[Any]) -> None:
    assert not _raised(call, {"code": "NeverHeardOf", "message": "?"}).certainly_refused


@pytest.mark.parametrize("code", ["", 0, 200, "200", "Success", None, 1.5, [], {}])
def test_a_code_that_means_success_is_no_error(code: object) -> None:
    assert json_object(answer({"code": code, "a": 1}))["a"] == 1


def test_a_code_may_be_a_number() -> None:
    with pytest.raises(ApiError) as caught:
        json_object(answer({"code": 42, "message": "m"}))

    assert caught.value.code == "42"


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        ({"message": "wrong", "type": "t", "param": None, "code": "invalid_api_key"}, "invalid_api_key"),
        ({"message": "wrong", "type": "invalid_request_error", "code": None}, "invalid_request_error"),
        ({"message": "wrong"}, "error"),
    ],
)
@pytest.mark.parametrize("status", [200, 401])
def test_the_openai_like_envelope_is_understood(
    call: Call[Any], envelope: dict[str, Any], code: str, status: int
) -> None:
    error = _raised(call, {"error": envelope, "request_id": "r-8"}, status=status)

    assert isinstance(error, ApiError)
    assert (error.code, error.service_message, error.request_id) == (code, "wrong", "r-8")


def test_a_gateways_plain_error_field_is_quoted() -> None:
    with pytest.raises(ApiError) as caught:
        json_object(answer({"timestamp": 1, "status": 404, "error": "Not Found"}, status=404))

    assert caught.value.service_message == "Not Found"


def test_an_empty_error_field_is_no_error() -> None:
    assert json_object(answer({"error": {}, "output": {}})) == {"error": {}, "output": {}}


def test_a_refusal_that_is_json_but_no_object_still_has_its_status(call: Call[Any]) -> None:
    error = _raised(call, b"[]", status=503)

    assert isinstance(error, ApiError)
    assert "no reason given (HTTP 503)" in str(error)


@pytest.mark.parametrize("status", [201, 204, 299])
def test_every_status_of_success_is_one(status: int) -> None:
    assert json_object(answer({"a": 1}, status=status)) == {"a": 1}


@pytest.mark.parametrize("status", [302, 101, 199])
def test_a_redirect_or_another_status_is_a_clear_error(call: Call[Any], status: int) -> None:
    error = _raised(call, {"output": {}}, status=status)

    assert isinstance(error, InvalidResponseError)
    assert f"unexpected HTTP {status}" in str(error)


def test_a_missing_output_is_a_clear_error() -> None:
    bodies: list[dict[str, Any]] = [{}, {"output": None}, {"output": []}, {"output": "x"}]
    for name in ("submit", "get", "quotas"):
        for body in bodies:
            assert isinstance(_raised(_CALLS[name], body), InvalidResponseError), (name, body)


def test_missing_and_wrong_fields_are_named_without_their_values() -> None:
    error = _raised(
        _CALLS["policy"],
        {"data": {"policy": _SIGNATURE, "signature": [_SIGNATURE], "max_file_size_mb": _KEY}},
    )

    assert "not a UploadPolicy" in str(error)
    assert "signature: Input should be a valid string" in str(error)
    assert "upload_dir: Field required" in str(error)


def test_retry_after_travels_with_the_refusal() -> None:
    with pytest.raises(ThrottledError) as caught:
        json_object(answer({"code": "Throttling"}, status=429, headers={"retry-after": "7"}))

    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1e3", None),
        ("200", 200.0),
        ("999999999", LONGEST_RETRY_AFTER_SECONDS),
        ("9" * 5000, LONGEST_RETRY_AFTER_SECONDS),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_RETRY_AFTER_SECONDS),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999", None),
    ],
)
def test_retry_after_is_read_in_seconds(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}) == seconds


def test_retry_after_is_read_as_a_date() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    header = format_datetime(now + timedelta(seconds=9), usegmt=True)

    with time_machine.travel(now, tick=False):
        assert retry_after({"retry-after": header}) == 9


def test_the_log_says_what_was_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    retry_after({"retry-after": "5"})
    assert not caplog.records
    retry_after({"retry-after": "999999999"})
    assert "999999999" in caplog.text
    assert "not believed" in caplog.text


def test_no_retry_after_asks_nothing() -> None:
    assert retry_after({}) is None


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Fri, 01 Mar 2024 02:38:04 GMT", datetime(2024, 3, 1, 2, 38, 4, tzinfo=UTC)),
        ("today", None),
        (None, None),
    ],
)
def test_the_services_clock_is_read_from_its_answer(value: str | None, moment: datetime | None) -> None:
    assert http_date(answer({}, headers={"date": value} if value else {})) == moment


def test_half_a_character_becomes_a_whole_one_and_pairs_stay() -> None:
    body = rb'{"a": "\ud800!", "\udfff": ["\uD83D\uDE00", 1, null], "b": {"c": "\\ud800"}}'

    assert try_json(answer(body)) == {"a": "�!", "�": ["😀", 1, None], "b": {"c": "\\ud800"}}


def test_a_broken_byte_in_a_text_costs_nobody_the_answer() -> None:
    assert try_json(answer(b'\xef\xbb\xbf{"a": "\xb4\xed\xce\xf3", "task_id": "t-1"}'))["task_id"] == "t-1"


_EXPIRED = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error>
  <Code>AccessDenied</Code>
  <Message>Request has expired.</Message>
  <RequestId>65E1</RequestId>
  <HostId>h.oss.example</HostId>
</Error>"""


@pytest.mark.parametrize("status", [200, 206])
def test_a_result_that_comes_is_no_error(status: int) -> None:
    raise_for_result(answer(b"bytes", status=status))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_result_that_is_gone_is_told_with_the_stores_words(status: int) -> None:
    with pytest.raises(ResultExpiredError) as caught:
        raise_for_result(answer(_EXPIRED, status=status, doing="download result 0 of DashScope task t-1"))

    assert (caught.value.code, caught.value.request_id) == ("AccessDenied", "65E1")
    assert "download result 0 of DashScope task t-1: AccessDenied: Request has expired." in str(caught.value)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("status", "retryable"), [(500, True), (503, True), (429, True), (400, False), (302, False)]
)
def test_other_answers_of_the_store_are_judged_by_their_status(status: int, retryable: bool) -> None:
    with pytest.raises(ApiError) as caught:
        raise_for_result(answer(b"", status=status, headers={"retry-after": "3"}))

    assert not isinstance(caught.value, ResultExpiredError)
    assert caught.value.retryable is retryable
    assert caught.value.retry_after == 3
    assert "an empty body" in str(caught.value)


def test_a_store_that_shows_signatures_is_not_quoted_with_them() -> None:
    body = f"<Error><Code>SignatureDoesNotMatch</Code><SignatureProvided>{_SIGNATURE}</SignatureProvided></Error>"

    fields = store_error(answer(body.encode(), status=403))

    assert fields["code"] == "SignatureDoesNotMatch"
    assert _SIGNATURE not in json.dumps(fields, default=str)
