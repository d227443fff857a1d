"""What tests may do to the simulator, under ``/simulator/``, and the page at ``/``: no part of the service."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any, TypeVar

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from airflow_provider_wanx.simulator.account import Account, Site, shown_url
from airflow_provider_wanx.simulator.catalogue import STYLES
from airflow_provider_wanx.simulator.endpoints.service import base_url
from airflow_provider_wanx.simulator.faults import FaultOrder
from airflow_provider_wanx.simulator.painting.painter import draw_portrait
from airflow_provider_wanx.simulator.queues import Job

T = TypeVar("T", bound=BaseModel)

_JOBS_SHOWN = 60


class Jump(BaseModel):
    """How far the clock jumps ahead, in the service's seconds."""

    advance: float = Field(ge=0)


class Keys(BaseModel):
    """The keys that are accepted from now on; none at all accepts any that begins with ``sk-``."""

    keys: list[str]


async def page(request: Request, site: Site) -> Response:
    """Show the latest tasks."""
    return HTMLResponse(_page(site.account, base_url(request)))


async def ledger(request: Request, site: Site) -> Response:
    """Tell what was submitted, fetched, refused and billed: ``?summary=1`` without tasks, ``?since=<epoch>``."""
    account, query = site.account, request.query_params
    since = float(query["since"]) if "since" in query else None
    summary = query.get("summary", "0") not in ("0", "", "false")
    return JSONResponse(account.ledger.report(account.board, since=since, summary=summary))


async def add_fault(request: Request, site: Site) -> Response:
    """Add a fault."""
    order = await _read(request, FaultOrder)
    return JSONResponse({"id": site.account.faults.add(order)}, status_code=201)


async def list_faults(_: Request, site: Site) -> Response:
    """Tell all faults and how often each struck."""
    return JSONResponse({"faults": site.account.faults.describe()})


async def clear_faults(_: Request, site: Site) -> Response:
    """Remove all faults."""
    site.account.faults.clear()
    return Response(status_code=204)


async def advance(request: Request, site: Site) -> Response:
    """Jump ahead, and answer when everything that is due by then has happened."""
    jump, account = await _read(request, Jump), site.account
    account.clock.advance(jump.advance)
    await account.settle()
    return JSONResponse({"now": account.clock.epoch(account.clock.now())})


async def keys(request: Request, site: Site) -> Response:
    """Replace the accepted keys."""
    site.account.api_keys = frozenset((await _read(request, Keys)).keys)
    return Response(status_code=204)


async def reset(_: Request, site: Site) -> Response:
    """Forget all tasks, uploads, faults and counts, and set the clock back."""
    await site.reset()
    return Response(status_code=204)


async def portrait(request: Request, _: Site) -> Response:
    """Draw a portrait to submit: ``?width=&height=&seed=``."""
    query = request.query_params
    width, height = (int(query.get(name, "512")) for name in ("width", "height"))
    if not (1 <= width <= 8192 and 1 <= height <= 8192):
        raise ValueError("width and height must be from 1 to 8192")
    picture = draw_portrait(width=width, height=height, seed=int(query.get("seed", "0")))
    return Response(picture, media_type="image/jpeg")


ROUTES: tuple[tuple[str, str, Callable[[Request, Site], Awaitable[Response]]], ...] = (
    ("GET", "/", page),
    ("GET", "/simulator/ledger", ledger),
    ("POST", "/simulator/faults", add_fault),
    ("GET", "/simulator/faults", list_faults),
    ("DELETE", "/simulator/faults", clear_faults),
    ("POST", "/simulator/clock", advance),
    ("POST", "/simulator/keys", keys),
    ("POST", "/simulator/reset", reset),
    ("GET", "/simulator/portrait.jpg", portrait),
)


def routes(site: Site) -> list[Route]:
    """Return the routes of the controls and the page."""

    def explained(handler: Callable[[Request, Site], Awaitable[Response]]) -> Any:
        async def handle(request: Request) -> Response:
            try:
                return await handler(request, site)
            except ValueError as error:
                # A number that is none, a body that is not JSON, or what pydantic has against it.
                return JSONResponse({"error": str(error)}, status_code=422)

        return handle

    return [Route(path, explained(handler), methods=[method]) for method, path, handler in ROUTES]


async def _read(request: Request, kind: type[T]) -> T:
    content: Any = json.loads(await request.body())
    return kind.model_validate(content)


def _page(account: Account, base: str) -> str:
    totals = ", ".join(f"{count} {name}" for name, count in account.ledger.totals(account.board).items())
    kept = [job for job in account.board.all[-_JOBS_SHOWN:] if account.board.find(job.task_id) is not None]
    rows = "".join(_row(job, account, base) for job in reversed(kept))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3">'
        "<title>Local DashScope</title><style>body { font: 15px system-ui; margin: 2rem } td { padding: .3rem 1rem }</style>"
        f"<h1>Local DashScope</h1><p>{totals}</p><table>{rows or '<tr><td>No task yet.'}</table></html>"
    )


def _row(job: Job, account: Account, base: str) -> str:
    style = "" if job.order.style is None else f", {STYLES[job.order.style]}"
    urls = enumerate(account.results.urls(job, base=base))
    results = " ".join(f'<a href="{escape(url)}">result {number}</a>' for number, url in urls if url)
    cells = (
        account.clock.text(job.submitted),
        job.task_id,
        f"{job.order.model}{style}",
        shown_url(job.order.sources[0]) if job.order.sources else job.order.prompt[:80],
        f"{job.status} {job.code}",
    )
    # The address of a task's console page, which the link of a submitted task leads to, ends in #id.
    shown = "".join(f"<td>{escape(cell)}" for cell in cells)
    return f'<tr id="{job.task_id}">{shown}<td>{results}</tr>'
