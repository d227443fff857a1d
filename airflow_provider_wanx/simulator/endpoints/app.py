"""The application: routes, and the faults that come between them and the endpoints."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from html import escape

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from airflow_provider_wanx.simulator.account.account import Account
from airflow_provider_wanx.simulator.endpoints import control, files, page, submission, tasks
from airflow_provider_wanx.simulator.endpoints.answers import answer
from airflow_provider_wanx.simulator.endpoints.quotas import models, quotas
from airflow_provider_wanx.simulator.endpoints.site import Site
from airflow_provider_wanx.simulator.endpoints.task_bodies import unknown_output
from airflow_provider_wanx.simulator.endpoints.visitors import NoOtherPages
from airflow_provider_wanx.simulator.errors import ServiceError
from airflow_provider_wanx.simulator.faults import Endpoint, FaultOrder
from airflow_provider_wanx.simulator.settings import Settings

Handler = Callable[[Request, Account], Awaitable[Response]]

_GARBAGE = b"<html><head><title>Bad gateway</title></head><body>upstream \xff\xfe broke</body></html>"


class GuardedEndpoint:
    """An endpoint of the service, counted, and exposed to faults.

    :param name: its name in faults and ledger.
    :param handler: what it does.
    :param site: the server.
    :param xml: whether its errors are the object store's XML.
    """

    def __init__(self, name: Endpoint, handler: Handler, *, site: Site, xml: bool = False) -> None:
        self._name = name
        self._handler = handler
        self._site = site
        self._xml = xml

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        account = self._site.account
        arrived = account.clock.epoch(account.clock.now())
        tally = account.ledger.tally(self._name)
        tally.requests += 1
        fault = await self._fault(request, account)
        if fault is not None:
            tally.faults += 1
            if await self._answer_instead(fault, scope, receive, send):
                return
        try:
            response = await self._respond(request, account)
        except ClientDisconnect:
            return
        if response.status_code == 429:
            tally.refused += 1
        elif response.status_code >= 400:
            tally.errors += 1
        if not self._xml:
            response.headers.update(_times(arrived, account.clock.epoch(account.clock.now())))
        breaker = self._site.breaker
        if fault is not None and fault.kind == "lose_answer":
            await breaker.drop(scope, receive)
        elif fault is not None and fault.kind == "truncate":
            await breaker.truncate(
                scope,
                receive,
                send,
                body=bytes(response.body),
                status=response.status_code,
                headers=response.raw_headers,
            )
        else:
            await response(scope, receive, send)

    async def _fault(self, request: Request, account: Account) -> FaultOrder | None:
        if not account.faults.all():
            return None
        task_id, style, model = request.path_params.get("task_id"), None, None
        if self._name == "submit":
            # The request keeps the body, so that the handler can read it once more.
            style, model = _style_and_model(await request.body())
        job = account.board.find(task_id) if task_id else None
        if self._name == "result":
            job = account.results.owner(request.path_params["key"])
        if job is not None:
            task_id, style, model = job.task_id, job.order.style, job.order.model
        return account.faults.strike(self._name, task_id=task_id, style=style, model=model)

    async def _answer_instead(self, fault: FaultOrder, scope: Scope, receive: Receive, send: Send) -> bool:
        """Do what a fault does before the endpoint is reached; tell whether the request is done with."""
        match fault.kind:
            case "reset":
                await self._site.breaker.reset(scope, receive)
                return True
            case "delay":
                await _pause(fault.seconds, self._site.account.closing)
                return False
            case "lose_answer" | "truncate":
                return False
            case "garbage":
                response = Response(_GARBAGE, status_code=fault.status or 200, media_type="text/html")
            case "empty":
                response = Response(b"", status_code=fault.status or 200)
            case "unknown":
                output = unknown_output(str(scope["path_params"].get("task_id")))
                response = answer({"output": output})
            case _:
                error = ServiceError.of_status(fault.status or 500, code=fault.code, message=fault.message)
                response = self._refusal(error)
        response.headers.update(fault.headers)
        await response(scope, receive, send)
        return True

    async def _respond(self, request: Request, account: Account) -> Response:
        try:
            return await self._handler(request, account)
        except ServiceError as error:
            return self._refusal(error)

    def _refusal(self, error: ServiceError) -> Response:
        if not self._xml:
            return answer({"code": error.code, "message": error.message}, status=error.status)
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n'
            f"  <Code>{escape(error.code)}</Code>\n  <Message>{escape(error.message)}</Message>\n</Error>\n"
        )
        return Response(text, status_code=error.status, media_type="application/xml")


def create_app(settings: Settings) -> tuple[Starlette, Site]:
    """Make the application and the site behind it.

    :param settings: how the service behaves.
    """
    site = Site(settings=settings)

    def guarded(name: Endpoint, handler: Handler, *, xml: bool = False) -> GuardedEndpoint:
        return GuardedEndpoint(name, handler, site=site, xml=xml)

    api = "/api/v1"
    get_task = guarded("get_task", tasks.get_task)
    list_tasks = guarded("list_tasks", tasks.list_tasks)
    cancel = guarded("cancel", tasks.cancel)
    limits = guarded("quotas", quotas)
    upload = guarded("upload", files.upload, xml=True)
    routes = [
        Route(f"{api}/tasks", list_tasks, methods=["GET"]),
        Route(f"{api}/tasks/", list_tasks, methods=["GET"]),
        Route(f"{api}/tasks/{{task_id}}", get_task, methods=["GET"]),
        Route(f"{api}/tasks/{{task_id}}/", get_task, methods=["GET"]),
        Route(f"{api}/tasks/{{task_id}}/cancel", cancel, methods=["POST"]),
        # With the slash that the official SDK's asynchronous side sends.
        Route(f"{api}/tasks/{{task_id}}/cancel/", cancel, methods=["POST"]),
        Route(f"{api}/services/{{path:path}}", guarded("submit", submission.submit), methods=["POST"]),
        Route(f"{api}/uploads", guarded("upload_policy", files.upload_policy), methods=["GET"]),
        Route(f"{api}/quotas", limits, methods=["GET"]),
        Route(f"{api}/models", guarded("models", models), methods=["GET"]),
        Route(f"{api}/models/limits", limits, methods=["GET"]),
        Route("/oss", upload, methods=["POST"]),
        Route("/oss/", upload, methods=["POST"]),
        Route("/results/{key:path}", guarded("result", files.result, xml=True), methods=["GET"]),
        *page.routes(site),
        *control.routes(site),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(NoOtherPages)],
        exception_handlers={HTTPException: _refuse_address},
    )
    app.router.redirect_slashes = False
    return app, site


async def _refuse_address(_: Request, error: Exception) -> Response:
    """Answer what no route takes, an unknown address or a wrong method, as the service answers all errors."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    refusal = ServiceError.of_status(status)
    response = answer({"code": refusal.code, "message": refusal.message}, status=status)
    response.headers.update(headers or {})
    return response


def _times(arrived: float, answered: float) -> dict[str, str]:
    """Write the headers in which the service's gateway tells its times, in milliseconds."""
    first, last = int(arrived * 1000), int(answered * 1000)
    return {"req-cost-time": str(last - first), "req-arrive-time": str(first), "resp-start-time": str(last)}


def _style_and_model(body: bytes) -> tuple[int | None, str | None]:
    try:
        content = json.loads(body)
        return content["input"].get("style_index"), content.get("model")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None, None


async def _pause(seconds: float, closing: asyncio.Event) -> None:
    """Wait in real time, but not beyond the server's end."""
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return
