"""The service's own endpoints: tasks, the limits of models, uploads and results."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import uuid
from datetime import datetime
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_wanx.simulator.account import Account
from airflow_provider_wanx.simulator.catalogue import SERVICES, Service, find_service
from airflow_provider_wanx.simulator.clock import CHINA, Clock
from airflow_provider_wanx.simulator.endpoints import task_bodies
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_parameter, invalid_url
from airflow_provider_wanx.simulator.orders import read_model, read_order
from airflow_provider_wanx.simulator.queues import Status
from airflow_provider_wanx.simulator.settings import DAY, Settings

# 10 MB of picture become 13.4 MB of base64, and a repaint may carry two.
MAX_BODY_BYTES = 32 * 1024 * 1024

UPLOAD_POLICIES_PER_SECOND = 100.0
"""Of one model, as documented."""


def base_url(request: Request) -> str:
    """Return the address under which the client reached this server."""
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def answer(content: dict[str, Any], *, status: int = 200) -> JSONResponse:
    """Make a JSON answer with a request id of its own."""
    request_id = content.setdefault("request_id", str(uuid.uuid4()))
    headers = {"x-request-id": request_id, "x-dashscope-call-gateway": "true"}
    return JSONResponse(content, status_code=status, headers=headers)


async def submit(request: Request, account: Account) -> Response:
    """``POST /api/v1/services/…``"""
    if request.headers.get("x-dashscope-async", "").lower() != "enable":
        raise ServiceError("AccessDenied", "current user api does not support synchronous calls.", status=403)
    body = await _read_json(request)
    model, settings = read_model(body), account.settings
    service = find_service(path=request.path_params["path"], model=model)
    account.limits.admit("submit", rate=_submit_rate(settings, service), model=model)
    order = read_order(service, body)
    resolves = request.headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"
    if not resolves and any(source.startswith("oss://") for source in order.sources):
        raise invalid_url()
    if settings.inspect_on_submit:
        await account.inspect(order)
    sent = {"model": order.model, "input": body.get("input"), "parameters": body.get("parameters")}
    job = account.board.admit(
        order,
        api_key_id=account.key_number(request.headers),
        fingerprint=hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest(),
    )
    output = {"task_status": "PENDING", "task_id": job.task_id}
    return answer({"output": output, "request_id": job.request_id})


async def get_task(request: Request, account: Account) -> Response:
    """``GET /api/v1/tasks/{task_id}``"""
    task_id = request.path_params["task_id"]
    job = account.board.find(task_id)
    if job is None or account.clock.now() - job.submitted < account.settings.unknown_for:
        return answer({"output": task_bodies.unknown_output(task_id)})
    job.polls += 1
    urls = account.results.urls(job, base=base_url(request))
    return answer(task_bodies.task_body(job, clock=account.clock, urls=urls))


async def list_tasks(request: Request, account: Account) -> Response:
    """``GET /api/v1/tasks/``"""
    settings, query = account.settings, request.query_params
    page_no, page_size = _page(request, default=10, largest=settings.max_page_size)
    status = query.get("status") or None
    if status is not None and status not in Status.__members__:
        raise invalid_parameter(f"status must be one of {', '.join(Status)}.")
    since, until = _span(query.get("start_time"), query.get("end_time"), account.clock)
    rows, total = account.board.page(
        task_id=query.get("task_id"),
        status=status,
        model=query.get("model_name") or None,
        since=since,
        until=until,
        page_no=page_no,
        page_size=page_size,
    )
    if query.get("region", "cn-beijing") != "cn-beijing":
        rows, total = [], 0
    totals = {"total": total, "total_page": math.ceil(total / page_size)} if settings.list_totals else {}
    return answer({**totals, settings.list_key: rows, "page_no": page_no, "page_size": page_size})


async def cancel(request: Request, account: Account) -> Response:
    """``POST /api/v1/tasks/{task_id}/cancel``"""
    job = account.board.find(request.path_params["task_id"])
    # What an unknown id is told is documented nowhere; it is not PENDING either.
    if job is None or not account.board.cancel(job):
        raise ServiceError(
            "UnsupportedOperation",
            "Failed to cancel the task, please confirm if the task is in PENDING status.",
        )
    return answer({})


async def quotas(request: Request, account: Account) -> Response:
    """``GET /api/v1/quotas``, also known as ``/api/v1/models/limits``"""
    name, model = request.query_params.get("name", ""), request.query_params.get("model", "")
    found = [
        _quota(account.settings, known, service)
        for service in SERVICES
        for known in service.models
        if name in known and model in ("", known)
    ]
    return _listed(request, "quotas", found)


async def models(request: Request, account: Account) -> Response:
    """``GET /api/v1/models``"""
    ends = dict(each.split("=") for each in account.settings.model_ends)
    named = [model for service in SERVICES for model in service.models if "*" not in model]
    found: list[dict[str, Any]] = [
        {"model": model, "name": model} for model in dict.fromkeys([*named, *ends])
    ]
    for each in found:
        if each["model"] in ends:
            each["inference_offline_info"] = {"offline_time": f"{ends[each['model']]} 00:00:00"}
    return _listed(request, "models", found)


def _listed(request: Request, name: str, found: list[dict[str, Any]]) -> Response:
    page_no, page_size = _page(request, default=20, largest=200)
    shown = found[(page_no - 1) * page_size : page_no * page_size]
    return answer({"output": {"total": len(found), "page_no": page_no, "page_size": page_size, name: shown}})


def _page(request: Request, *, default: int, largest: int) -> tuple[int, int]:
    """Read which page is wanted, and how many rows it shall have at most.

    :raises ServiceError: one of them is no positive integer.
    """
    numbers = []
    for name, usual in (("page_no", 1), ("page_size", default)):
        text = request.query_params.get(name) or str(usual)
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise invalid_parameter(f"{name} must be a positive integer.")
        numbers.append(int(text))
    return numbers[0], min(numbers[1], largest)


def _submit_rate(settings: Settings, service: Service) -> float:
    # The simulator's own figures go before the documented ones.
    return service.submit_rate if settings.submit_rate is None else settings.submit_rate


def _quota(settings: Settings, model: str, service: Service) -> dict[str, Any]:
    rate = _submit_rate(settings, service)
    period = 1 if rate >= 1 or rate == 0 else math.ceil(1 / rate)
    return {
        "model": model,
        "workspace_id": settings.workspaces[0] if settings.workspaces else "",
        "model_limit": {
            "request_limit": int(rate * period) or None,
            "request_limit_period": period,
            "usage_limit": None,
            "usage_limit_field": None,
            "usage_limit_period": None,
            "async_user_queue_limit": settings.queue_limit,
            "async_user_concurrency_limit": settings.concurrency or service.concurrency,
        },
        "workspace_limit": None,
    }


async def _read_json(request: Request) -> Any:
    """Read the body.

    :raises ServiceError: it is too large, or no JSON.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ServiceError("BadRequest.TooLarge", "Payload Too Large")
    try:
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise ValueError("not declared as JSON")
        return json.loads(body)
    except ValueError as error:
        raise ServiceError("BadRequest.IllegalInput", "The input must be in JSON format.") from error


