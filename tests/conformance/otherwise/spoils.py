"""For each fact, a service for which it does not hold: the local DashScope with other settings, or with spoiled answers."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
from PIL import Image

from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL
from tests.conformance.otherwise.spoiling import (
    Edit,
    Reply,
    accept,
    answer,
    drop,
    endpoint,
    header,
    on,
    put,
    refuse,
    reword,
    when,
)
from tests.conformance.service.pictures import PORTRAIT, data_url, small, wide


@dataclass(frozen=True)
class Spoil:
    """How a service behaves otherwise.

    :param edit: what happens to its answers on their way.
    :param settings: of the local DashScope behind it.
    """

    edit: Edit | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def _hours_earlier(text: str) -> str:
    """Move a time that is written as text to UTC."""
    return (datetime.fromisoformat(text) - timedelta(hours=8)).isoformat(" ", "milliseconds")


def _keyless(request: httpx.Request) -> bool:
    return "authorization" not in request.headers


def _by_client(request: httpx.Request) -> bool:
    """Whether this package's client sends it."""
    return request.headers["user-agent"].startswith("airflow-provider-wanx")


def _task_of(text: str, edit: Edit) -> Edit:
    """Change the answers about the tasks whose submission has a text in it."""
    ids: set[str] = set()

    def edit_some(request: httpx.Request, reply: Reply) -> None:
        if endpoint(request) == "submit" and reply.status == 200 and text.encode() in request.content:
            ids.add(reply.body["output"]["task_id"])
        if endpoint(request) == "task" and request.url.path.rpartition("/")[2] in ids:
            edit(request, reply)

    return edit_some


def _after(number: int, edit: Edit) -> Edit:
    """Change the answers after so many questions about tasks."""
    questions = 0

    def edit_later(request: httpx.Request, reply: Reply) -> None:
        nonlocal questions
        questions += endpoint(request) == "task"
        if questions > number:
            edit(request, reply)

    return edit_later


def _first_page_again(request: httpx.Request, reply: Reply) -> None:
    """Show the same row on every page."""
    if endpoint(request) == "list" and request.url.params.get("page_size") == "1":
        body = reply.body
        body["data"] = [{**row, "task_id": "always the same"} for row in body["data"]]
        reply.body = body


def _rows_of(request: httpx.Request, reply: Reply) -> None:
    """Show no rows."""
    body = reply.body
    body["data"] = []
    reply.body = body


def _filter_ignored(name: str) -> Edit:
    """Show all rows that were ever shown, whatever a filter says."""
    kept: dict[str, Any] = {}

    def edit(request: httpx.Request, reply: Reply) -> None:
        if endpoint(request) != "list" or reply.status != 200:
            return
        body = reply.body
        kept.update({row["task_id"]: row for row in body["data"]})
        if request.url.params.get(name):
            body["data"] = list(kept.values())
            reply.body = body

    return edit


def _twisted_path(request: httpx.Request, reply: Reply) -> None:
    """Name results otherwise; the address leads nowhere."""
    body = reply.body
    for result in body["output"].get("results", ()):
        result["url"] = result["url"].replace("viapi-video", "pictures")
    reply.body = body


def _unsigned(request: httpx.Request, reply: Reply) -> None:
    body = reply.body
    for result in body["output"].get("results", ()):
        result["url"] = result["url"].replace("Signature=", "Sign=")
    reply.body = body


def _expires_earlier(request: httpx.Request, reply: Reply) -> None:
    body = reply.body
    for result in body["output"].get("results", ()):
        result["url"] = re.sub(
            r"Expires=(\d+)", lambda found: f"Expires={int(found[1]) - 3600}", result["url"]
        )
    reply.body = body


def _other_scheme(request: httpx.Request, reply: Reply) -> None:
    body = reply.body
    for result in body["output"].get("results", ()):
        result["url"] = "ftp" + result["url"].removeprefix("http")
    reply.body = body


def _first_unknown() -> Edit:
    """Answer the first look at every task with UNKNOWN."""
    seen: set[str] = set()

    def edit(request: httpx.Request, reply: Reply) -> None:
        path = request.url.path
        if endpoint(request) == "task" and path not in seen:
            seen.add(path)
            reply.body = {
                "output": {"task_id": path.rpartition("/")[2], "task_status": "UNKNOWN"},
                "request_id": "x",
            }

    return edit


