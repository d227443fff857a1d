"""A service, and a network, that fail."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import Fault, add, fault

_GATEWAY_PAGE = b"<html><head><title>504 Gateway Time-out</title></head><body>nginx</body></html>"


_EVERYWHERE = "first answer to the POST, first two to the poller, first to the download: "


def _everywhere(case: Case, *, dag_id: str = "chain", **trouble: Any) -> None:
    """Let the submission, the wait and the download meet the same trouble."""
    for endpoint, times in (("submit", 1), ("get_task", 2), ("result", 1)):
        case.simulator.add_fault(endpoint=endpoint, times=times, **trouble)
    case.start(dag_id).ends("success")


@fault("Nothing", injected="nothing: a task that ends as SUCCEEDED")
def nothing(case: Case) -> None:
    case.start("chain").ends("success")


for _status in (500, 502, 503, 504):
    add(
        Fault(
            id=f"status_{_status}",
            title=f"HTTP {_status}",
            injected=f"{_EVERYWHERE}{_status} with the service's own error",
            play=partial(_everywhere, kind="status", status=_status),
        )
    )


@fault("HTTP 502 from a gateway", injected=f"{_EVERYWHERE}502 with an HTML page")
def gateway_page(case: Case) -> None:
    _everywhere(case, kind="garbage", status=502)


@fault(
    "HTTP 504 from a gateway, and the service has done it",
    injected="a proxy passes the POST on and answers 504 itself",
    proxied=True,
)
def gateway_timeout_after_work(case: Case) -> None:
    case.proxy.add(method="POST", path="/services/", status=504, body=_GATEWAY_PAGE, after_work=True, times=1)
    case.start("chain").ends("success")


@fault("Connection reset", injected=f"{_EVERYWHERE}a TCP reset before anything is done")
def connection_reset(case: Case) -> None:
    _everywhere(case, kind="reset")


@fault("Stall of 10 s", injected=f"{_EVERYWHERE}10 s late")
def stall(case: Case) -> None:
    _everywhere(case, kind="delay", seconds=10)


@fault(
    "Stall of 10 s, given up after 4 s",
    injected="the POST is accepted 10 s after it came, its connection has timeout=4",
    connection={"timeout": 4},
)
def stall_given_up(case: Case) -> None:
    case.simulator.add_fault(endpoint="submit", kind="delay", seconds=10, times=1)
    case.start("chain").ends("success")


@fault(
    "Truncated answers",
    injected="the work is done, half of the answer sent: to the POST once, to the poller twice",
)
def truncated(case: Case) -> None:
    case.simulator.add_fault(endpoint="submit", kind="truncate", times=1)
    case.simulator.add_fault(endpoint="get_task", kind="truncate", times=2)
    case.start("chain").ends("success")


@fault("Garbage", injected=f"{_EVERYWHERE}200 with HTML in broken UTF-8")
def garbage(case: Case) -> None:
    _everywhere(case, kind="garbage")


@fault("Empty answers", injected=f"{_EVERYWHERE}200 without a body")
def empty(case: Case) -> None:
    _everywhere(case, kind="empty")


@fault("Answer to the POST lost", injected="the task is made, then the connection is dropped without a byte")
def answer_lost(case: Case) -> None:
    case.simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    case.start("chain").ends("success")


@fault(
    "Answer to the POST lost, task list failing",
    injected="as before, and the first three looks into the task list are answered with 503",
)
def answer_lost_list_failing(case: Case) -> None:
    case.simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    case.simulator.add_fault(endpoint="list_tasks", kind="status", status=503, times=3)
    case.start("chain").ends("success")


@fault(
    "Answer to the POST lost, task list behind",
    injected="as before, and the task list lags 3 s",
    service=("--duration", "2", "--list-delay", "3"),
)
def answer_lost_list_behind(case: Case) -> None:
    case.simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    case.start("chain").ends("success")


@fault(
    "Answer to the POST lost, others submit too",
    injected="as before, with somebody else's task of the same model within the same minute; on_unconfirmed_submit='fail'",
    objects=0,
    failure=r"submit: AirflowFailException: The answer to a submission was lost.*on_unconfirmed_submit='resubmit'",
)
def unconfirmed_fail(case: Case) -> None:
    case.submit_as_stranger()
    case.simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    case.start("chain").ends("failed")


@fault(
    "Answer to the POST lost, others submit too, paying twice allowed",
    injected="as before; on_unconfirmed_submit='resubmit'",
    submissions=2,
    allowed=2,
    billed=2,
)
def unconfirmed_resubmit(case: Case) -> None:
    case.submit_as_stranger()
    case.simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    case.start("chain_resubmit").ends("success")


@fault(
    "Storm of 429 for 2 minutes",
    injected="every POST and every look is answered with 429 for 120 s, to one image being submitted and one being waited for",
    images=2,
    billed=2,
    objects=2,
    slow=True,
)
def storm(case: Case) -> None:
    case.hold()
    waiting = case.start("chain")
    waiting.reaches("wait", "deferred")
    for endpoint in ("submit", "get_task"):
        case.simulator.add_fault(endpoint=endpoint, kind="status", status=429, for_seconds=120)
    submitting = case.start("chain")
    case.until(lambda: len(case.tasks()) == 2, what="the second image to be accepted")
    for _ in range(2):
        case.release()
    waiting.ends("success")
    submitting.ends("success")


@fault("UNKNOWN just after the submission", injected="the first three looks at the task are answered UNKNOWN")
def unknown_at_first(case: Case) -> None:
    case.simulator.add_fault(endpoint="get_task", kind="unknown", times=3)
    case.start("chain").ends("success")


@fault(
    "Task ends as FAILED",
    injected="the job fails with InternalError.Algo",
    billed=0,
    objects=0,
    failure=r"wait: AirflowFailException: .*InternalError\.Algo.*not billed\. To submit again, clear the Airflow task submit,",
)
def task_failed(case: Case) -> None:
    case.simulator.add_fault(endpoint="job", kind="outcome", outcome="FAILED")
    case.start("chain").ends("failed")


@fault(
    "Task ends as FAILED by a content rule",
    injected="the job fails with DataInspectionFailed, its message quotes a signed URL and the API key",
    billed=0,
    objects=0,
    failure=r"wait: AirflowFailException: .*FAILED.*DataInspectionFailed.*not billed",
)
def task_refused(case: Case) -> None:
    case.simulator.add_fault(
        endpoint="job",
        kind="outcome",
        outcome="FAILED",
        code="DataInspectionFailed",
        message=f"Input {case.signed_url()} of key {case.place.key} may contain inappropriate content.",
    )
    case.start("chain").ends("failed")


@fault(
    "Task ends as FAILED, operator with retries",
    injected="the first job fails with InternalError.Algo, which costs nothing; the operator waits itself and has retries",
    submissions=2,
    allowed=2,
)
def task_failed_then_retried(case: Case) -> None:
    case.simulator.add_fault(endpoint="job", kind="outcome", outcome="FAILED", times=1)
    case.start("alone").ends("success")


@fault(
    "Task ends as CANCELED",
    injected="the job is canceled by the service",
    billed=0,
    objects=0,
    failure=r"wait: AirflowFailException: .*CANCELED.*not billed",
)
def task_canceled(case: Case) -> None:
    case.simulator.add_fault(endpoint="job", kind="outcome", outcome="CANCELED")
    case.start("chain").ends("failed")


@fault(
    "Task ends as UNKNOWN",
    injected="the job ends as UNKNOWN",
    billed=0,
    objects=0,
    failure=r"wait: AirflowFailException: .*UNKNOWN.*does not know this id",
)
def task_unknown(case: Case) -> None:
    case.simulator.add_fault(endpoint="job", kind="outcome", outcome="UNKNOWN")
    case.start("chain").ends("failed")


@fault("Task succeeds in part", injected="the job has one good result and one failed one")
def task_partial(case: Case) -> None:
    case.simulator.add_fault(endpoint="job", kind="outcome", outcome="PARTIAL")
    case.start("chain").ends("success")


@fault(
    "Task expired",
    injected="the service's clock is set 25 hours forward while the task is waited for",
    objects=0,
    failure=r"wait: AirflowFailException: .*UNKNOWN.*deleted 24 hours after",
)
def task_expired(case: Case) -> None:
    case.hold()
    run = case.start("chain")
    run.reaches("wait", "deferred")
    case.simulator.advance(25 * 3600)
    run.ends("failed")


@fault(
    "Result URL expired",
    injected="URLs work for 4 s, and the first download is answered after 8 s",
    service=("--duration", "2", "--url-lifetime", "4"),
)
def url_expired(case: Case) -> None:
    case.simulator.add_fault(endpoint="result", kind="delay", seconds=8, times=1)
    case.start("chain").ends("success")


@fault("Download truncated", injected="the first two downloads end after half of the bytes")
def download_truncated(case: Case) -> None:
    case.simulator.add_fault(endpoint="result", kind="truncate", times=2)
    case.start("chain").ends("success")


@fault(
    "API key refused",
    injected="401 to the POST, with a message that quotes the key",
    submissions=0,
    billed=0,
    objects=0,
    failure=r"submit: AirflowFailException: .*InvalidApiKey.*HTTP 401",
)
def key_refused(case: Case) -> None:
    message = f"Incorrect API key provided: {case.place.key}."
    case.simulator.add_fault(endpoint="submit", kind="status", status=401, message=message)
    case.start("chain").ends("failed")


@fault(
    "API key rotated during a wait",
    injected="the connection gets a new key, then the service refuses the old one",
    stored=True,
)
def key_rotated(case: Case) -> None:
    case.hold()
    run = case.start("chain")
    run.reaches("wait", "deferred")
    case.until(lambda: case.looks() >= 2, what="the poller to look")
    case.rotate_key()
    looks = case.looks(well=True)
    case.until(lambda: case.looks(well=True) > looks, what="the poller to look with the new key")
    case.release()
    run.ends("success")
