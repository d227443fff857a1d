"""A task from its submission to its end."""

from __future__ import annotations

import re
from datetime import datetime

from airflow_provider_wanx.dashscope import TaskStatus
from airflow_provider_wanx.dashscope.models import CHINA_TIME
from tests.conformance.core import DOCUMENTED, OPEN, RECORDED, Facts, NotObservedError, Observation
from tests.conformance.service.visit import Visit
from tests.conformance.service.wire import Exchange

FACTS = Facts()

_MODEL = "model page"
_TASKS = "task-management page"
_SUBMIT = "cnblogs/dashscope-sdk, image-generation"
_RUNNING = "cnblogs/dashscope-sdk, get-task-running"
_SUCCESS = "cnblogs/dashscope-sdk, get-task-image-generation-success"

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
_SECONDS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_KEYS = {
    "task_id", "task_status", "submit_time", "scheduled_time", "end_time", "start_time", "error_message", "error_code",
    "style_index", "results",
}  # fmt: skip


def _submitted(visit: Visit) -> Exchange:
    """The answer to a submission that was accepted."""
    if visit.submitted.status != 200:
        raise NotObservedError(f"the submission was refused: {visit.submitted.refusal}")
    return visit.submitted


@FACTS.add(
    "submit-answer",
    "a submission is answered with output.task_id, output.task_status PENDING and request_id",
    RECORDED,
    _SUBMIT,
)
def _(visit: Visit) -> Observation:
    body = _submitted(visit).body
    keys = sorted([*body["output"], *(body.keys() - {"output"})])
    return Observation(
        body["output"]["task_status"] == "PENDING" and keys == ["request_id", "task_id", "task_status"],
        f"{', '.join(keys)}; {body['output']['task_status']}",
    )


@FACTS.add("ids", "task_id and request_id are UUIDs, and different", RECORDED, _SUBMIT)
def _(visit: Visit) -> Observation:
    body = _submitted(visit).body
    ids = (body["output"]["task_id"], body["request_id"])
    fit = [_UUID.fullmatch(each) is not None for each in ids]
    return Observation(all(fit) and ids[0] != ids[1], f"UUIDs: {fit}")


@FACTS.add(
    "submit-headers",
    "answers to submissions carry x-dashscope-call-gateway, req-cost-time, req-arrive-time and resp-start-time",
    RECORDED,
    _SUBMIT,
)
def _(visit: Visit) -> Observation:
    headers = _submitted(visit).headers
    numbers = [headers.get(name, "") for name in ("req-cost-time", "req-arrive-time", "resp-start-time")]
    return Observation(
        headers.get("x-dashscope-call-gateway") == "true" and all(each.isdigit() for each in numbers),
        f"gateway {headers.get('x-dashscope-call-gateway')}, cost {numbers[0] or 'not told'} ms",
    )


@FACTS.add(
    "no-rate-headers",
    "answers have no header about rate limits",
    RECORDED,
    "cnblogs/dashscope-sdk, all recordings",
)
def _(visit: Visit) -> Observation:
    names = [name for name in _submitted(visit).headers if "ratelimit" in name.replace("-", "").lower()]
    return Observation(not names, ", ".join(names) or "none")


@FACTS.add(
    "known-at-once",
    "a task is known right after its submission, and not UNKNOWN",
    OPEN,
    "no recording",
    point="unknown-at-first",
)
def _(visit: Visit) -> Observation:
    seen = [track.first for track in visit.queue.tracks if not track.refused]
    first = [look.output["task_status"] for look in seen]
    return Observation("UNKNOWN" not in first, f"first looks: {', '.join(first)}")


@FACTS.add(
    "pending-look",
    "a task that waits is PENDING, has a submit_time, and neither scheduled_time nor end_time",
    DOCUMENTED,
    _TASKS,
)
def _(visit: Visit) -> Observation:
    output = visit.queue.second.look("PENDING").output
    return Observation(
        "submit_time" in output and not {"scheduled_time", "end_time"} & output.keys(), ", ".join(output)
    )


