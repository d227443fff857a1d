"""What is refused, and in which words. Nothing here can end in a picture, so nothing costs anything."""

from __future__ import annotations

from tests.conformance.core import DOCUMENTED, OPEN, RECORDED, Facts, NotObservedError, Observation
from tests.conformance.service import pictures
from tests.conformance.service.visit import Visit
from tests.conformance.service.wire import ASYNC, Exchange

FACTS = Facts()

_ERRORS = "error-code page"
_MODEL = "model page"
_BAD = {"image_url": pictures.NOWHERE, "style_index": 3}


def _refused(seen: Exchange, status: int, code: str, words: str = "") -> Observation:
    body = seen.body
    return Observation(
        seen.status == status and body["code"] == code and words in body["message"], seen.refusal
    )


@FACTS.add("error-envelope", "an error is a JSON object of code, message and request_id", DOCUMENTED, _MODEL)
def _(visit: Visit) -> Observation:
    body = visit.wire.send("GET", "/tasks", key="sk-conformance-no-such-key").body
    texts = all(isinstance(body.get(name), str) for name in ("code", "message", "request_id"))
    return Observation(texts and "output" not in body, f"{', '.join(sorted(body))}")


@FACTS.add(
    "wrong-key",
    "a wrong key is refused with HTTP 401 InvalidApiKey “Invalid API-key provided.”",
    RECORDED,
    "cnblogs/dashscope-sdk, auth-error",
)
def _(visit: Visit) -> Observation:
    seen = visit.wire.send("GET", "/tasks", key="sk-conformance-no-such-key")
    return _refused(seen, 401, "InvalidApiKey", "Invalid API-key provided.")


@FACTS.add("no-key", "a request without a key is refused with HTTP 401", DOCUMENTED, _MODEL)
def _(visit: Visit) -> Observation:
    seen = visit.wire.send("GET", "/tasks", key=None)
    return Observation(seen.status == 401, seen.refusal)


@FACTS.add(
    "wrong-workspace",
    "a workspace that the account does not have is refused with HTTP 401 NOT AUTHORIZED",
    DOCUMENTED,
    _ERRORS,
)
def _(visit: Visit) -> Observation:
    seen = visit.wire.send("GET", "/tasks", headers={"X-DashScope-WorkSpace": "ws-conformance-none"})
    return _refused(seen, 401, "NOT AUTHORIZED")


@FACTS.add(
    "no-async-header",
    "a submission without X-DashScope-Async is refused with HTTP 403 AccessDenied, “does not support synchronous calls”",
    DOCUMENTED,
    _ERRORS,
)
def _(visit: Visit) -> Observation:
    return _refused(
        visit.refused(_BAD, headers={}), 403, "AccessDenied", "does not support synchronous calls"
    )


@FACTS.add(
    "content-type", "a submission that is not declared as JSON is refused with HTTP 4xx", DOCUMENTED, _MODEL
)
def _(visit: Visit) -> Observation:
    seen = visit.refused(_BAD, headers={**ASYNC, "Content-Type": "text/plain"})
    return Observation(400 <= seen.status < 500, seen.refusal)


@FACTS.add(
    "no-json",
    "a submission that is no JSON is refused with HTTP 400 and a code BadRequest.…",
    DOCUMENTED,
    _ERRORS,
)
def _(visit: Visit) -> Observation:
    seen = visit.refused(None, content=b'{"model": ')
    return Observation(seen.status == 400 and seen.body["code"].startswith("BadRequest."), seen.refusal)


@FACTS.add(
    "no-model",
    "a submission without a model is refused with HTTP 400 BadRequest.EmptyModel",
    DOCUMENTED,
    _ERRORS,
)
def _(visit: Visit) -> Observation:
    return _refused(visit.refused(_BAD, model=None), 400, "BadRequest.EmptyModel")


