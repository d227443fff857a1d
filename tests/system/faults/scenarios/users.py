"""What people do to tasks: clear, mark, edit, copy twice; and their own code, which fails."""

from __future__ import annotations

import shutil
from datetime import timedelta

from airflow_provider_wanx.jobs.submitting.lost_submissions import QUIET_MARGIN
from tests.system.faults.support.bench import HERE
from tests.system.faults.support.case import Case, download
from tests.system.faults.support.catalogue import fault
from tests.system.faults.support.run import Run


def _status(case: Case, number: int) -> str | None:
    tasks = case.tasks()
    return tasks[number]["status"] if len(tasks) > number else None


def _wait_in_triggerer(case: Case, run: Run) -> None:
    """Airflow cancels only what a triggerer has already begun with."""
    run.reaches("repaint", "deferred")
    case.until(lambda: case.looks() > 0, what="the triggerer to begin with the wait")


def _put_picture(case: Case, number: int) -> str:
    """Put a picture to where the DAG finds it, in place of the one before; return its URL."""
    key = f"{case.fault.id}.jpg"
    picture = download(case.portrait(number))
    case.stack.s3.put(bucket="inputs", key=key, body=picture)
    return f"s3://inputs/{key}"


@fault(
    "Failure in the user's own code after the wait",
    injected="post_execute of the waiting operator raises once; the task is retried",
)
def downstream_failure(case: Case) -> None:
    case.order("after_wait", "error")
    run = case.start("alone")
    run.ends("success")
    run.tried_again("repaint")


@fault(
    "Cleared after success",
    injected="submit and everything after it is cleared once the run has ended",
    submissions=2,
    allowed=2,
    billed=2,
)
def cleared_after_success(case: Case) -> None:
    run = case.start("chain")
    run.ends("success")
    run.clear("submit")
    run.ends("success")


@fault(
    "Wait cleared after success",
    injected="the sensor and the copy after it are cleared once the run has ended",
)
def wait_cleared_after_success(case: Case) -> None:
    run = case.start("chain")
    run.ends("success")
    run.clear("wait")
    run.ends("success")


@fault(
    "Cleared while deferred, task still queued",
    injected="the operator is cleared while it is deferred; the old task is canceled, so it is not billed",
    submissions=2,
    allowed=2,
)
def cleared_while_queued(case: Case) -> None:
    case.block()
    run = case.start("alone")
    run.reaches("repaint", "deferred")
    run.clear("repaint")
    case.until(lambda: _status(case, 0) == "CANCELED", what="the first task to be canceled")
    case.until(lambda: _status(case, 1) == "PENDING", what="the second task to be made")
    case.release()
    run.ends("success")


@fault(
    "Cleared while deferred, task running",
    injected="the operator is cleared while it is deferred; a task that runs cannot be canceled",
    submissions=2,
    allowed=2,
    billed=2,
)
def cleared_while_running(case: Case) -> None:
    case.hold()
    run = case.start("alone")
    run.reaches("repaint", "deferred")
    case.until(lambda: _status(case, 0) == "RUNNING", what="the task to run")
    run.clear("repaint")
    case.until(lambda: _status(case, 1) is not None, what="the second task to be made")
    for _ in range(2):
        case.release()
    run.ends("success")


@fault(
    "Cleared after success, task state discarded",
    injected="the same as “Cleared after success”, and the clear empties the task state store",
    submissions=2,
    allowed=2,
    billed=2,
)
def discarded_after_success(case: Case) -> None:
    run = case.start("chain")
    run.ends("success")
    run.clear("submit", discard_state=True)
    run.ends("success")


@fault(
    "Cleared while deferred, task still queued, task state discarded",
    injected="the clear empties the task state store, so that only the trigger knows the old task; it cancels that",
    submissions=2,
    allowed=2,
)
def discarded_while_queued(case: Case) -> None:
    case.block()
    run = case.start("alone")
    _wait_in_triggerer(case, run)
    run.clear("repaint", discard_state=True)
    case.until(lambda: _status(case, 0) == "CANCELED", what="the first task to be canceled")
    case.until(lambda: _status(case, 1) == "PENDING", what="the second task to be made")
    case.release()
    run.ends("success")


@fault(
    "Cleared while deferred, task running, task state discarded",
    injected="the same with a task that runs and cannot be canceled",
    submissions=2,
    allowed=2,
    billed=2,
)
def discarded_while_running(case: Case) -> None:
    case.hold()
    run = case.start("alone")
    run.reaches("repaint", "deferred")
    case.until(lambda: _status(case, 0) == "RUNNING", what="the task to run")
    run.clear("repaint", discard_state=True)
    case.until(lambda: _status(case, 1) is not None, what="the second task to be made")
    for _ in range(2):
        case.release()
    run.ends("success")


