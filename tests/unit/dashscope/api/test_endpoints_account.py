from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.endpoints import Endpoint
from airflow_provider_wanx.dashscope.errors import ApiError, InvalidInputError, InvalidResponseError
from airflow_provider_wanx.dashscope.models import TaskStatus, UploadPolicy
from tests.unit.dashscope.support.answers import answer

_NOON = datetime(2026, 11, 23, 12, 0, 5, tzinfo=timezone(timedelta(hours=8)))


def test_a_list_request_has_every_documented_filter() -> None:
    call = endpoints.list_tasks(
        task_id="t-1",
        start_time=_NOON,
        end_time=(_NOON + timedelta(hours=24)).astimezone(UTC),
        model_name="wanx-style-repaint-v1",
        status="RUNNING",
        api_key_id="42",
        region="cn-beijing",
        page_no=2,
        page_size=50,
    )

    assert (call.endpoint, call.method, call.url) == (Endpoint.LIST_TASKS, "GET", "/tasks")
    assert call.params == {
        "task_id": "t-1",
        "start_time": "20261123120005",
        "end_time": "20261124120005",
        "model_name": "wanx-style-repaint-v1",
        "status": "RUNNING",
        "api_key_id": "42",
        "region": "cn-beijing",
        "page_no": "2",
        "page_size": "50",
    }


def test_filters_that_are_not_given_are_not_sent() -> None:
    assert endpoints.list_tasks().params == {"page_no": "1", "page_size": "10"}
    assert endpoints.list_tasks(status=TaskStatus.FAILED).params["status"] == "FAILED"


