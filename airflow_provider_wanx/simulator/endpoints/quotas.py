"""The limits of the models."""

from __future__ import annotations

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from airflow_provider_wanx.simulator.account.account import Account
from airflow_provider_wanx.simulator.account.keys import authorize
from airflow_provider_wanx.simulator.catalogue import SERVICES, Service
from airflow_provider_wanx.simulator.endpoints.answers import answer, positive
from airflow_provider_wanx.simulator.settings import Settings


async def quotas(request: Request, account: Account) -> Response:
    """``GET /api/v1/quotas``, also known as ``/api/v1/models/limits``"""
    authorize(request.headers, account)
    query = request.query_params
    name, model = query.get("name", ""), query.get("model", "")
    page_no = positive(query.get("page_no"), "page_no", default=1)
    page_size = positive(query.get("page_size"), "page_size", default=20)
    found = [
        _quota(account.settings, known, service)
        for service in SERVICES
        for known in service.models
        if name in known and model in ("", known)
    ]
    start = (page_no - 1) * page_size
    shown = found[start : start + page_size]
    return answer(
        {"output": {"total": len(found), "page_no": page_no, "page_size": page_size, "quotas": shown}}
    )


async def models(request: Request, account: Account) -> Response:
    """``GET /api/v1/models``"""
    authorize(request.headers, account)
    page_no = positive(request.query_params.get("page_no"), "page_no", default=1)
    page_size = min(positive(request.query_params.get("page_size"), "page_size", default=20), 200)
    ends = dict(each.split("=") for each in account.settings.model_ends)
    named = [model for service in SERVICES for model in service.models if "*" not in model]
    found = [
        {
            "model": model,
            "name": model,
            **(
                {"inference_offline_info": {"offline_time": f"{ends[model]} 00:00:00"}}
                if model in ends
                else {}
            ),
        }
        for model in dict.fromkeys([*named, *ends])
    ]
    start = (page_no - 1) * page_size
    shown = found[start : start + page_size]
    return answer(
        {"output": {"total": len(found), "page_no": page_no, "page_size": page_size, "models": shown}}
    )


def _quota(settings: Settings, model: str, service: Service) -> dict[str, Any]:
    # The simulator's own figures go before the documented ones.
    rate = service.submit_rate if settings.submit_rate is None else settings.submit_rate
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