@FACTS.add(
    "no-input",
    "a submission without input is refused with HTTP 400 BadRequest.EmptyInput",
    DOCUMENTED,
    _ERRORS,
)
def _(visit: Visit) -> Observation:
    return _refused(visit.refused(None), 400, "BadRequest.EmptyInput")


@FACTS.add(
    "unknown-model",
    "an unknown model is refused with HTTP 404 ModelNotFound (documented), or 404 or 400 InvalidParameter (recorded)",
    DOCUMENTED,
    _ERRORS,
)
def _(visit: Visit) -> Observation:
    seen = visit.refused(_BAD, model="wanx-style-repaint-v0")
    known = ((404, "ModelNotFound"), (404, "InvalidParameter"), (400, "InvalidParameter"))
    return Observation((seen.status, seen.body["code"]) in known, seen.refusal)


def _refused_for_itself(visit: Visit, given: dict[str, object]) -> Observation:
    """Submit input that is wrong in itself; its picture cannot be had either, so that it costs nothing."""
    seen = visit.refused(given)
    if seen.status == 200:
        task = visit.end(visit.follow(seen)).looks[-1].output
        if str(task.get("code", "")).startswith("InvalidURL"):
            raise NotObservedError("the submission was accepted, and its picture was looked at first")
        return Observation(
            task["task_status"] == "FAILED", f"the task: {task['task_status']} {task.get('code')}"
        )
    return Observation(400 <= seen.status < 500, seen.refusal)


@FACTS.add("image-url-required", "input.image_url is required", DOCUMENTED, _MODEL)
def _(visit: Visit) -> Observation:
    return _refused_for_itself(visit, {"style_index": 3})


@FACTS.add("style-required", "input.style_index is required", DOCUMENTED, _MODEL)
def _(visit: Visit) -> Observation:
    return _refused_for_itself(visit, {"image_url": pictures.NOWHERE})


@FACTS.add(
    "style-numbers",
    "styles are -1, 0 to 9, 14, 15 and 30 to 40: 12 is refused",
    DOCUMENTED,
    "model page, newest",
)
def _(visit: Visit) -> Observation:
    return _refused_for_itself(visit, {"image_url": pictures.NOWHERE, "style_index": 12})


@FACTS.add(
    "style-reference-required",
    "style -1 is refused without input.style_ref_url",
    DOCUMENTED,
    "model page, newest",
)
def _(visit: Visit) -> Observation:
    return _refused_for_itself(visit, {"image_url": pictures.NOWHERE, "style_index": -1})


@FACTS.add(
    "unknown-task",
    "an id that does not exist is answered with HTTP 200, its echo and UNKNOWN, without a reason",
    RECORDED,
    "cnblogs/dashscope-sdk, get-task-unknown",
    point="unknown-task",
)
def _(visit: Visit) -> Observation:
    seen = visit.unknown_task
    output = seen.output
    bare = not {"code", "message"} & (seen.body.keys() | output.keys())
    same = output["task_id"] == visit.nobody
    return Observation(
        seen.status == 200 and bare and same and output["task_status"] == "UNKNOWN",
        f"HTTP {seen.status}, {output['task_status']}, {'without' if bare else 'with'} a reason",
    )


@FACTS.add(
    "cancel-unknown",
    "cancelling an unknown id is refused with UnsupportedOperation, or with words about the state PENDING",
    OPEN,
    "no document",
    point="cancel-unknown",
)
def _(visit: Visit) -> Observation:
    seen = visit.wire.cancel(visit.nobody)
    body = seen.body
    told = seen.status >= 400 and (body["code"] == "UnsupportedOperation" or "PENDING" in body["message"])
    return Observation(told, seen.refusal)


@FACTS.add(
    "wrong-span",
    "a list request for more than 24 hours is refused with code and message at the top level",
    DOCUMENTED,
    "task-management page",
)
def _(visit: Visit) -> Observation:
    seen = visit.wire.list(start_time="20240101000000", end_time="20240103000000")
    return Observation(400 <= seen.status < 500 and bool(seen.body["code"]), seen.refusal)
