"""The gallery's web application: its routes, and what holds for every answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from airflow_provider_wanx.dashscope.errors import ProblemError
from airflow_provider_wanx.plugins.gallery import problems, views
from airflow_provider_wanx.plugins.gallery.pages import (
    CONTENT_SECURITY_POLICY,
    HERE,
    PICTURE_POLICY,
    render,
    stand_in,
)
from airflow_provider_wanx.plugins.gallery.permissions import may_read_pictures
from airflow_provider_wanx.plugins.gallery.problems import Problem
from airflow_provider_wanx.plugins.gallery.runs import Place

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

Page = Annotated[int, Query(ge=1, le=1_000_000)]
MapIndex = Annotated[int, Path(ge=-1, le=views.LARGEST)]
Number = Annotated[int, Path(ge=0, le=views.LARGEST)]
Index = Annotated[int, Query(ge=-1, le=views.LARGEST)]
Before = Annotated[int | None, Query(ge=1, le=views.LARGEST)]


def _place(
    task_id: str, map_index: MapIndex, region_id: UUID | None = None, region_index: Index | None = None
) -> Place:
    """Read a task instance. In a region, our links name its index beside the one of Airflow, which may be -1 for all."""
    if region_id is None:
        return Place(task_id, map_index)
    return Place(task_id, map_index if region_index is None else region_index, str(region_id))


OnePlace = Annotated[Place, Depends(_place)]

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


class _SafeHeaders:
    """Adds to every answer what keeps browsers from doing more with it than showing it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": list({**_HEADERS, **dict(message["headers"])}.items())}
            await send(message)

        await self._app(scope, receive, send_safely)


def make_app() -> ASGIApp:
    """Make the application."""
    app = FastAPI(title="Wanx gallery", openapi_url=None, docs_url=None, redoc_url=None)
    _add_pages(app)
    _add_pictures(app)
    _add_errors(app)
    # Around all of it: the page that tells of an unforeseen error comes from the outermost of FastAPI's own layers.
    return _SafeHeaders(app)


def _check_ids(request: Request) -> None:
    """Refuse what no database can look for."""
    if any("\0" in str(value) for value in request.path_params.values()):
        raise ProblemError(problems.NO_PAGE)


_CHECKS = [Depends(_check_ids), Depends(may_read_pictures)]
"""What comes before every page and picture."""


def _add_pages(app: FastAPI) -> None:
    checked: dict[str, Any] = {
        "dependencies": _CHECKS,
        "response_class": HTMLResponse,
        "response_model": None,
    }

    @app.get("/", **checked)
    def all_runs(request: Request, session: SessionDep, user: GetUserDep, before: Before = None) -> str:
        return views.runs_page(request, session, user, before=before)

    @app.get("/here", dependencies=_CHECKS)
    def here(
        request: Request,
        dag_id: str | None = None,
        run_id: str | None = None,
        task_id: str | None = None,
        map_index: str | None = None,
    ) -> RedirectResponse:
        return RedirectResponse(
            views.address_of(request, *map(_filled_in, (dag_id, run_id, task_id, map_index))), status_code=303
        )

    @app.get("/dags/{dag_id}", **checked)
    def runs_of_dag(
        request: Request, session: SessionDep, user: GetUserDep, dag_id: str, before: Before = None
    ) -> str:
        return views.runs_page(request, session, user, dag_id=dag_id, before=before)

    @app.get("/dags/{dag_id}/tasks/{task_id}", **checked)
    def runs_of_task(
        request: Request,
        session: SessionDep,
        user: GetUserDep,
        dag_id: str,
        task_id: str,
        before: Before = None,
    ) -> str:
        return views.runs_page(request, session, user, dag_id=dag_id, task_id=task_id, before=before)

    @app.get("/dags/{dag_id}/runs/{run_id}", **checked)
    def run(request: Request, session: SessionDep, dag_id: str, run_id: str, page: Page = 1) -> str:
        return views.run_page(request, session, dag_id, run_id, page=page)

    @app.get("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}", **checked)
    def task(
        request: Request,
        session: SessionDep,
        dag_id: str,
        run_id: str,
        task_id: str,
        map_index: str | None = None,
        region_id: UUID | None = None,
        region_index: Index | None = None,
        page: Page = 1,
    ) -> str:
        index = _map_index(map_index)
        place = None if index is None else _place(task_id, index, region_id, region_index)
        return views.task_page(request, session, dag_id, run_id, task_id, place, page=page)

    @app.get("/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/{map_index}/results/{number}", **checked)
    def result(
        request: Request,
        session: SessionDep,
        dag_id: str,
        run_id: str,
        place: OnePlace,
        number: Number,
    ) -> str:
        return views.result_page(request, session, dag_id, run_id, place, number)


def _filled_in(value: str | None) -> str | None:
    """Return what Airflow has filled in for a tab; it leaves what it does not know as ``{RUN_ID}``."""
    return None if value is None or (value.startswith("{") and value.endswith("}")) else value


def _map_index(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return max(-1, min(int(text), views.LARGEST))
    except ValueError:
        raise ProblemError(problems.NO_PAGE) from None


def _add_pictures(app: FastAPI) -> None:
    @app.get(
        "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/{map_index}/results/{number}/{which}",
        dependencies=_CHECKS,
    )
    async def picture(
        dag_id: str,
        run_id: str,
        place: OnePlace,
        number: Number,
        which: Literal["result", "source"],
        size: Literal["small", "full"] = "full",
    ) -> Response:
        try:
            found = await views.picture(dag_id, run_id, place, number, which=which, small=size == "small")
        except ProblemError as error:
            return Response(
                stand_in(error.problem), status_code=error.problem.status, media_type="image/svg+xml"
            )
        headers = {"Cache-Control": "private, max-age=60", "Content-Security-Policy": PICTURE_POLICY}
        return Response(found.body, media_type=found.content_type, headers=headers)

    # Style, script and icons are in everybody's hands; they need no permission.
    @app.get("/static/{name}")
    async def static(name: str) -> FileResponse:
        if name not in _STATIC:
            raise ProblemError(problems.NO_PAGE)
        headers = {"Cache-Control": "public, max-age=300"}
        return FileResponse(HERE / "static" / name, media_type=_STATIC[name], headers=headers)


def _add_errors(app: FastAPI) -> None:
    def page(request: Request, problem: Problem) -> Response:
        login = None
        if problem.status == 401:
            login = get_auth_manager().get_url_login()
        return HTMLResponse(
            render("problem", request, problem=problem, login=login), status_code=problem.status
        )

    @app.exception_handler(ProblemError)
    async def known(request: Request, error: ProblemError) -> Response:
        return page(request, error.problem)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        known = {401: problems.NOT_LOGGED_IN, 403: problems.NO_PERMISSION}
        return page(request, known.get(error.status_code, problems.NO_PAGE))

    @app.exception_handler(RequestValidationError)
    async def misspelt(request: Request, error: RequestValidationError) -> Response:
        return page(request, problems.NO_PAGE)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return page(request, problems.FAILURE)
