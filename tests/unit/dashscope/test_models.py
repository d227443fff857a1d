from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_wanx.dashscope.models import (
    ResultFile,
    Submission,
    Task,
    TaskPage,
    TaskRow,
    TaskStatus,
    UploadPolicy,
    Usage,
)

_EIGHT_HOURS = timedelta(hours=8)


def _task(**fields: Any) -> Task:
    return Task.model_validate({"task_id": "t-1", "task_status": "RUNNING", **fields})


@pytest.mark.parametrize(
    ("status", "terminal"),
    [
        ("PENDING", False),
        ("RUNNING", False),
        ("SUSPENDED", False),
        ("SUCCEEDED", True),
        ("FAILED", True),
        ("CANCELED", True),
        ("UNKNOWN", True),
    ],
)
def test_each_documented_status_is_known_and_ends_a_task_or_not(status: str, terminal: bool) -> None:
    assert TaskStatus(status).is_terminal is terminal


def test_there_are_no_other_statuses() -> None:
    assert len(TaskStatus) == 7


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-03-02 22:22:13", datetime(2024, 3, 2, 14, 22, 13, tzinfo=UTC)),
        ("2024-03-02 22:22:13.026", datetime(2024, 3, 2, 14, 22, 13, 26_000, tzinfo=UTC)),
        (" 2024-03-02 22:22:13.026 ", datetime(2024, 3, 2, 14, 22, 13, 26_000, tzinfo=UTC)),
        ("2024-03-02T22:22:13+09:00", datetime(2024, 3, 2, 13, 22, 13, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("field", ["submit_time", "scheduled_time", "start_time", "end_time"])
def test_times_of_a_task_are_aware_with_milliseconds_or_without(
    field: str, written: str, meant: datetime
) -> None:
    assert getattr(_task(**{field: written}), field) == meant


def test_times_without_zone_are_china_time() -> None:
    moment = _task(submit_time="2024-03-02 22:22:13").submit_time

    assert moment is not None
    assert moment.utcoffset() == _EIGHT_HOURS


@pytest.mark.parametrize("written", ["", "soon", 17, None, True, {}, "2024-13-40 99:00:00"])
def test_a_time_that_is_none_costs_nobody_the_task(written: object) -> None:
    assert _task(end_time=written).end_time is None


def test_an_aware_time_stays_as_it_is() -> None:
    moment = datetime(2024, 3, 2, tzinfo=UTC)

    assert _task(end_time=moment).end_time == moment


def test_times_of_a_list_row_are_milliseconds_since_1970() -> None:
    row = TaskRow.model_validate(
        {"task_id": "t-1", "status": "SUCCEEDED", "gmt_create": 1709260684485, "start_time": 1709260684527.0}
    )

    assert row.create_time == datetime(2024, 3, 1, 2, 38, 4, 485_000, tzinfo=UTC)
    assert row.start_time == datetime(2024, 3, 1, 2, 38, 4, 527_000, tzinfo=UTC)
    assert row.end_time is None


@pytest.mark.parametrize("written", [1e400, float("nan"), 10**30, True, "never"])
def test_an_impossible_time_of_a_list_row_is_none(written: object) -> None:
    row = TaskRow.model_validate({"task_id": "t-1", "status": "RUNNING", "end_time": written})

    assert row.end_time is None


def test_a_list_row_with_a_text_time_is_read_too() -> None:
    row = TaskRow.model_validate({"task_id": "t", "status": "RUNNING", "create_time": "2024-03-02 22:22:13"})

    assert row.create_time == datetime(2024, 3, 2, 14, 22, 13, tzinfo=UTC)


@pytest.mark.parametrize("key", ["status", "task_status"])
def test_a_status_is_found_under_either_name(key: str) -> None:
    fields = {"task_id": "t-1", key: "FAILED"}

    assert Task.model_validate(fields).status is TaskStatus.FAILED
    assert TaskRow.model_validate(fields).status is TaskStatus.FAILED
    assert Submission.model_validate(fields).status is TaskStatus.FAILED


@pytest.mark.parametrize("status", [None, "QUEUED", 3])
def test_a_submission_is_not_lost_for_a_status_that_is_missing_or_new(status: object) -> None:
    assert Submission.model_validate({"task_id": "t-1", "task_status": status}).status is TaskStatus.PENDING
    assert Submission.model_validate({"task_id": "t-1"}).status is TaskStatus.PENDING


def test_a_task_with_a_status_that_is_new_is_not_guessed_at() -> None:
    with pytest.raises(ValidationError):
        _task(task_status="QUEUED")


@pytest.mark.parametrize(
    ("usage", "count"),
    [
        ({"image_count": 1}, 1),
        ({"image_num": 0}, 0),
        ({"image_count": "2"}, 2),
        ({"image_count": None}, None),
        ({"image_count": "many"}, None),
        ({"image_count": 1e400}, None),
        ({"image_count": True}, None),
        ({"image_count": [1]}, None),
        ({"total_tokens": 7}, None),
        ({}, None),
    ],
)
def test_images_are_counted_under_either_name(usage: dict[str, Any], count: int | None) -> None:
    task = _task(usage=usage)

    assert task.usage is not None
    assert task.usage.image_count == count


def test_other_things_that_are_billed_are_kept() -> None:
    assert Usage.model_validate({"total_tokens": 7}).model_extra == {"total_tokens": 7}


@pytest.mark.parametrize("usage", [None, 3, "1 image", [1]])
def test_a_usage_that_is_no_object_is_none(usage: object) -> None:
    assert _task(usage=usage).usage is None


def test_codes_may_be_numbers_and_what_is_no_text_is_dropped() -> None:
    assert _task(code=500, message=1.5).code == "500"
    assert _task(code={"a": 1}, message=["b"]).message is None
    assert _task(request_id=True).request_id is None


@pytest.mark.parametrize(
    ("output", "style"),
    [({"style_index": 3}, 3), ({"style_index": "3"}, None), ({"style_index": True}, None), ({}, None)],
)
def test_the_style_is_read_where_the_answer_names_one(output: dict[str, Any], style: int | None) -> None:
    assert _task(output=output).style_index == style


def test_a_task_describes_itself_in_one_sentence() -> None:
    assert _task().describe() == "DashScope task t-1 is RUNNING."
    assert (
        _task(task_status="FAILED", code="C", message="m").describe()
        == "DashScope task t-1 is FAILED (C: m)."
    )
    assert _task(task_status="FAILED", message="m").describe() == "DashScope task t-1 is FAILED (m)."


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        _task().code = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("url", "extension"),
    [
        ("https://r.example/a/1_style3.JPG?Expires=1&Signature=x.png", ".jpg"),
        ("https://r.example/vectors.txt.gz", ".gz"),
        ("https://r.example/a%20b.png", ".png"),
        ("https://r.example/plain", ""),
        ("https://r.example", ""),
        ("https://r.example/dir.d/", ""),
        (f"https://r.example/a.{'x' * 900}", ""),
        ("https://r.example/a.p%0Ang", ""),
        ("https://r.example/a.%C3%A9", ""),
        ("https://r.example/a.", ""),
        ("https://r.example/a.png%2F..%2F..%2Fb", ""),
        ("http://[broken/a.png", ".png"),
    ],
)
def test_a_result_knows_its_extension(url: str, extension: str) -> None:
    assert ResultFile(url=url, path="results[0].url", index=0).extension == extension


def test_the_signature_of_a_result_is_not_shown() -> None:
    file = ResultFile(url="https://r.example/a.jpg?Signature=hidden", path="results[0].url", index=0)

    assert file.safe_url == "https://r.example/a.jpg"
    assert "hidden" not in repr(file)
    assert "hidden" not in repr(_task(results=[file], output={"results": [{"url": file.url}]}))


def test_an_upload_policy_does_not_show_its_secrets() -> None:
    policy = UploadPolicy(
        policy="hidden-1",
        signature="hidden-2",
        oss_access_key_id="hidden-3",
        upload_dir="d",
        upload_host="https://h",
    )

    assert "hidden" not in repr(policy)


@pytest.mark.parametrize(
    ("page", "more"),
    [
        ({"data": [1], "page_no": 1, "total_page": 2}, True),
        ({"data": [1], "page_no": 2, "total_page": 2}, False),
        ({"data": [], "page_no": 1, "total_page": 2}, False),
    ],
)
def test_a_page_knows_whether_another_follows(page: dict[str, Any], more: bool) -> None:
    rows = [{"task_id": f"t-{number}", "status": "RUNNING"} for number in page["data"]]

    assert TaskPage.model_validate({**page, "data": rows}).has_more is more
