"""Which tasks can be canceled, and what comes of it."""

from __future__ import annotations

from tests.conformance.core import DOCUMENTED, RECORDED, Facts, NotObservedError, Observation
from tests.conformance.service.visit import Visit
from tests.conformance.service.wire import Exchange

FACTS = Facts()

_MODEL = "model page"
_TASKS = "task-management page"
_CANCEL = "cnblogs/dashscope-sdk, cancel-completed-task"


@FACTS.add(
    "cancel-pending",
    "cancelling a task that waits is answered with HTTP 200 and request_id alone",
    DOCUMENTED,
    _TASKS,
)
def _(visit: Visit) -> Observation:
    seen = _canceled(visit)
    return Observation(
        seen.status == 200 and set(seen.body) == {"request_id"}, f"HTTP {seen.status}: {', '.join(seen.body)}"
    )


def _canceled(visit: Visit) -> Exchange:
    """The answer to the cancellation of the third task, if that waited."""
    visit.queue.third.look("PENDING")
    if visit.queue.canceled is None:
        raise NotObservedError("nothing was canceled")
    return visit.queue.canceled


@FACTS.add("canceled", "a task that was canceled is CANCELED, with one L", DOCUMENTED, _TASKS)
def _(visit: Visit) -> Observation:
    if _canceled(visit).status != 200:
        raise NotObservedError(f"the cancellation was refused: {_canceled(visit).refusal}")
    status = visit.queue.third.looks[-1].output["task_status"]
    return Observation(status == "CANCELED", status)


@FACTS.add("canceled-free", "a task that was canceled has made nothing", DOCUMENTED, _MODEL)
def _(visit: Visit) -> Observation:
    body = visit.queue.third.look("CANCELED").body
    count = (body.get("usage") or {}).get("image_count", 0)
    return Observation(count == 0 and not body["output"].get("results"), f"image_count {count}, no results")


def _not_pending(seen: Exchange | None) -> Observation:
    if seen is None:
        raise NotObservedError("the task was never seen in that state")
    words = "Failed to cancel the task, please confirm if the task is in PENDING status."
    body = seen.body
    return Observation(
        (seen.status, body.get("code"), body.get("message")) == (400, "UnsupportedOperation", words),
        seen.refusal,
    )


@FACTS.add(
    "cancel-ended",
    "cancelling a task that has ended is refused with HTTP 400 UnsupportedOperation, “… in PENDING status.”",
    RECORDED,
    _CANCEL,
    point="cancel-ended",
)
def _(visit: Visit) -> Observation:
    return _not_pending(visit.queue.canceled_ended)


@FACTS.add("cancel-running", "cancelling a task that runs is refused likewise", DOCUMENTED, _TASKS)
def _(visit: Visit) -> Observation:
    return _not_pending(visit.queue.canceled_running)


@FACTS.add("cancel-twice", "cancelling a task a second time is refused likewise", DOCUMENTED, _TASKS)
def _(visit: Visit) -> Observation:
    if _canceled(visit).status != 200:
        raise NotObservedError(f"the first cancellation was refused: {_canceled(visit).refusal}")
    return _not_pending(visit.queue.canceled_again)
