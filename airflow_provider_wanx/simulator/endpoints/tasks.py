"""Reading, listing and cancelling tasks."""

from __future__ import annotations

import math
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_wanx.simulator.account.account import Account
from airflow_provider_wanx.simulator.account.keys import authorize
from airflow_provider_wanx.simulator.clock import CHINA, Clock
from airflow_provider_wanx.simulator.endpoints import task_bodies
from airflow_provider_wanx.simulator.endpoints.answers import answer, base_url, positive
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_parameter
from airflow_provider_wanx.simulator.tasks.job import Status

_DAY = 86_400.0


async def get_task(request: Request, account: Account) -> Response:
    """``GET /api/v1/tasks/{task_id}``"""
    authorize(request.headers, account)
    account.limits.admit("get_task", rate=account.settings.task_rate)
    task_id = request.path_params["task_id"]
    job = account.board.find(task_id)
    if job is None or account.clock.now() - job.submitted < account.settings.unknown_for:
        return answer({"output": task_bodies.unknown_output(task_id)})
    job.polls += 1
    urls = account.results.urls(job, base=base_url(request))
    return answer(task_bodies.task_body(job, clock=account.clock, urls=urls))


async def list_tasks(request: Request, account: Account) -> Response:
    """``GET /api/v1/tasks/``"""
    authorize(request.headers, account)
    account.limits.admit("list_tasks", rate=account.settings.task_rate)
    query = request.query_params
    page_no = positive(query.get("page_no"), "page_no", default=1)
    page_size = min(positive(query.get("page_size"), "page_size", default=10), account.settings.max_page_size)
    status = query.get("status") or None
    if status is not None and status not in Status.__members__:
        raise invalid_parameter(f"status must be one of {', '.join(Status)}.")
    since, until = _span(query.get("start_time"), query.get("end_time"), account.clock)
    task_id = query.get("task_id")
    if task_id is not None:
        row = account.board.row(task_id)
        rows, total = ([] if row is None else [row]), int(row is not None)
    elif query.get("region", "cn-beijing") != "cn-beijing":
        rows, total = [], 0
    else:
        rows, total = account.board.page(
            status=status,
            model=query.get("model_name") or None,
            since=since,
            until=until,
            page_no=page_no,
            page_size=page_size,
        )
    totals = {"total": total, "total_page": math.ceil(total / page_size)}
    shown = totals if account.settings.list_totals else {}
    return answer({**shown, account.settings.list_key: rows, "page_no": page_no, "page_size": page_size})


async def cancel(request: Request, account: Account) -> Response:
    """``POST /api/v1/tasks/{task_id}/cancel``"""
    authorize(request.headers, account)
    account.limits.admit("cancel", rate=account.settings.task_rate)
    job = account.board.find(request.path_params["task_id"])
    # What an unknown id is told is documented nowhere; it is not PENDING either.
    if job is None or not account.board.cancel(job):
        raise ServiceError(
            code="UnsupportedOperation",
            message="Failed to cancel the task, please confirm if the task is in PENDING status.",
        )
    return answer({})


def _span(start: str | None, end: str | None, clock: Clock) -> tuple[float, float]:
    """Work out the span that a list request is about, in moments of the service's clock."""
    if not start and not end:
        return clock.moment(clock.epoch(clock.now()) - _DAY), math.inf
    first = _epoch(start, "start_time") if start else _epoch(end, "end_time") - _DAY
    last = _epoch(end, "end_time") if end else first + _DAY
    if last < first or last - first > _DAY:
        raise invalid_parameter("start_time and end_time must be in order and at most 24 hours apart.")
    # Whole seconds: the last one belongs to the span.
    return clock.moment(first), clock.moment(last + 1)


def _epoch(text: str | None, name: str) -> float:
    try:
        return datetime.strptime(text or "", "%Y%m%d%H%M%S").replace(tzinfo=CHINA).timestamp()
    except ValueError as error:
        raise invalid_parameter(f"{name} must look like 20230420000000.") from error
