"""The service's endpoints: from a request to what it is answered."""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from datetime import datetime
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_wanx.simulator import shapes
from airflow_provider_wanx.simulator.access import api_key_id, authorize
from airflow_provider_wanx.simulator.catalogue import find_service, read_order
from airflow_provider_wanx.simulator.clock import CHINA
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_parameter, invalid_url
from airflow_provider_wanx.simulator.jobs import Status
from airflow_provider_wanx.simulator.ranges import partial_content
from airflow_provider_wanx.simulator.world import World

# 10 MB of picture become 13.4 MB of base64, and a repaint may carry two.
MAX_BODY_BYTES = 32 * 1024 * 1024

_DAY = 86_400.0


def base_url(request: Request) -> str:
    """Return the address under which the client reached this server."""
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def answer(content: dict[str, Any], *, status: int = 200) -> JSONResponse:
    """Make a JSON answer with a request id of its own."""
    request_id = content.setdefault("request_id", str(uuid.uuid4()))
    headers = {"x-request-id": request_id, "x-dashscope-call-gateway": "true"}
    return JSONResponse(content, status_code=status, headers=headers)


async def submit(request: Request, world: World) -> Response:
    """``POST /api/v1/services/…``"""
    world.ledger.submissions += 1
    authorize(request.headers, world)
    if request.headers.get("x-dashscope-async", "").lower() != "enable":
        raise ServiceError(
            status=403, code="AccessDenied", message="current user api does not support synchronous calls."
        )
    body = await read_json(request)
    path = request.path_params["path"]
    model = body.get("model") if isinstance(body, dict) else None
    if isinstance(model, str) and model:
        service = find_service(path=path, model=model)
        rate = world.settings.submit_rate
        world.admit("submit", rate=service.submit_rate if rate is None else rate, model=model)
    order = read_order(path=path, body=body)
    resolves = request.headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"
    if not resolves and any(source.startswith("oss://") for source in order.sources):
        raise invalid_url()
    if world.settings.inspect_on_submit:
        await world.inspect(order)
    sent = {"model": order.model, "input": body.get("input"), "parameters": body.get("parameters")}
    job = world.board.admit(
        order,
        task_id=str(uuid.uuid4()),
        request_id=str(uuid.uuid4()),
        api_key_id=api_key_id(request.headers),
        fingerprint=hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest(),
    )
    return answer(
        {"output": {"task_status": "PENDING", "task_id": job.task_id}, "request_id": job.request_id}
    )


async def get_task(request: Request, world: World) -> Response:
    """``GET /api/v1/tasks/{task_id}``"""
    authorize(request.headers, world)
    world.admit("get_task", rate=world.settings.task_rate)
    task_id = request.path_params["task_id"]
    job = world.board.find(task_id)
    if job is None:
        return answer({"output": shapes.unknown_output(task_id)})
    job.polls += 1
    urls = world.results.urls(job, base=base_url(request))
    content: dict[str, Any] = {"output": shapes.task_output(job, clock=world.clock, urls=urls)}
    usage = shapes.task_usage(job)
    return answer(content if usage is None else content | {"usage": usage})


async def list_tasks(request: Request, world: World) -> Response:
    """``GET /api/v1/tasks/``"""
    authorize(request.headers, world)
    world.admit("list_tasks", rate=world.settings.task_rate)
    query = request.query_params
    page_no = _positive(query.get("page_no"), "page_no", default=1)
    page_size = min(_positive(query.get("page_size"), "page_size", default=10), world.settings.max_page_size)
    status = query.get("status") or None
    if status is not None and status not in Status.__members__:
        raise invalid_parameter(f"status must be one of {', '.join(Status)}.")
    since, until = _span(query.get("start_time"), query.get("end_time"), world)
    task_id = query.get("task_id")
    if task_id is not None:
        row = world.board.row(task_id)
        rows, total = ([] if row is None else [row]), int(row is not None)
    elif query.get("region", "cn-beijing") != "cn-beijing":
        rows, total = [], 0
    else:
        page = world.board.page(
            status=status,
            model=query.get("model_name") or None,
            since=since,
            until=until,
            page_no=page_no,
            page_size=page_size,
        )
        rows, total = [dict(row) for row in page.rows], page.total
    totals = {"total": total, "total_page": math.ceil(total / page_size)}
    shown = totals if world.settings.list_totals else {}
    return answer({**shown, "data": rows, "page_no": page_no, "page_size": page_size})


async def cancel(request: Request, world: World) -> Response:
    """``POST /api/v1/tasks/{task_id}/cancel``"""
    authorize(request.headers, world)
    world.admit("cancel", rate=world.settings.task_rate)
    job = world.board.find(request.path_params["task_id"])
    # What an unknown id is told is documented nowhere; it is not PENDING either.
    if job is None or not world.board.cancel(job):
        raise ServiceError(
            code="UnsupportedOperation",
            message="Failed to cancel the task, please confirm if the task is in PENDING status.",
        )
    return answer({})


async def upload_policy(request: Request, world: World) -> Response:
    """``GET /api/v1/uploads?action=getPolicy``"""
    authorize(request.headers, world)
    model = request.query_params.get("model", "")
    if request.query_params.get("action") != "getPolicy" or not model:
        raise invalid_parameter("action must be getPolicy, and model must be given.")
    world.admit("upload_policy", rate=world.settings.upload_rate, model=model)
    return answer({"data": world.uploads.grant(model=model, host=f"{base_url(request)}/oss")})


async def upload(request: Request, world: World) -> Response:
    """``POST`` of a file to the temporary store, authorized by its policy alone."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ServiceError(
            code="MalformedPOSTRequest", message="The body of your POST request is not multipart."
        )
    fields: dict[str, str] = {}
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                # The object store does not look at what follows the file.
                world.uploads.store(fields, await value.read())
                return Response(status_code=int(fields.get("success_action_status", "204")))
            fields[name] = value
    raise ServiceError(code="InvalidArgument", message="POST requires exactly one file upload per request.")


async def quotas(request: Request, world: World) -> Response:
    """``GET /api/v1/quotas``, also known as ``/api/v1/models/limits``"""
    authorize(request.headers, world)
    query = request.query_params
    return answer(
        {
            "output": shapes.quotas(
                world.settings,
                name=query.get("name", ""),
                model=query.get("model", ""),
                page_no=_positive(query.get("page_no"), "page_no", default=1),
                page_size=_positive(query.get("page_size"), "page_size", default=20),
            )
        }
    )


async def result(request: Request, world: World) -> Response:
    """``GET`` of a result file, authorized by its signature alone."""
    found = world.results.open(request.path_params["key"], request.query_params)
    response = partial_content(found.blob, request.headers)
    if request.method == "GET" and response.status_code in (200, 206):
        found.job.downloads += 1
        world.ledger.downloads += 1
    return response


async def read_json(request: Request) -> Any:
    """Read a submission's body.

    :raises ServiceError: it is too large, or no JSON.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ServiceError(code="BadRequest.TooLarge", message="Payload Too Large")
    try:
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise ValueError("not declared as JSON")
        return json.loads(body)
    except ValueError as error:
        raise ServiceError(
            code="BadRequest.IllegalInput", message="The input must be in JSON format."
        ) from error


def _positive(text: str | None, name: str, *, default: int) -> int:
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise invalid_parameter(f"{name} must be a positive integer.")
    return int(text)


def _span(start: str | None, end: str | None, world: World) -> tuple[float, float]:
    """Work out the span that a list request is about, in moments of the service's clock."""
    clock = world.clock
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