@fault(
    "Cleared while deferred, task running, task state discarded, worker killed",
    injected="the same, and SIGKILL to the new try's process right after it has recorded the new id",
    submissions=2,
    allowed=2,
    billed=2,
)
def discarded_then_killed_after_record(case: Case) -> None:
    case.hold()
    run = case.start("alone")
    run.reaches("repaint", "deferred")
    case.until(lambda: _status(case, 0) == "RUNNING", what="the task to run")
    case.order("after_record")
    run.clear("repaint", discard_state=True)
    run.reaches("repaint", "deferred", try_number=3)
    for _ in range(2):
        case.release()
    run.ends("success")


@fault(
    "Cleared, task state discarded, worker killed between POST and record",
    injected="a clear empties the store over a minute after the first submission; SIGKILL to the new try's process between the "
    "service's answer and its record",
    submissions=2,
    allowed=2,
    billed=2,
    slow=True,
)
def discarded_then_killed_after_post(case: Case) -> None:
    run = case.start("chain")
    run.ends("success")
    # Until then, the old task counts as one that could be the new one.
    quiet_at = case.now() + QUIET_MARGIN + timedelta(seconds=10)
    case.until(lambda: case.now() > quiet_at, what="the first submission to be over a minute old")
    case.order("after_post")
    run.clear("submit", discard_state=True)
    run.ends("success")


@fault(
    "Cleared within a minute, task state discarded, worker killed between POST and record",
    injected="the same within a minute of the first submission, so that the old task could be the new one",
    submissions=2,
    allowed=2,
    billed=2,
    objects=0,
    failure=r"submit: AirflowFailException: The answer to a submission was lost.*2 task\(s\) of model",
)
def discarded_at_once_then_killed_after_post(case: Case) -> None:
    run = case.start("chain")
    run.reaches("wait", "deferred")
    case.order("after_post")
    run.clear("submit", discard_state=True)
    run.ends("failed")


@fault(
    "Cleared after the input changed",
    injected="the picture in S3 is replaced by another one once the run has ended, then submit is cleared",
    submissions=2,
    allowed=2,
    billed=2,
)
def cleared_after_change(case: Case) -> None:
    run = case.start("chain", image=_put_picture(case, 0))
    run.ends("success")
    _put_picture(case, 1)
    run.clear("submit")
    run.ends("success")


@fault(
    "Retried after the input changed",
    injected="the picture in S3 is replaced while the operator is deferred, then the user's code fails once",
    submissions=2,
    allowed=2,
    billed=2,
)
def retried_after_change(case: Case) -> None:
    case.hold(times=1)
    run = case.start("alone", image=_put_picture(case, 0))
    run.reaches("repaint", "deferred")
    _put_picture(case, 1)
    case.order("after_wait", "error")
    case.release()
    run.ends("success")
    run.tried_again("repaint")


@fault(
    "Marked failed while deferred",
    injected="the operator is marked failed while its task is queued; the trigger cancels that",
    billed=0,
    objects=0,
    # Nobody but the person who did it knows why.
    failure=r"repaint: \(nothing\)",
)
def marked_failed(case: Case) -> None:
    case.block()
    run = case.start("alone")
    _wait_in_triggerer(case, run)
    run.mark("repaint", "failed")
    case.until(lambda: _status(case, 0) == "CANCELED", what="the task to be canceled")
    run.ends("failed")


@fault(
    "Marked success while deferred",
    injected="the operator is marked success while its task is queued; the trigger cancels that, the copy says so",
    billed=0,
    objects=0,
    failure=r"copy: AirflowFailException: .*CANCELED.*not billed",
)
def marked_success(case: Case) -> None:
    case.block()
    run = case.start("alone")
    _wait_in_triggerer(case, run)
    run.mark("repaint", "success")
    case.until(lambda: _status(case, 0) == "CANCELED", what="the task to be canceled")
    run.ends("failed")


@fault(
    "DAG edited while deferred",
    injected="the file gets other arguments, another style and one more task while the operator is deferred",
)
def dag_edited(case: Case) -> None:
    case.hold()
    run = case.start("edited")
    run.reaches("repaint", "deferred")
    # A second try would submit the changed input, which is not what this row is about.
    case.worker_has_left(run, "repaint")
    shutil.copyfile(HERE / "edited" / "after.py", case.bench.edited_dags / "edited.py")
    case.until(lambda: case.bench.is_parsed("edited", task_id="added"), what="the new version to be parsed")
    case.release()
    run.ends("success")


@fault("Two copies at once", injected="two tasks copy the same result to the same key at the same time")
def two_copies(case: Case) -> None:
    case.start("chain_two_copies").ends("success")
