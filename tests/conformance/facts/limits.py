"""What the account may do, as the service tells it and as it shows when the limits are exceeded."""

from __future__ import annotations

from tests.conformance.core import DOCUMENTED, OPEN, Facts, NotObservedError, Observation
from tests.conformance.service.bursts import Burst
from tests.conformance.service.visit import Visit
from tests.conformance.service.wire import Exchange

FACTS = Facts()

_QUOTAS = "quota page"
_TASKS = "task-management page"
_LIMITS = {
    "request_limit", "request_limit_period", "usage_limit", "usage_limit_field", "usage_limit_period",
    "async_user_queue_limit", "async_user_concurrency_limit",
}  # fmt: skip


@FACTS.add(
    "quotas-address",
    "the limits are at /quotas, or at /models/limits",
    DOCUMENTED,
    f"{_QUOTAS}, two versions",
)
def _(visit: Visit) -> Observation:
    seen = {path: visit.wire.send("GET", path).status for path in ("/quotas", "/models/limits")}
    return Observation(
        200 in seen.values(), ", ".join(f"{path}: HTTP {status}" for path, status in seen.items())
    )


@FACTS.add("quotas-shape", "output has total, page_no, page_size and quotas", DOCUMENTED, _QUOTAS)
def _(visit: Visit) -> Observation:
    output = visit.quotas.output
    return Observation(
        {"total", "page_no", "page_size", "quotas"} <= output.keys(), ", ".join(sorted(output))
    )


@FACTS.add("quotas-page", "a page has 20 models", DOCUMENTED, _QUOTAS)
def _(visit: Visit) -> Observation:
    size = visit.quotas.output["page_size"]
    return Observation(size == 20, f"page_size {size}")


@FACTS.add("quotas-model", "model shows that model only", DOCUMENTED, _QUOTAS)
def _(visit: Visit) -> Observation:
    models = [each["model"] for each in visit.quotas.output["quotas"]]
    return Observation(models == ["wanx-style-repaint-v1"], ", ".join(models[:3]) or "none")


@FACTS.add("quotas-name", "name shows models by a part of their name", DOCUMENTED, _QUOTAS)
def _(visit: Visit) -> Observation:
    path = "/quotas" if visit.wire.send("GET", "/quotas").status == 200 else "/models/limits"
    output = visit.wire.send("GET", path, params={"name": "style-repaint"}).output
    models = [each["model"] for each in output["quotas"]]
    return Observation(
        "wanx-style-repaint-v1" in models and all("style-repaint" in each for each in models),
        ", ".join(models[:3]) or "none",
    )


@FACTS.add(
    "quotas-entry", "an entry has model, workspace_id, model_limit and workspace_limit", DOCUMENTED, _QUOTAS
)
def _(visit: Visit) -> Observation:
    entry = visit.quotas.output["quotas"][0]
    missing = sorted({"model", "workspace_id", "model_limit", "workspace_limit"} - entry.keys())
    return Observation(not missing, f"without {', '.join(missing)}" if missing else "all four")


@FACTS.add("quotas-fields", "a model's limits have seven fields", DOCUMENTED, _QUOTAS)
def _(visit: Visit) -> Observation:
    missing = sorted(_LIMITS - visit.quota.keys())
    return Observation(not missing, f"without {', '.join(missing)}" if missing else "all seven")


@FACTS.add(
    "submit-limit",
    "this model's limit is 2 submissions a second",
    DOCUMENTED,
    "model page",
    point="submissions",
)
def _(visit: Visit) -> Observation:
    number, period = visit.quota["request_limit"], visit.quota["request_limit_period"]
    return Observation(number == 2 * period, f"{number} in {period} s")


@FACTS.add(
    "concurrency-limit",
    "this model's limit is one running task",
    DOCUMENTED,
    "model page",
    point="one-running",
)
def _(visit: Visit) -> Observation:
    number = visit.quota["async_user_concurrency_limit"]
    return Observation(number == 1, f"async_user_concurrency_limit {number}")


@FACTS.add("queue-length", "1,000 tasks of this model may wait", OPEN, "no document", point="queue-length")
def _(visit: Visit) -> Observation:
    number = visit.quota["async_user_queue_limit"]
    return Observation(number == 1000, f"async_user_queue_limit {number}")


def _exceeded(burst: Burst, limit: int) -> Observation:
    """Whether more than the limit were sent in a second, and some of them refused."""
    if burst.seconds > 1.0 and not burst.refused:
        raise NotObservedError(f"{len(burst.answers)} requests took {burst.seconds:.1f} seconds")
    answered = len(burst.answers) - len(burst.refused)
    seen = f"{len(burst.answers)} requests in {burst.seconds:.2f} s: {answered} answered, {len(burst.refused)} refused"
    # As many again may pass where windows turn.
    return Observation(bool(burst.refused) and answered >= limit // 2, seen)


@FACTS.add(
    "submit-rate",
    "more than 2 submissions in a second are refused with HTTP 429",
    DOCUMENTED,
    "rate-limit page",
    point="submissions",
)
def _(visit: Visit) -> Observation:
    return _exceeded(visit.submit_burst, 2)


@FACTS.add(
    "task-rate",
    "more than 20 questions about tasks in a second are refused with HTTP 429",
    DOCUMENTED,
    _TASKS,
    point="requests",
)
def _(visit: Visit) -> Observation:
    return _exceeded(visit.task_burst, 20)


@FACTS.add(
    "throttling-words",
    "they are refused with Throttling.RateQuota “Requests rate limit exceeded, please try again later.”",
    DOCUMENTED,
    _TASKS,
)
def _(visit: Visit) -> Observation:
    refused = _refused(visit.task_burst)
    body = refused[0].body
    words = "Requests rate limit exceeded, please try again later."
    return Observation((body["code"], body["message"]) == ("Throttling.RateQuota", words), refused[0].refusal)


@FACTS.add("retry-after", "a refusal has no Retry-After header", OPEN, "no document", point="retry-after")
def _(visit: Visit) -> Observation:
    values = {seen.headers.get("retry-after") for seen in _refused(visit.task_burst)} - {None}
    return Observation(
        not values, f"Retry-After: {', '.join(sorted(map(str, values)))}" if values else "none"
    )


@FACTS.add(
    "shared-limit",
    "the three task endpoints have a limit each: 15 requests to each of them in one second are all answered",
    OPEN,
    "task-management page, in two ways",
    point="shared-limit",
)
def _(visit: Visit) -> Observation:
    burst = visit.shared_burst
    if burst.seconds > 1.0 and not burst.refused:
        raise NotObservedError(f"{len(burst.answers)} requests took {burst.seconds:.1f} seconds")
    return Observation(
        not burst.refused,
        f"{len(burst.answers)} requests in {burst.seconds:.2f} s: {len(burst.refused)} refused",
    )


@FACTS.add(
    "recovery", "after a refusal, the service answers again within a minute", DOCUMENTED, "rate-limit page"
)
def _(visit: Visit) -> Observation:
    _refused(visit.task_burst)
    seen = visit.wire.send("GET", f"/tasks/{visit.nobody}")
    return Observation(seen.status == 200, f"after 1.1 seconds: HTTP {seen.status}")


def _refused(burst: Burst) -> list[Exchange]:
    if not burst.refused:
        raise NotObservedError("nothing was refused")
    return burst.refused
