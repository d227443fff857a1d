"""What a row of the list tells of a task."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from airflow_provider_wanx.dashscope.models import CHINA_TIME
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL
from tests.conformance.core import DOCUMENTED, OPEN, RECORDED, Facts, NotObservedError, Observation
from tests.conformance.service.visit import Visit

FACTS = Facts()

_PAGE = "task-management page"
_LIST = "cnblogs/dashscope-sdk, list-task"
_ROW = {
    "api_key_id", "caller_parent_id", "caller_uid", "gmt_create", "start_time", "end_time", "model_name", "region",
    "request_id", "status", "task_id", "user_api_unique_key",
}  # fmt: skip


def own_row(visit: Visit) -> dict[str, Any]:
    """The row of the first task, which has succeeded."""
    row = visit.row(visit.queue.first.task_id)
    if row is None:
        raise NotObservedError("the list does not show the first task")
    return row


@FACTS.add("list-row", "a row has the twelve recorded fields", RECORDED, _LIST)
def _(visit: Visit) -> Observation:
    missing = sorted(_ROW - own_row(visit).keys())
    return Observation(not missing, f"without {', '.join(missing)}" if missing else "all twelve")


@FACTS.add("list-no-results", "a row has neither results nor the reason of a failure", RECORDED, _LIST)
def _(visit: Visit) -> Observation:
    more = sorted(own_row(visit).keys() & {"results", "output", "url", "code", "message", "usage"})
    return Observation(not more, ", ".join(more) or "neither")


@FACTS.add("list-task-id", "a row has task_id", RECORDED, _LIST, point="list-task-id")
def _(visit: Visit) -> Observation:
    rows = visit.plain_list.body["data"]
    good = sum(isinstance(row.get("task_id"), str) and bool(row["task_id"]) for row in rows)
    return Observation(0 < good == len(rows), f"{good} of {len(rows)} rows")


@FACTS.add("list-status", "a row's state is status, not task_status", RECORDED, _LIST, point="list-status")
def _(visit: Visit) -> Observation:
    row = own_row(visit)
    return Observation(row["status"] == "SUCCEEDED" and "task_status" not in row, f"status {row['status']}")


def _milliseconds(row: dict[str, Any], name: str) -> float:
    """A time of a row as POSIX time.

    :raises ValueError: it is no number of milliseconds.
    """
    value = row[name]
    if not isinstance(value, int) or value < 10**12:
        raise ValueError(f"{name} is {value!r}, no number of milliseconds")
    return value / 1000


@FACTS.add(
    "list-gmt-create",
    "gmt_create is the time of the submission, in milliseconds since 1970",
    RECORDED,
    _LIST,
    point="list-gmt-create",
)
def _(visit: Visit) -> Observation:
    created = _milliseconds(own_row(visit), "gmt_create")
    told = datetime.fromisoformat(visit.success.output["submit_time"]).replace(tzinfo=CHINA_TIME).timestamp()
    return Observation(abs(created - told) < 2, f"{created - told:+.3f} seconds from submit_time")


@FACTS.add(
    "list-start-time",
    "start_time is the time at which the task began to run, in milliseconds since 1970",
    RECORDED,
    _LIST,
    point="list-start-time",
)
def _(visit: Visit) -> Observation:
    started = _milliseconds(own_row(visit), "start_time")
    told = (
        datetime.fromisoformat(visit.success.output["scheduled_time"]).replace(tzinfo=CHINA_TIME).timestamp()
    )
    return Observation(abs(started - told) < 2, f"{started - told:+.3f} seconds from scheduled_time")


@FACTS.add(
    "list-end-time",
    "end_time is the time of the end, in milliseconds since 1970",
    RECORDED,
    _LIST,
    point="list-end-time",
)
def _(visit: Visit) -> Observation:
    ended = _milliseconds(own_row(visit), "end_time")
    told = datetime.fromisoformat(visit.success.output["end_time"]).replace(tzinfo=CHINA_TIME).timestamp()
    return Observation(abs(ended - told) < 2, f"{ended - told:+.3f} seconds from the task's end_time")


@FACTS.add(
    "list-unfinished",
    "the row of a task that has not ended has no end_time",
    DOCUMENTED,
    _PAGE,
    point="list-end-time",
)
def _(visit: Visit) -> Observation:
    wanted = {visit.queue.first.task_id, visit.queue.second.task_id}
    rows = [
        row
        for row in visit.queue.rows_under_way.body["data"]
        if row["task_id"] in wanted and row["status"] in ("PENDING", "RUNNING")
    ]
    if not rows:
        raise NotObservedError("no such row was seen")
    bare = [row["status"] for row in rows if row.get("end_time") is None]
    return Observation(len(bare) == len(rows), f"without end_time: {', '.join(bare) or 'none'}")


@FACTS.add(
    "one-clock",
    "gmt_create and the Date of an answer are by one clock, to 5 seconds",
    OPEN,
    "no document",
    point="one-clock",
)
def _(visit: Visit) -> Observation:
    apart = _milliseconds(own_row(visit), "gmt_create") - visit.submitted.date
    return Observation(abs(apart) <= 5, f"{apart:+.1f} seconds apart")


@FACTS.add("list-request-id", "a row's request_id is that of the submission", RECORDED, _LIST)
def _(visit: Visit) -> Observation:
    same = own_row(visit)["request_id"] == visit.submitted.body["request_id"]
    return Observation(same, "the same" if same else "another")


@FACTS.add("list-model-and-region", "a row has the model's name and the region cn-beijing", RECORDED, _LIST)
def _(visit: Visit) -> Observation:
    row = own_row(visit)
    seen = (row["model_name"], row["region"])
    return Observation(seen == (REPAINT_MODEL, "cn-beijing"), f"{seen[0]}, {seen[1]}")


@FACTS.add(
    "list-unique-key", "user_api_unique_key is apikey:version:group:task:function:model", RECORDED, _LIST
)
def _(visit: Visit) -> Observation:
    key = str(own_row(visit)["user_api_unique_key"])
    parts = re.sub(r"\d{3,}", "…", key)
    return Observation(key == f"apikey:v1:aigc:image-generation:generation:{REPAINT_MODEL}", parts)