@FACTS.add(
    "running-look", "a task that runs has submit_time and scheduled_time, and no end_time", RECORDED, _RUNNING
)
def _(visit: Visit) -> Observation:
    output = _running(visit).output
    return Observation(
        {"submit_time", "scheduled_time"} <= output.keys() and "end_time" not in output, ", ".join(output)
    )


@FACTS.add(
    "running-metrics",
    "task_metrics of a task that runs count it as a success already, as the page's sample shows: they do not tell its end",
    DOCUMENTED,
    _MODEL,
)
def _(visit: Visit) -> Observation:
    metrics = _running(visit).output["task_metrics"]
    return Observation(metrics.get("TOTAL") == 1 and metrics.get("SUCCEEDED") == 1, f"{metrics}")


@FACTS.add(
    "success-keys",
    "the answer about a portrait has the ten recorded fields and no task_metrics",
    RECORDED,
    _SUCCESS,
)
def _(visit: Visit) -> Observation:
    keys = visit.success.output.keys()
    missing, more = sorted(_KEYS - keys), sorted(keys - _KEYS)
    seen = "; ".join(
        f"{word} {', '.join(names)}" for word, names in (("without", missing), ("also", more)) if names
    )
    return Observation(not missing and "task_metrics" not in more, seen or "these ten")


@FACTS.add(
    "success-error-fields",
    "a portrait that succeeded has error_code 0 and error_message Success",
    RECORDED,
    _SUCCESS,
)
def _(visit: Visit) -> Observation:
    output = visit.success.output
    seen = (output["error_code"], output["error_message"])
    return Observation(seen == (0, "Success"), f"{seen[0]}, {seen[1]}")


@FACTS.add("success-style", "it names its style", RECORDED, _SUCCESS)
def _(visit: Visit) -> Observation:
    style = visit.success.output["style_index"]
    return Observation(style == 3, f"style_index {style!r}")


@FACTS.add("usage", "usage is image_count 1, beside the output", RECORDED, _SUCCESS)
def _(visit: Visit) -> Observation:
    usage = visit.success.body["usage"]
    return Observation(usage == {"image_count": 1}, f"{usage}")


@FACTS.add(
    "time-formats",
    "submit_time and scheduled_time have milliseconds, start_time and end_time have none",
    RECORDED,
    _SUCCESS,
)
def _(visit: Visit) -> Observation:
    output = visit.success.output
    forms = {name: output[name] for name in ("submit_time", "scheduled_time", "start_time", "end_time")}
    fine = all(_MILLISECONDS.fullmatch(forms[name]) for name in ("submit_time", "scheduled_time"))
    coarse = all(_SECONDS.fullmatch(forms[name]) for name in ("start_time", "end_time"))
    digits = ", ".join(f"{name} {len(text.partition('.')[2])}" for name, text in forms.items())
    return Observation(fine and coarse, f"digits of a second: {digits}")


@FACTS.add("time-zone", "times without a zone are China time (UTC+8)", RECORDED, _SUCCESS, point="time-zone")
def _(visit: Visit) -> Observation:
    submitted = _submitted(visit)
    text = visit.success.output["submit_time"]
    told = datetime.fromisoformat(text).replace(tzinfo=CHINA_TIME).timestamp()
    hours = (told - submitted.date) / 3600
    return Observation(abs(hours) < 1 / 60, f"UTC{8 + hours:+.1f}")


@FACTS.add("times-in-order", "submit_time, scheduled_time and end_time follow each other", RECORDED, _SUCCESS)
def _(visit: Visit) -> Observation:
    output = visit.success.output
    submitted, scheduled, ended = (
        datetime.fromisoformat(output[name]).replace(microsecond=0)
        for name in ("submit_time", "scheduled_time", "end_time")
    )
    waited, ran = (scheduled - submitted).total_seconds(), (ended - scheduled).total_seconds()
    return Observation(waited >= 0 and ran >= 0, f"waited {waited:.0f} s, ran {ran:.0f} s")


