"""Retry policies, as Airflow 3.4 and later carry them out."""

from __future__ import annotations

from tests.stack import StackError
from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import fault


@fault(
    "Refused for the rate, with DashScopeRetryPolicy",
    injected="the service refuses the first submission of a task that has no retries (429, Retry-After: 5)",
    connection={"retry_for": 0},
    slow=True,
    airflow="3.4.dev0",
)
def rescheduled_for_the_rate(case: Case) -> None:
    case.simulator.add_fault(
        endpoint="submit",
        kind="status",
        status=429,
        code="Throttling.RateQuota",
        headers={"Retry-After": "5"},
        times=1,
    )
    run = case.start("chain_patient")
    run.ends("success")
    if run.tries("submit") != ["success"]:
        raise StackError(f"submit was tried more than once: {run.states()}")


@fault(
    "Hopeless input in a task of the user's own, with DashScopeRetryPolicy",
    injected="the hook is called in a @task with three retries, and the service refuses its input",
    submissions=0,
    allowed=0,
    billed=0,
    objects=0,
    failure=r"own: ApiError: Could not submit .*InvalidParameter",
    airflow="3.4.dev0",
)
def failed_at_once(case: Case) -> None:
    case.simulator.add_fault(endpoint="submit", kind="status", status=400, code="InvalidParameter")
    run = case.start("own_task")
    run.ends("failed")
    if run.tries("own") != ["failed"]:
        raise StackError(f"own was tried more than once: {run.states()}")
