"""The page at ``/``: jobs, and what became of their pictures."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from airflow_provider_wanx.simulator.account.account import Account
from airflow_provider_wanx.simulator.account.ledger import shown_url
from airflow_provider_wanx.simulator.catalogue import STYLES
from airflow_provider_wanx.simulator.endpoints.answers import base_url
from airflow_provider_wanx.simulator.endpoints.site import Site
from airflow_provider_wanx.simulator.tasks.job import Job

_JOBS_SHOWN = 60

_CSS = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.35rem; margin: 0; } p { margin: .3rem 0 1.2rem; opacity: .75; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .5rem .6rem; border-top: 1px solid #8884; vertical-align: middle; }
th { font-weight: 600; border: 0; } img { height: 120px; border-radius: 6px; display: block; }
td.pictures { display: flex; gap: .4rem; } code { font-size: .82rem; } small { opacity: .7; display: block; }
.status { font-weight: 600; } .SUCCEEDED { color: #2a9d5c; } .FAILED, .UNKNOWN { color: #d1495b; }
.RUNNING { color: #2b7bd6; } .CANCELED { opacity: .6; } tr:target { background: #8882; }
"""


def routes(site: Site) -> list[Route]:
    """Return the routes of the page and of its small pictures."""

    async def page(request: Request) -> Response:
        return HTMLResponse(_page(site.account, base_url(request)))

    async def thumbnail(request: Request) -> Response:
        picture = _thumbnail(site.account, request.path_params["task_id"], request.path_params["name"])
        return Response(picture, media_type="image/jpeg") if picture else Response(status_code=404)

    return [
        Route("/", page, methods=["GET"]),
        Route("/simulator/thumbnails/{task_id}/{name}", thumbnail, methods=["GET"]),
    ]


def _page(account: Account, base: str) -> str:
    totals = account.ledger.totals(account.board)
    summary = " · ".join(
        f"{totals[name]} {name}"
        for name in ("accepted", "pending", "running", "succeeded", "failed", "canceled", "billed")
    )
    kept = [job for job in account.board.all[-_JOBS_SHOWN:] if account.board.find(job.task_id) is not None]
    rows = "".join(_row(job, account, base) for job in reversed(kept))
    empty = "<p>No task yet. Submit one, and it appears here.</p>" if not rows else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Local DashScope</title>'
        f'<meta http-equiv="refresh" content="3"><style>{_CSS}</style></head><body>'
        f"<h1>Local DashScope</h1><p>{escape(summary)} · speed {account.settings.speed:g}</p>{empty}"
        "<table><thead><tr><th>Input</th><th>Results</th><th>Task</th><th>Status</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></body></html>"
    )


def _row(job: Job, account: Account, base: str) -> str:
    source = escape(shown_url(job.order.sources[0]) if job.order.sources else job.order.prompt[:80])
    before = f'<img src="{_path(job, "input")}" alt="input">' if job.thumbnail else source
    pictures = "".join(
        f'<a href="{escape(url)}">{_picture(job, number)}</a>'
        for number, url in enumerate(account.results.urls(job, base=base))
        if url
    )
    failure = f"<small>{escape(job.code)}: {escape(job.message)}</small>" if job.code else ""
    return (
        f'<tr id="{escape(job.task_id)}"><td title="{source}">{before}</td><td class="pictures">{pictures}</td>'
        f"<td>{escape(_what(job))}<small><code>{escape(job.task_id)}</code></small>"
        f"<small>{account.clock.text(job.submitted)}</small></td>"
        f'<td><span class="status {job.status}">{job.status}</span>{failure}</td></tr>'
    )


def _picture(job: Job, number: int) -> str:
    blob = job.items[number].blob
    if blob is None or not blob.thumbnail:
        return "file"
    return f'<img src="{_path(job, str(number))}" alt="result {number}">'


def _path(job: Job, name: str) -> str:
    return f"/simulator/thumbnails/{escape(job.task_id)}/{name}"


def _what(job: Job) -> str:
    style = job.order.style
    if style is None:
        return job.order.model
    return f"{job.order.model}, style {style} {STYLES.get(style, '')}"


def _thumbnail(account: Account, task_id: str, name: str) -> bytes:
    job = account.board.find(task_id)
    if job is None:
        return b""
    if name == "input":
        return job.thumbnail
    number = int(name) if name.isascii() and name.isdigit() else len(job.items)
    blob = job.items[number].blob if number < len(job.items) else None
    return b"" if blob is None else blob.thumbnail
