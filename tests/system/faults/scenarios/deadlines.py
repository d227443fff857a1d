"""Waits that take too long, in every way in which Airflow lets a user say so."""

from __future__ import annotations

from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import fault


def _ends_canceled(case: Case, dag_id: str) -> None:
    """The service has not begun with it when the time is over, so that it need not be paid."""
    case.block()
    run = case.start(dag_id)
    run.ends("failed")
    case.until(lambda: case.tasks()[0]["status"] == "CANCELED", what="the task to be canceled")


@fault(
    "Deadline, deferred",
    injected="wait_timeout=8 s, the task is still queued then; it is canceled",
    billed=0,
    objects=0,
    failure=r"repaint: AirflowException: .*had not ended at the deadline",
)
def deadline(case: Case) -> None:
    _ends_canceled(case, "alone_deadline")


@fault(
    "Deadline, on the worker",
    injected="the same with deferrable=False",
    billed=0,
    objects=0,
    failure=r"repaint: AirflowException: .*had not ended at the deadline",
)
def deadline_sync(case: Case) -> None:
    _ends_canceled(case, "alone_deadline_sync")


@fault(
    "Deadline, task running, then a retry",
    injected="wait_timeout=8 s, the task runs then and cannot be canceled; the retry goes on with it",
)
def deadline_then_retry(case: Case) -> None:
    case.hold()
    run = case.start("alone_deadline_retry")
    run.reaches("repaint", "deferred", try_number=2)
    case.release()
    run.ends("success")


@fault(
    "execution_timeout while deferred",
    injected="execution_timeout=8 s, the task is still queued then; it is canceled",
    billed=0,
    objects=0,
    failure=r"repaint: AirflowTaskTimeout: .*had not ended at the deadline",
)
def execution_timeout(case: Case) -> None:
    _ends_canceled(case, "alone_execution_timeout")


@fault(
    "Sensor's timeout",
    injected="timeout=8 s and cancel_on_kill=True, the task is still queued then; it is canceled",
    billed=0,
    objects=0,
    failure=r"wait: AirflowSensorTimeout: .*had not ended at the deadline",
)
def sensor_timeout(case: Case) -> None:
    _ends_canceled(case, "chain_timeout")


@fault(
    "Sensor's timeout with soft_fail, then cleared",
    injected="timeout=8 s skips wait and copy; both are cleared when the task has ended",
)
def soft_fail(case: Case) -> None:
    case.hold()
    run = case.start("chain_soft_fail")
    run.ends("success")
    if run.tries("copy") != ["skipped"]:
        raise AssertionError(f"copy was to be skipped: {run.states()}")
    case.release()
    run.clear("wait")
    run.ends("success")


@fault(
    "Airflow's own deferral timeout",
    injected="Airflow ends the deferral 8 s after it began, as if no triggerer were there; the queued task is canceled",
    billed=0,
    objects=0,
    failure=r"repaint: TaskDeferralTimeout",
)
def deferral_timeout(case: Case) -> None:
    _ends_canceled(case, "impatient_airflow")
