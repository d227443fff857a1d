"""Workers that die."""

from __future__ import annotations

from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import fault


@fault(
    "Worker killed before the POST",
    injected="SIGKILL to the task's process, between the intent's record and the request",
)
def killed_before_post(case: Case) -> None:
    case.order("before_post")
    run = case.start("chain")
    run.ends("success")
    run.tried_again("submit")


@fault(
    "Worker killed between POST and record",
    injected="SIGKILL to the task's process, between the service's answer and its record",
)
def killed_after_post(case: Case) -> None:
    case.order("after_post")
    run = case.start("chain")
    run.ends("success")
    run.tried_again("submit")


@fault(
    "Worker killed between POST and record, one of five mapped",
    injected="SIGKILL to the process of one of five mapped copies that submit in the same seconds",
    images=5,
    billed=5,
    objects=5,
)
def killed_after_post_mapped(case: Case) -> None:
    case.order("after_post")
    run = case.start("many", count=5, people=5)
    run.ends("success")


@fault(
    "Worker killed after the record",
    injected="SIGKILL to the task's process, right after the id was recorded",
)
def killed_after_record(case: Case) -> None:
    case.order("after_record")
    run = case.start("chain")
    run.ends("success")
    run.tried_again("submit")


@fault(
    "Worker killed during the resume",
    injected="SIGKILL to the task's process, after the trigger's event was read and before the task has ended",
)
def killed_in_resume(case: Case) -> None:
    case.order("in_resume")
    run = case.start("alone")
    run.ends("success")
    run.tried_again("repaint")


@fault(
    "Worker killed during the copy",
    injected="SIGKILL to the task's process, with a part of the result read and none of it in S3",
)
def killed_in_copy(case: Case) -> None:
    case.order("in_copy")
    run = case.start("chain")
    run.ends("success")
    run.tried_again("copy")


@fault(
    "Worker killed after the copy",
    injected="SIGKILL to the task's process, with the object written and the task not yet ended",
)
def killed_after_copy(case: Case) -> None:
    case.order("after_upload")
    run = case.start("chain")
    run.ends("success")
    run.tried_again("copy")


@fault(
    "Worker killed while S3 receives the object",
    injected="SIGKILL to the task's process while a proxy holds back the PUT for 6 s",
    failing_s3=True,
)
def killed_in_upload(case: Case) -> None:
    trouble = case.s3_proxy.add(method="PUT", path="/killed_in_upload/", delay=6, times=1)
    run = case.start("chain")
    case.until(lambda: bool(trouble.struck), what="the PUT to arrive")
    run.kill(run.reaches("copy", "running"))
    run.ends("success")
    run.tried_again("copy")


@fault(
    "Whole worker lost between POST and record",
    injected="SIGKILL to supervisor and task's process at once; nobody reports, the missing heartbeat tells after 45 s",
    slow=True,
)
def worker_lost_after_post(case: Case) -> None:
    case.order("after_post", "worker")
    run = case.start("chain")
    run.ends("success")
    run.tried_again("submit")


@fault(
    "Worker killed while it waits itself",
    injected="SIGKILL to the task's process, which polls (deferrable=False)",
)
def killed_in_sync_wait(case: Case) -> None:
    case.hold()
    run = case.start("alone_sync")
    case.until(lambda: case.looks() >= 2, what="the operator to poll")
    run.kill(run.reaches("repaint", "running"))
    run.reaches("repaint", "running", try_number=2)
    case.release()
    run.ends("success")
    run.tried_again("repaint")