def _span(start: str | None, end: str | None, clock: Clock) -> tuple[float, float]:
    """Work out the span that a list request is about, in moments of the service's clock."""
    if not start and not end:
        return clock.moment(clock.epoch(clock.now()) - DAY), math.inf
    first = _epoch(start, "start_time") if start else _epoch(end, "end_time") - DAY
    last = _epoch(end, "end_time") if end else first + DAY
    if last < first or last - first > DAY:
        raise invalid_parameter("start_time and end_time must be in order and at most 24 hours apart.")
    # Whole seconds: the last one belongs to the span.
    return clock.moment(first), clock.moment(last + 1)


def _epoch(text: str | None, name: str) -> float:
    try:
        return datetime.strptime(text or "", "%Y%m%d%H%M%S").replace(tzinfo=CHINA).timestamp()
    except ValueError as error:
        raise invalid_parameter(f"{name} must look like 20230420000000.") from error


async def upload_policy(request: Request, account: Account) -> Response:
    """``GET /api/v1/uploads?action=getPolicy``"""
    model = request.query_params.get("model", "")
    if request.query_params.get("action") != "getPolicy" or not model:
        raise invalid_parameter("action must be getPolicy, and model must be given.")
    account.limits.admit("upload_policy", rate=UPLOAD_POLICIES_PER_SECOND, model=model)
    return answer({"data": account.uploads.grant(model=model, host=f"{base_url(request)}/oss")})


async def upload(request: Request, account: Account) -> Response:
    """``POST`` of a file to the temporary store, authorized by its policy alone."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ServiceError("MalformedPOSTRequest", "The body of your POST request is not multipart.")
    fields: dict[str, str] = {}
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                # The object store does not look at what follows the file.
                account.uploads.store(fields, await value.read())
                return Response(status_code=int(fields.get("success_action_status", "204")))
            fields[name] = value
    raise ServiceError("InvalidArgument", "POST requires exactly one file upload per request.")


async def result(request: Request, account: Account) -> Response:
    """``GET`` of a result file, authorized by its signature alone."""
    found = account.results.open(request.path_params["key"], request.query_params)
    if request.method == "GET":
        found.job.downloads += 1
        account.ledger.downloads += 1
    digest = hashlib.md5(found.item.data or b"", usedforsecurity=False).digest()
    headers = {"Content-MD5": base64.b64encode(digest).decode(), "ETag": f'"{digest.hex().upper()}"'}
    return Response(found.item.data or b"", media_type=found.item.content_type, headers=headers)
