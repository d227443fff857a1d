"""The application: routes, the faults that come between them and the endpoints, and who is kept out."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from html import escape
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_wanx.simulator.account import Account, Site
from airflow_provider_wanx.simulator.endpoints import control, service
from airflow_provider_wanx.simulator.endpoints.service import answer
from airflow_provider_wanx.simulator.endpoints.task_bodies import unknown_output
from airflow_provider_wanx.simulator.errors import ServiceError
from airflow_provider_wanx.simulator.faults import Endpoint, FaultOrder
from airflow_provider_wanx.simulator.settings import Settings

_NO_LINGER = struct.pack("ii", 1, 0)


class Breaker:
    """Finds the connection that a request came in on, and breaks it."""

    connections: Iterable[Any] = ()
    """The server's own collection of its open ones."""

    async def break_off(self, scope: Scope, receive: Receive, *, reset: bool = False) -> None:
        """Close the connection without a further byte, or reset it: then the client gets an RST."""
        for connection in [each for each in self.connections if each.client == scope.get("client")]:
            if reset:
                sock = connection.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                connection.transport.abort()
            connection.transport.close()
        # Until the server has noticed, so that it does not try to answer.
        while (await receive())["type"] != "http.disconnect":
            pass


_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
"""Ends of names that nobody can register on the internet."""


class NoOtherPages:
    """Refuses requests of pages that are not the simulator's own, and its controls under a name that others could own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and (problem := _problem(scope)):
            await JSONResponse({"error": problem}, status_code=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _problem(scope: Scope) -> str | None:
    headers = Headers(scope=scope)
    host, origin = headers.get("host", ""), headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "a page of another site asks; only the simulator's own page may"
    is_control = scope["path"] == "/" or scope["path"].startswith("/simulator/")
    if (is_control or origin is not None) and not _is_local_name(host):
        return "the host is a name that somebody else could own; use an address, localhost, or a name without a dot"
    return None


def _is_local_name(host: str) -> bool:
    """Tell whether a name can only be this machine, or one of the same network: no page of the internet can have it."""
    try:
        name = urlsplit(f"//{host}").hostname or "."
    except ValueError:
        return False
    try:
        return bool(ip_address(name))
    except ValueError:
        return "." not in name or name.endswith(_LOCAL_SUFFIXES)


Handler = Callable[[Request, Account], Awaitable[Response]]

_GARBAGE = b"<html><head><title>Bad gateway</title></head><body>upstream \xff\xfe broke</body></html>"


class GuardedEndpoint:
    """An endpoint of the service, counted, and exposed to faults; ``name`` is what they and the ledger call it."""

    def __init__(self, name: Endpoint, handler: Handler, *, site: Site, breaker: Breaker) -> None:
        self._name, self._handler, self._site, self._breaker = name, handler, site, breaker
        # Answered by the object store, whose errors are XML.
        self._xml = name in ("upload", "result")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        account = self._site.account
        arrived = account.clock.epoch(account.clock.now())
        account.ledger.count(self._name, "requests")
        fault = await self._fault(request, account)
        if fault is not None:
            account.ledger.count(self._name, "faults")
            if await self._answer_instead(fault, scope, receive, send):
                return
        try:
            response = await self._respond(request, account)
        except ClientDisconnect:
            return
        if response.status_code >= 400:
            account.ledger.count(self._name, "refused" if response.status_code == 429 else "errors")
        if not self._xml:
            response.headers.update(_times(arrived, account.clock.epoch(account.clock.now())))
        if fault is not None and fault.kind in ("lose_answer", "truncate"):
            if fault.kind == "truncate":
                head = {"status": response.status_code, "headers": response.raw_headers}
                half = bytes(response.body)[: len(response.body) // 2]
                await send({"type": "http.response.start", **head})
                await send({"type": "http.response.body", "body": half, "more_body": True})
            await self._breaker.break_off(scope, receive)
        else:
            await response(scope, receive, send)

    async def _fault(self, request: Request, account: Account) -> FaultOrder | None:
        if not account.faults:
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
                await self._breaker.break_off(scope, receive, reset=True)
                return True
            case "delay":
                # In real time, but not beyond the server's end.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._site.account.closing.wait(), fault.seconds)
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
            if self._name == "submit":
                account.ledger.submissions += 1
            if not self._xml:
                account.authorize(request.headers)
            if self._name in ("get_task", "list_tasks", "cancel"):
                account.limits.admit(self._name, rate=account.settings.task_rate)
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


def create_app(settings: Settings) -> tuple[Starlette, Site, Breaker]:
    """Make the application, the site behind it, and what breaks its connections."""
    site, breaker = Site(settings=settings), Breaker()
    table: list[tuple[str, str, Endpoint, Handler]] = [
        ("GET", "/api/v1/tasks", "list_tasks", service.list_tasks),
        ("GET", "/api/v1/tasks/{task_id}", "get_task", service.get_task),
        ("POST", "/api/v1/tasks/{task_id}/cancel", "cancel", service.cancel),
        ("POST", "/api/v1/services/{path:path}", "submit", service.submit),
        ("GET", "/api/v1/uploads", "upload_policy", service.upload_policy),
        ("GET", "/api/v1/quotas", "quotas", service.quotas),
        ("GET", "/api/v1/models", "models", service.models),
        ("GET", "/api/v1/models/limits", "quotas", service.quotas),
        ("POST", "/oss", "upload", service.upload),
        ("GET", "/results/{key:path}", "result", service.result),
    ]
    # With the slash at the end that the official SDK sends now and then, and without.
    routes = [
        Route(path + slash, GuardedEndpoint(name, handler, site=site, breaker=breaker), methods=[method])
        for method, path, name, handler in table
        for slash in ("", "/")
    ]
    app = Starlette(
        routes=[*routes, *control.routes(site)],
        middleware=[Middleware(NoOtherPages)],
        exception_handlers={HTTPException: _refuse_address},
    )
    app.router.redirect_slashes = False
    return app, site, breaker


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
