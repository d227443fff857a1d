"""Submitting a task."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_wanx.simulator.account.account import Account
from airflow_provider_wanx.simulator.account.keys import api_key_id, authorize
from airflow_provider_wanx.simulator.catalogue import find_service
from airflow_provider_wanx.simulator.endpoints.answers import answer
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_url
from airflow_provider_wanx.simulator.orders import read_model, read_order

# 10 MB of picture become 13.4 MB of base64, and a repaint may carry two.
MAX_BODY_BYTES = 32 * 1024 * 1024


async def submit(request: Request, account: Account) -> Response:
    """``POST /api/v1/services/…``"""
    account.ledger.submissions += 1
    authorize(request.headers, account)
    if request.headers.get("x-dashscope-async", "").lower() != "enable":
        raise ServiceError(
            status=403, code="AccessDenied", message="current user api does not support synchronous calls."
        )
    body = await _read_json(request)
    model, settings = read_model(body), account.settings
    service = find_service(path=request.path_params["path"], model=model, unknown=settings.unknown_model)
    rate = service.submit_rate if settings.submit_rate is None else settings.submit_rate
    account.limits.admit("submit", rate=rate, model=model)
    order = read_order(service, body)
    resolves = request.headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"
    if not resolves and any(source.startswith("oss://") for source in order.sources):
        raise invalid_url()
    if settings.inspect_on_submit:
        await account.inspect(order)
    sent = {"model": order.model, "input": body.get("input"), "parameters": body.get("parameters")}
    job = account.board.admit(
        order,
        task_id=str(uuid.uuid4()),
        request_id=str(uuid.uuid4()),
        api_key_id=api_key_id(request.headers),
        fingerprint=hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest(),
    )
    return answer(
        {"output": {"task_status": "PENDING", "task_id": job.task_id}, "request_id": job.request_id}
    )


async def _read_json(request: Request) -> Any:
    """Read the body.

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
