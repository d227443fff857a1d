"""Whatever comes back, only the package's own errors come out: 100,000 spoilt answers, the same in every run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.answers import Answer, raise_for_result, read_output, retry_after
from airflow_provider_wanx.dashscope.api.results import find_results
from airflow_provider_wanx.dashscope.errors import ApiError, ProviderError
from airflow_provider_wanx.dashscope.models import QuotaPage, Submission, Task, TaskPage, UploadPolicy
from airflow_provider_wanx.dashscope.redaction import safe_words, without_query
from tests.unit.dashscope.support.answers import TASK_ID
from tests.unit.dashscope.support.mutations import SIGNATURE, SIGNED, Spoiler

_ROUNDS = 10
_A_ROUND = 10_000

_POLICY = UploadPolicy(
    policy="p", signature="s", upload_dir="d", upload_host="https://store.example", oss_access_key_id="LTAI"
)
_OUTPUT = {
    "task_id": TASK_ID,
    "task_status": "SUCCEEDED",
    "submit_time": "2024-03-02 22:22:13.026",
    "end_time": "2024-03-02 22:22:21",
    "style_index": 3,
    "error_message": "Success",
    "error_code": 0,
    "results": [{"url": SIGNED}, {"code": "InternalError.Algo", "message": f"see {SIGNED}"}],
    "task_metrics": {"TOTAL": 2, "SUCCEEDED": 1, "FAILED": 1},
}
_CHOICES = {"choices": [{"message": {"content": [{"text": "t"}, {"image": SIGNED}]}}], "finished": True}
_FAILED = {
    "task_id": TASK_ID,
    "task_status": "FAILED",
    "code": "InvalidURL",
    "message": f"cannot read {SIGNED}",
}
_ROW = {
    "task_id": TASK_ID,
    "status": "RUNNING",
    "gmt_create": 1709260684485,
    "model_name": "m",
    "request_id": "r",
}
_LIMIT = {"request_limit": 2, "request_limit_period": 1, "async_user_queue_limit": 100}
_REFUSAL = {"code": "InvalidParameter", "message": f"cannot read {SIGNED}", "request_id": "r"}

_Read = Callable[[Answer], Any]
_CASES: list[tuple[_Read, dict[str, Any]]] = [
    (endpoints.get_task(TASK_ID).read, {"request_id": "r", "output": _OUTPUT, "usage": {"image_count": 1}}),
    (endpoints.get_task(TASK_ID).read, {"request_id": "r", "output": {**_OUTPUT, **_CHOICES}, "usage": None}),
    (endpoints.get_task(TASK_ID).read, {"request_id": "r", "output": _FAILED, "usage": {"image_num": 0}}),
    (endpoints.get_task(TASK_ID).read, _REFUSAL),
    (
        endpoints.submit_task(service="aigc/a", model="m", input={"a": 1}).read,
        {"output": {"task_status": "PENDING", "task_id": TASK_ID}, "request_id": "r"},
    ),
    (
        endpoints.list_tasks().read,
        {"total": 2, "data": [_ROW, {**_ROW, "end_time": 1}], "total_page": 1, "page_no": 1, "page_size": 10},
    ),
    (endpoints.cancel_task(TASK_ID).read, {"request_id": "r"}),
    (
        endpoints.get_upload_policy("m").read,
        {"data": {**_POLICY.model_dump(), "upload_host": "https://store.example"}, "request_id": "r"},
    ),
    (
        endpoints.get_quotas().read,
        {"output": {"total": 1, "quotas": [{"model": "m", "model_limit": _LIMIT}]}},
    ),
    (endpoints.upload(_POLICY, filename="a.png", content=b"x").read, _REFUSAL),
    (raise_for_result, _REFUSAL),
    (
        lambda answer: read_output(answer, Submission),
        {"error": {"message": "m", "code": "c"}, "output": _OUTPUT},
    ),
]


def _use(value: object) -> None:
    """Look at a value from all sides, as those who get it do."""
    shown = repr(value)
    if isinstance(value, Task):
        shown += value.describe() + str(value.style_index) + "".join(file.safe_url for file in value.results)
        shown += "".join(file.extension + file.path for file in value.results)
        json.dumps({"code": value.code, "message": value.message, "status": value.status})
    elif isinstance(value, TaskPage):
        assert value.has_more in (True, False)
    else:
        assert isinstance(value, Submission | QuotaPage | UploadPolicy | bool | str | None)
    shown.encode()


def _check(error: ProviderError, *, intact: bool) -> None:
    text = str(error)
    text.encode()
    assert text.isprintable(), text
    assert len(text) < 2500
    assert not intact or SIGNATURE not in text
    if isinstance(error, ApiError):
        assert error.retry_after is None or error.retry_after >= 0


def _try(read: _Read, answer: Answer, *, intact: bool) -> bool:
    """Read an answer; returns whether there was something to be read."""
    try:
        value = read(answer)
    except ProviderError as error:
        _check(error, intact=intact)
        return False
    except Exception as error:  # noqa: BLE001 (any is what this looks for; shown so that no terminal stumbles over it)
        pytest.fail(f"{error!a} came from {answer!a}", pytrace=False)
    _use(value)
    return True


@pytest.mark.parametrize("seed", range(_ROUNDS))
def test_spoilt_answers_bring_only_the_packages_own_errors(seed: int) -> None:
    spoiler = Spoiler(seed)
    goods = [(read, json.dumps(content)) for read, content in _CASES]
    readable = 0

    for number in range(_A_ROUND):
        read, good = goods[number % len(goods)]
        intact = number % 2 == 0
        body = spoiler.structure(good)
        if not intact:
            body = spoiler.bytes(body if number % 4 == 1 else good.encode())
        answer = Answer(spoiler.status(), spoiler.headers(), body, "read an answer")
        readable += _try(read, answer, intact=intact)

    # A spoiler that leaves nothing readable, or everything, would test nothing.
    assert _A_ROUND * 0.05 < readable < _A_ROUND * 0.8


_fuzz = settings(deadline=None, database=None, max_examples=60)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(SIGNED),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_known_keys = st.sampled_from(["output", "data", "code", "message", "error", "request_id", "usage", "total"])
_output_keys = st.sampled_from([*_OUTPUT, "status", "code", "message", "url", "image_url", "urls", "choices"])


@_fuzz
@given(body=st.binary(max_size=300), status=st.integers(100, 599))
def test_any_bytes_bring_only_the_packages_own_errors(body: bytes, status: int) -> None:
    for read, _ in _CASES:
        _try(read, Answer(status, {}, body, "read an answer"), intact=False)


@_fuzz
@given(
    document=st.dictionaries(
        _known_keys, _json | st.dictionaries(_output_keys, _json, max_size=6), min_size=1, max_size=5
    ),
    status=st.sampled_from([200, 400, 403, 429, 500]),
)
def test_any_json_brings_only_the_packages_own_errors(document: dict[str, Any], status: int) -> None:
    answer = Answer(status, {}, json.dumps(document).encode(), "read an answer")

    for read, _ in _CASES:
        _try(read, answer, intact=True)


@_fuzz
@given(output=st.dictionaries(_output_keys, _json, max_size=6))
def test_every_result_that_is_found_is_a_web_address_that_stood_in_the_answer(
    output: dict[str, Any],
) -> None:
    files, failures = find_results(output)

    everything = json.dumps(output)
    assert len({file.url for file in files}) == len(files)
    for file in files:
        assert file.url.startswith(("http://", "https://"))
        assert json.dumps(file.url) in everything
    for failure in failures:
        assert failure.path


@_fuzz
@given(value=st.text(max_size=40))
def test_any_header_and_any_words_can_be_read(value: str) -> None:
    seconds = retry_after({"retry-after": value})

    assert seconds is None or seconds >= 0
    assert safe_words(value).isprintable()
    assert safe_words(safe_words(value)) == safe_words(value)
    assert without_query(value) is not None
