"""What all endpoints read and answer alike."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from airflow_provider_wanx.simulator.errors import invalid_parameter


def base_url(request: Request) -> str:
    """Return the address under which the client reached this server."""
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def answer(content: dict[str, Any], *, status: int = 200) -> JSONResponse:
    """Make a JSON answer with a request id of its own."""
    request_id = content.setdefault("request_id", str(uuid.uuid4()))
    headers = {"x-request-id": request_id, "x-dashscope-call-gateway": "true"}
    return JSONResponse(content, status_code=status, headers=headers)


def positive(text: str | None, name: str, *, default: int) -> int:
    """Read a number of the query.

    :param text: what was given.
    :param name: its parameter.
    :param default: for a parameter that is missing or empty.
    :raises ServiceError: it is no positive integer.
    """
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise invalid_parameter(f"{name} must be a positive integer.")
    return int(text)
