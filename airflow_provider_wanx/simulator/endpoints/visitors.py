"""Keep web pages of others away: a browser on this machine would carry their requests to the simulator."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
"""Ends of names that nobody can register on the internet."""


class NoOtherPages:
    """Refuses requests of pages that are not the simulator's own, and its controls under a name that others could own.

    :param app: serves all other requests.
    """

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