@pytest.mark.parametrize(
    "filters",
    [
        {"page_no": 0},
        {"page_size": 0},
        {"start_time": _NOON.replace(tzinfo=None)},
        {"end_time": _NOON.replace(tzinfo=None)},
        {"start_time": _NOON, "end_time": _NOON + timedelta(hours=24, seconds=1)},
        {"start_time": _NOON, "end_time": _NOON - timedelta(seconds=1)},
        {"status": "DONE"},
        {"status": "running"},
    ],
    ids=repr,
)
def test_a_filter_that_makes_no_sense_is_refused(filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        endpoints.list_tasks(**filters)


def test_a_list_is_read_as_it_was_recorded() -> None:
    page = endpoints.list_tasks().read(
        answer(
            {
                "total": 1,
                "data": [
                    {
                        "api_key_id": "42677",
                        "gmt_create": 1709260684485,
                        "start_time": 1709260684527,
                        "end_time": 1709260685184,
                        "model_name": "text-embedding-async-v2",
                        "region": "cn-beijing",
                        "request_id": "r-0",
                        "status": "SUCCEEDED",
                        "task_id": "t-1",
                        "user_api_unique_key": "apikey:v1:embeddings:text-embedding:text-embedding:x",
                    }
                ],
                "total_page": 1,
                "page_no": 1,
                "request_id": "r-1",
                "page_size": 10,
            },
            headers={"date": "Fri, 01 Mar 2024 02:38:06 GMT"},
        )
    )

    assert (page.total, page.total_page, page.page_no, page.page_size, page.request_id) == (
        1,
        1,
        1,
        10,
        "r-1",
    )
    assert page.answered_at == datetime(2024, 3, 1, 2, 38, 6, tzinfo=UTC)
    assert not page.has_more
    (row,) = page.tasks
    assert (row.task_id, row.status, row.model_name) == (
        "t-1",
        TaskStatus.SUCCEEDED,
        "text-embedding-async-v2",
    )
    assert row.end_time == datetime(2024, 3, 1, 2, 38, 5, 184_000, tzinfo=UTC)


@pytest.mark.parametrize("data", [{"data": []}, {"data": None}, {}])
def test_a_list_may_be_empty_if_it_says_so(data: dict[str, Any]) -> None:
    assert endpoints.list_tasks().read(answer({"total": 0, **data})).tasks == ()


@pytest.mark.parametrize(
    "body",
    [{}, {"output": {"data": []}}, {"data": None, "total": 3}, {"data": {}}, {"data": 5}, {"total": 1}],
)
def test_an_answer_without_a_list_is_not_taken_for_an_empty_list(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidResponseError, match="list the account's tasks"):
        endpoints.list_tasks().read(answer(body, doing="list the account's tasks"))


_POLICY = {
    "policy": "p",
    "signature": "s",
    "upload_dir": "dashscope-instant/abc/2026-11-23/uuid",
    "upload_host": "https://dashscope-file-mgr.oss-cn-beijing.aliyuncs.com",
    "expire_in_seconds": 300,
    "max_file_size_mb": 1,
    "capacity_limit_mb": 999999999,
    "oss_access_key_id": "LTAI",
    "x_oss_object_acl": "private",
    "x_oss_forbid_overwrite": "true",
}


def _policy(**changes: Any) -> UploadPolicy:
    return endpoints.get_upload_policy("m").read(answer({"data": {**_POLICY, **changes}}))


def test_an_upload_policy_is_asked_for_as_documented() -> None:
    call = endpoints.get_upload_policy("wanx-style-repaint-v1")

    assert (call.method, call.url) == ("GET", "/uploads")
    assert call.params == {"action": "getPolicy", "model": "wanx-style-repaint-v1"}
    assert _policy().expire_in_seconds == 300


@pytest.mark.parametrize(
    "host", ["http://evil.example/up?Signature=hidden", "ftp://x", "", "https", "http://[x"]
)
def test_files_go_nowhere_but_through_https(host: str) -> None:
    with pytest.raises(InvalidResponseError, match="is not https") as caught:
        _policy(upload_host=host)

    assert "hidden" not in str(caught.value)


def test_an_upload_is_a_form_with_the_policys_fields_and_a_name_of_its_own() -> None:
    call = endpoints.upload(_policy(), filename="me.png", content=b"bytes")
    again = endpoints.upload(_policy(), filename="me.png", content=b"bytes")

    assert (call.method, call.url) == ("POST", _POLICY["upload_host"])
    assert not call.signed
    assert not call.repeatable
    assert call.form is not None
    key = call.form["key"]
    assert key.startswith("dashscope-instant/abc/2026-11-23/uuid/")
    assert key.endswith("-me.png")
    assert again.form is not None
    assert again.form["key"] != key
    assert call.form == {
        "OSSAccessKeyId": "LTAI",
        "Signature": "s",
        "policy": "p",
        "key": key,
        "x-oss-object-acl": "private",
        "x-oss-forbid-overwrite": "true",
        "success_action_status": "200",
    }
    assert call.file == ("me.png", b"bytes")
    assert call.read(answer(b"")) == f"oss://{key}"


@pytest.mark.parametrize(
    ("filename", "kept"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("me and you.JPG", "me-and-you.JPG"),
        ("肖像.png", "file.png"),
        ("???", "file"),
        ("", "file"),
        ("no.extension here", "no.extension-here"),
        ("a" * 300 + ".png", "a" * 96 + ".png"),
    ],
)
def test_a_files_name_is_made_harmless(filename: str, kept: str) -> None:
    call = endpoints.upload(_policy(), filename=filename, content=b"x")

    assert call.file is not None
    assert call.file[0] == kept


def test_a_file_that_is_too_large_is_refused_before_it_is_sent() -> None:
    limit = 1024 * 1024

    endpoints.upload(_policy(), filename="fits.png", content=bytes(limit))
    endpoints.upload(_policy(max_file_size_mb=None), filename="any.png", content=bytes(limit + 1))
    with pytest.raises(
        InvalidInputError, match=r"A file has 1048577 bytes; the temporary store takes 1 MB at most: big\.png"
    ):
        endpoints.upload(_policy(), filename="big.png", content=bytes(limit + 1))


def test_a_refused_upload_is_told_with_the_stores_words() -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>"

    with pytest.raises(ApiError) as caught:
        endpoints.upload(_policy(), filename="a.png", content=b"x").read(answer(body, status=403))

    assert caught.value.code == "AccessDenied"
    assert caught.value.retryable


def test_limits_are_asked_for_and_read_as_documented() -> None:
    call = endpoints.get_quotas(model="wanx-style-repaint-v1", name="wanx", page_no=2, page_size=5)
    page = call.read(
        answer(
            {
                "output": {
                    "total": 1,
                    "page_no": 2,
                    "page_size": 5,
                    "quotas": [
                        {
                            "model": "wanx-style-repaint-v1",
                            "workspace_id": "ws-1",
                            "model_limit": {
                                "request_limit": 2,
                                "request_limit_period": 1,
                                "async_user_queue_limit": 1000,
                                "async_user_concurrency_limit": 1,
                            },
                            "workspace_limit": None,
                        }
                    ],
                }
            }
        )
    )

    assert (call.method, call.url) == ("GET", "/quotas")
    assert call.params == {"model": "wanx-style-repaint-v1", "name": "wanx", "page_no": "2", "page_size": "5"}
    assert endpoints.get_quotas().params == {"page_no": "1", "page_size": "20"}
    (quota,) = page.quotas
    assert quota.model_limit is not None
    assert (quota.model_limit.request_limit, quota.model_limit.async_user_concurrency_limit) == (2, 1)
    assert quota.workspace_limit is None