@FACTS.add(
    "statuses",
    "there are no states but PENDING, RUNNING, SUSPENDED, SUCCEEDED, FAILED, CANCELED and UNKNOWN",
    OPEN,
    "task-management page, official SDK",
    point="new-states",
)
def _(visit: Visit) -> Observation:
    visit.queue  # noqa: B018 - there have to be tasks
    seen = {look.output["task_status"] for track in visit.tracks for look in track.looks}
    return Observation(seen <= set(TaskStatus.__members__), ", ".join(sorted(seen)))


@FACTS.add(
    "status-order", "a task goes from PENDING over RUNNING to SUCCEEDED and never back", DOCUMENTED, _TASKS
)
def _(visit: Visit) -> Observation:
    visit.queue.second.look("SUCCEEDED")
    passed = [look.output["task_status"] for look in visit.queue.second.looks]
    order = ["PENDING", "RUNNING", "SUCCEEDED"]
    return Observation(
        all(each in order for each in passed) and passed == sorted(passed, key=order.index),
        ", ".join(dict.fromkeys(passed)),
    )


@FACTS.add(
    "queued-not-refused",
    "a submission during another task's run is accepted, and waits",
    DOCUMENTED,
    "rate-limit page, of similar models",
)
def _(visit: Visit) -> Observation:
    second = visit.queue.second
    if "Throttling" in second.refused:
        return Observation(False, second.refused)
    waiting = second.first.output["task_status"]
    return Observation(waiting == "PENDING", f"the second of two was {waiting}")


@FACTS.add(
    "one-at-a-time", "one task runs at a time: the second begins when the first has ended", DOCUMENTED, _MODEL
)
def _(visit: Visit) -> Observation:
    ended = datetime.fromisoformat(visit.success.output["end_time"])
    began = datetime.fromisoformat(visit.queue.second.look("SUCCEEDED").output["scheduled_time"])
    gap = (began - ended).total_seconds()
    # The end is told without milliseconds.
    return Observation(gap >= -1, f"{gap:+.1f} seconds after the end of the first")


@FACTS.add(
    "failed-look",
    "a task that failed is answered with HTTP 200, its code and message in output, not beside it",
    DOCUMENTED,
    _MODEL,
)
def _(visit: Visit) -> Observation:
    seen = visit.failed
    output = seen.output
    return Observation(
        seen.status == 200 and bool(output["code"]) and bool(output["message"]) and "code" not in seen.body,
        f"HTTP {seen.status}, output.code {output['code']}",
    )


@FACTS.add(
    "failed-usage", "a task that failed counts 0 images, as image_count or image_num", DOCUMENTED, _MODEL
)
def _(visit: Visit) -> Observation:
    usage = visit.failed.body["usage"]
    return Observation(usage in ({"image_count": 0}, {"image_num": 0}), f"{usage}")


@FACTS.add("failed-times", "a task that failed has submit_time and end_time", DOCUMENTED, _MODEL)
def _(visit: Visit) -> Observation:
    output = visit.failed.output
    return Observation({"submit_time", "end_time"} <= output.keys(), ", ".join(output))


@FACTS.add("still-served", "the model is not retired", OPEN, "model page", point="retirement")
def _(visit: Visit) -> Observation:
    seen = visit.submitted
    return Observation(
        seen.status == 200, "a submission was accepted" if seen.status == 200 else seen.refusal
    )


def _running(visit: Visit) -> Exchange:
    queue = visit.queue
    for track in (queue.first, queue.second):
        try:
            return track.look("RUNNING")
        except NotObservedError:
            continue
    raise NotObservedError("no task was ever seen RUNNING")