def _one_task() -> Edit:
    """Answer every submission with the first one's task."""
    first: list[bytes] = []

    def edit(request: httpx.Request, reply: Reply) -> None:
        if endpoint(request) == "submit" and reply.status == 200:
            first.append(reply.content)
            reply.content = first[0]

    return edit


def _tiny_result(request: httpx.Request, reply: Reply) -> None:
    """Answer with a picture of another size."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    reply.content = buffer.getvalue()


def _cut(request: httpx.Request, reply: Reply) -> None:
    reply.content = reply.content[: len(reply.content) // 2]


SUCCEEDED, RUNNING, PENDING, FAILED, CANCELED = "SUCCEEDED", "RUNNING", "PENDING", "FAILED", "CANCELED"
_REFUSAL = reword(403, code="AccessDenied", message="no")
_FAILS = put("output.task_status", lambda status: FAILED if status == SUCCEEDED else status)
_PORTRAIT = PORTRAIT.read_bytes()

SPOILS: dict[str, Spoil] = {
    "error-envelope": Spoil(on("list", lambda _, reply: setattr(reply, "body", {"error": {"code": "x"}}))),
    "wrong-key": Spoil(on("list", _REFUSAL)),
    "no-key": Spoil(when(_keyless, on("list", answer(200)))),
    "wrong-workspace": Spoil(settings={"workspaces": ()}),
    "no-async-header": Spoil(on("submit", _REFUSAL)),
    "content-type": Spoil(on("submit", accept())),
    "no-json": Spoil(on("submit", reword(400, code="InvalidParameter"))),
    "no-model": Spoil(on("submit", reword(400, code="InvalidParameter"))),
    "no-input": Spoil(on("submit", reword(400, code="InvalidParameter"))),
    "unknown-model": Spoil(on("submit", reword(403, code="Model.AccessDenied"))),
    "image-url-required": Spoil(on("submit", accept())),
    "style-required": Spoil(on("submit", accept())),
    "style-numbers": Spoil(on("submit", accept())),
    "style-reference-required": Spoil(on("submit", accept())),
    "unknown-task": Spoil(on("task", refuse(404, "NotFound"))),
    "cancel-unknown": Spoil(on("cancel", refuse(404, "NotFound", "no such task"))),
    "wrong-span": Spoil(on("list", answer(200))),
    "upload-policy": Spoil(on("policy", drop("data.capacity_limit_mb"))),
    "upload-policy-values": Spoil(settings={"policy_lifetime": 600}),
    "upload-policy-base64": Spoil(on("policy", put("data.policy", "{}"))),
    "upload-answer": Spoil(on("upload", answer(204))),
    "upload-once": Spoil(on("upload", answer(200))),
    "upload-private": Spoil(when(lambda request: request.method == "GET", on("upload", answer(200)))),
    "upload-bad-signature": Spoil(on("upload", answer(200))),
    "submit-answer": Spoil(on("submit", put("output.task_status", RUNNING))),
    "ids": Spoil(on("submit", put("request_id", "17"))),
    "submit-headers": Spoil(on("submit", header("req-cost-time", None))),
    "no-rate-headers": Spoil(on("submit", header("X-RateLimit-Remaining", "1"))),
    "known-at-once": Spoil(_first_unknown()),
    "pending-look": Spoil(on("task", put("output.scheduled_time", "2026-01-01 00:00:00.000"), state=PENDING)),
    "running-look": Spoil(on("task", drop("output.scheduled_time"), state=RUNNING)),
    "running-metrics": Spoil(on("task", put("output.task_metrics.SUCCEEDED", 0), state=RUNNING)),
    "success-keys": Spoil(on("task", drop("output.start_time"), state=SUCCEEDED)),
    "success-error-fields": Spoil(on("task", put("output.error_message", ""), state=SUCCEEDED)),
    "success-style": Spoil(on("task", put("output.style_index", 4), state=SUCCEEDED)),
    "usage": Spoil(on("task", put("usage", {"image_num": 1}), state=SUCCEEDED)),
    "time-formats": Spoil(on("task", put("output.end_time", lambda text: f"{text}.123"), state=SUCCEEDED)),
    "time-zone": Spoil(on("task", put("output.submit_time", _hours_earlier), state=SUCCEEDED)),
    "times-in-order": Spoil(
        on("task", put("output.submit_time", "2999-01-01 00:00:00.000"), state=SUCCEEDED)
    ),
    "statuses": Spoil(on("task", put("output.task_status", "QUEUED"), state=PENDING)),
    "status-order": Spoil(on("task", put("output.task_status", "SUSPENDED"), state=RUNNING)),
    "queued-not-refused": Spoil(settings={"concurrency": 3}),
    "one-at-a-time": Spoil(
        on("task", put("output.scheduled_time", "2001-01-01 00:00:00.000"), state=SUCCEEDED)
    ),
    "cancel-pending": Spoil(on("cancel", put("output", {"task_status": CANCELED}))),
    "canceled": Spoil(on("task", put("output.task_status", "CANCELLED"), state=CANCELED)),
    "canceled-free": Spoil(on("task", put("usage", {"image_count": 1}), state=CANCELED)),
    "cancel-ended": Spoil(on("cancel", reword(400, code="InvalidParameter"))),
    "cancel-running": Spoil(on("cancel", answer(200))),
    "cancel-twice": Spoil(on("cancel", answer(200))),
    "failed-look": Spoil(on("task", put("code", "InvalidURL"), state=FAILED)),
    "failed-usage": Spoil(on("task", drop("usage"), state=FAILED)),
    "failed-times": Spoil(on("task", drop("output.end_time"), state=FAILED)),
    "still-served": Spoil(on("submit", refuse(403, "AccessDenied"))),
    "result-signed": Spoil(on("task", _unsigned, state=SUCCEEDED)),
    "result-expires": Spoil(on("task", _expires_earlier, state=SUCCEEDED)),
    "result-name": Spoil(on("task", _twisted_path, state=SUCCEEDED)),
    "result-download": Spoil(on("result", answer(200, b"no picture"))),
    "result-short-side": Spoil(on("result", _tiny_result)),
    "result-needs-signature": Spoil(on("result", answer(200))),
    "result-scheme": Spoil(on("task", _other_scheme, state=SUCCEEDED)),
    "result-place": Spoil(on("task", put("output.result_url", "http://x.test/"), state=SUCCEEDED)),
    "duration": Spoil(on("task", put("output.scheduled_time", "2001-01-01 00:00:00.000"), state=SUCCEEDED)),
    "date-header": Spoil(on("task", header("date", "Sat, 02 Mar 2024 14:22:12 GMT"))),
    "list-addresses": Spoil(
        when(lambda request: request.url.path.endswith("/"), on("list", refuse(404, "NotFound")))
    ),
    "list-flat": Spoil(on("list", put("output", {}))),
    "list-total": Spoil(settings={"list_totals": False}),
    "list-page-fields": Spoil(on("list", drop("total_page"))),
    "list-default-page": Spoil(on("list", put("page_size", 20))),
    "list-page-no": Spoil(_first_page_again),
    "list-moving-rows": Spoil(_first_page_again),
    "list-order": Spoil(settings={"list_order": "oldest"}),
    "list-lateness": Spoil(settings={"list_delay": 5}),
    "list-end-lateness": Spoil(settings={"list_delay": 5}),
    "list-largest-page": Spoil(settings={"max_page_size": 50}),
    "list-status-filter": Spoil(_filter_ignored("status")),
    "list-model-filter": Spoil(_filter_ignored("model_name")),
    "list-task-filter": Spoil(_filter_ignored("task_id")),
    "list-sdk-filters": Spoil(when(lambda request: "api_key_id" in request.url.params, on("list", _rows_of))),
    "list-time-filter": Spoil(_filter_ignored("start_time")),
    "list-half-spans": Spoil(_filter_ignored("end_time")),
    "list-scope": Spoil(when(lambda request: "task_id" not in request.url.params, on("list", _rows_of))),
    "list-row": Spoil(on("list", drop("data.*.caller_uid"))),
    "list-no-results": Spoil(on("list", put("data.*.results", []))),
    "list-task-id": Spoil(when(lambda request: not request.url.query, on("list", drop("data.*.task_id")))),
    "list-status": Spoil(on("list", put("data.*.task_status", SUCCEEDED))),
    "list-gmt-create": Spoil(on("list", put("data.*.gmt_create", lambda number: number // 1000))),
    "list-start-time": Spoil(on("list", put("data.*.start_time", lambda number: (number or 0) + 28_800_000))),
    "list-end-time": Spoil(on("list", drop("data.*.end_time"))),
    "list-unfinished": Spoil(on("list", put("data.*.end_time", 1_700_000_000_000))),
    "one-clock": Spoil(on("list", put("data.*.gmt_create", lambda number: number + 20_000))),
    "list-request-id": Spoil(on("list", put("data.*.request_id", "another"))),
    "list-model-and-region": Spoil(on("list", put("data.*.region", "cn-hangzhou"))),
    "list-unique-key": Spoil(on("list", put("data.*.user_api_unique_key", REPAINT_MODEL))),
    "picture-oss": Spoil(on("task", put("output.task_status", FAILED), state=SUCCEEDED)),
    "picture-base64": Spoil(on("task", put("output.task_status", FAILED), state=SUCCEEDED)),
    "newer-styles": Spoil(on("task", put("output.style_index", 5), state=SUCCEEDED)),
    "oss-needs-header": Spoil(on("submit", accept())),
    "unreachable-picture": Spoil(on("task", put("output.code", "InternalError"), state=FAILED)),
    "no-picture": Spoil(on("task", put("output.code", "InternalError"), state=FAILED)),
    "small-picture": Spoil(on("task", put("output.code", "InternalError"), state=FAILED)),
    "huge-picture": Spoil(on("task", put("output.code", "InternalError"), state=FAILED)),
    "gif-picture": Spoil(on("task", put("output.code", "InternalError"), state=FAILED)),
    "too-large-file": Spoil(on("task", put("output.task_status", SUCCEEDED), state=FAILED)),
    "no-deduplication": Spoil(_one_task()),
    "picture-formats": Spoil(_task_of("image/webp", _FAILS)),
    "bad-picture": Spoil(settings={"inspect_on_submit": True}),
    "picture-http-and-reference": Spoil(_task_of('"style_index": -1', _FAILS)),
    "wide-pictures": Spoil(_task_of(data_url(wide(_PORTRAIT)), _FAILS)),
    "ten-megabytes": Spoil(_task_of("large.bmp", _FAILS)),
    "client-submits": Spoil(_first_unknown()),
    "client-reads-task": Spoil(on("task", put("output.results", []), state=SUCCEEDED)),
    "client-reads-failure": Spoil(on("task", drop("output.code"), state=FAILED)),
    "client-wait": Spoil(on("task", put("output.results", []), state=SUCCEEDED)),
    "client-wait-canceled": Spoil(
        when(_by_client, on("task", put("output.task_status", SUCCEEDED), state=CANCELED))
    ),
    "client-download": Spoil(when(_by_client, on("result", _cut))),
    "client-lists": Spoil(on("list", header("date", None))),
    "client-cancel-ended": Spoil(on("cancel", reword(400, code="InvalidParameter", message="no"))),
    "client-wrong-key": Spoil(on("list", reword(400, code="InvalidParameter"))),
    "client-uploads": Spoil(on("policy", put("data.upload_dir", "elsewhere"))),
    "client-limits": Spoil(on("quotas", put("output.quotas", []))),
    "client-checks-pictures": Spoil(
        _task_of(data_url(small(_PORTRAIT)), put("output.task_status", lambda _: SUCCEEDED))
    ),
    "quotas-address": Spoil(on("quotas", refuse(404, "NotFound"))),
    "quotas-shape": Spoil(on("quotas", drop("output.total"))),
    "quotas-page": Spoil(on("quotas", put("output.page_size", 10))),
    "quotas-model": Spoil(on("quotas", put("output.quotas.*.model", "wanx-v1"))),
    "quotas-name": Spoil(on("quotas", put("output.quotas.*.model", "wanx-v1"))),
    "quotas-entry": Spoil(on("quotas", drop("output.quotas.*.workspace_limit"))),
    "quotas-fields": Spoil(on("quotas", drop("output.quotas.*.model_limit.usage_limit"))),
    "submit-limit": Spoil(settings={"submit_rate": 5}),
    "concurrency-limit": Spoil(settings={"concurrency": 3}),
    "queue-length": Spoil(settings={"queue_limit": 50}),
    "submit-rate": Spoil(settings={"submit_rate": 0}),
    "task-rate": Spoil(settings={"task_rate": 0}),
    "throttling-words": Spoil(on("task", reword(code="Throttling"))),
    "retry-after": Spoil(on("task", header("Retry-After", "1"))),
    "shared-limit": Spoil(settings={"task_rate": 5}),
    "recovery": Spoil(_after(60, on("task", refuse(429, "Throttling.RateQuota")))),
}
