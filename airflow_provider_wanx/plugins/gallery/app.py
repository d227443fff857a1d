"""The gallery's web application: its pages, its files, and what holds for every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.api_fastapi.app import get_auth_manager
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.exceptions import HTTPException

from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.plugins.gallery import problems
from airflow_provider_wanx.plugins.gallery.pages import CONTENT_SECURITY_POLICY, HERE, render
from airflow_provider_wanx.plugins.gallery.views import router

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STATIC = {
    "gallery.css": "text/css",
    "gallery.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "icon-dark.svg": "image/svg+xml",
}

_HEADERS = {
    b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
    b"cache-control": b"no-store",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}


def make_app() -> ASGIApp:
    """Make the application."""
    app = FastAPI(title="Wanx gallery", openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router)
    app.get("/static/{name}")(_static)
    for each in (ProblemError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(each, _problem_page)

    async def with_safe_headers(scope: Scope, receive: Receive, send: Send) -> None:
        """Add to every answer what keeps browsers from doing more with it than showing it."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": list({**_HEADERS, **dict(message["headers"])}.items())}
            await send(message)

        await app(scope, receive, send_safely)

    # Around all of it: the page that tells of an unforeseen error comes from the outermost of FastAPI's own layers.
    return with_safe_headers


async def _static(name: str) -> FileResponse:
    """Answer with style, script or an icon; they are in everybody's hands and need no permission."""
    if name not in _STATIC:
        raise ProblemError(problems.NO_PAGE)
    headers = {"Cache-Control": "public, max-age=300"}
    return FileResponse(HERE / "static" / name, media_type=_STATIC[name], headers=headers)


async def _problem_page(request: Request, error: Exception) -> Response:
    if isinstance(error, ProblemError):
        problem = error.problem
    elif isinstance(error, HTTPException | RequestValidationError):
        known = {401: problems.NOT_LOGGED_IN, 403: problems.NO_PERMISSION}
        problem = known.get(getattr(error, "status_code", 404), problems.NO_PAGE)
    else:
        problem = problems.FAILURE
    login = get_auth_manager().get_url_login() if problem is problems.NOT_LOGGED_IN else None
    return HTMLResponse(render("problem", request, problem=problem, login=login), problem.status)
