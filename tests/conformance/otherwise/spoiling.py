"""A service that does one thing otherwise: answers of the local DashScope, spoiled on their way."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from airflow_provider_wanx.dashscope import ClientConfig, Limits
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.conformance.core import Fact
from tests.conformance.service.pictures import PORTRAIT
from tests.conformance.service.wire import Clock, Target


@dataclass
class Reply:
    """An answer that may be changed."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def body(self) -> Any:
        """Its JSON."""
        return json.loads(self.content)

    @body.setter
    def body(self, document: Any) -> None:
        self.content = json.dumps(document).encode()


Edit = Callable[[httpx.Request, Reply], None]


class SpoilingTransport(httpx.BaseTransport):
    """Sends requests as they are, and changes the answers.

    :param edit: what changes them.
    """

    def __init__(self, edit: Edit) -> None:
        self._edit = edit
        self._inner = httpx.HTTPTransport(limits=httpx.Limits(max_connections=40))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        response = self._inner.handle_request(request)
        reply = Reply(response.status_code, response.headers, response.read())
        response.close()
        self._edit(request, reply)
        headers = [
            pair
            for pair in reply.headers.multi_items()
            if pair[0] not in ("content-length", "transfer-encoding")
        ]
        return httpx.Response(reply.status, headers=headers, content=reply.content, request=request)

    def close(self) -> None:
        """Close all connections."""
        self._inner.close()


def endpoint(request: httpx.Request) -> str:
    """Name what a request is for."""
    path = request.url.path.rstrip("/")
    if "/services/" in path:
        return "submit"
    if path.endswith("/cancel"):
        return "cancel"
    if path.endswith("/tasks"):
        return "list"
    if "/tasks/" in path:
        return "task"
    if path.endswith(("/quotas", "/models/limits")):
        return "quotas"
    if path.endswith("/uploads"):
        return "policy"
    return "upload" if request.method == "POST" or "dashscope-instant" in path else "result"


def on(name: str, change: Edit, *, state: str | None = None) -> Edit:
    """Change the answers of one endpoint.

    :param state: only those about tasks in this state.
    """

    def edit(request: httpx.Request, reply: Reply) -> None:
        if endpoint(request) == name and state in (None, _state(reply)):
            change(request, reply)

    return edit


def _state(reply: Reply) -> str:
    try:
        return str(reply.body["output"]["task_status"])
    except (ValueError, LookupError, TypeError):
        return ""


def put(path: str, value: Any) -> Edit:
    """Set a value, or what a function makes of the present one; ``*`` in a path stands for each item of a list."""
    return lambda _, reply: _change(reply, path.split("."), lambda parent, key: _set(parent, key, value))


def drop(path: str) -> Edit:
    """Leave a value out."""
    return lambda _, reply: _change(reply, path.split("."), lambda parent, key: parent.pop(key, None))


def _set(parent: Any, key: str, value: Any) -> None:
    parent[key] = value(parent.get(key)) if callable(value) else value


def _change(reply: Reply, path: list[str], change: Callable[[Any, str], object]) -> None:
    if reply.status >= 400:
        return
    document = reply.body
    for parent in _parents(document, path[:-1]):
        change(parent, path[-1])
    reply.body = document


def _parents(node: Any, path: list[str]) -> list[Any]:
    if not path:
        return [node]
    children = node if path[0] == "*" else [node[path[0]]] if path[0] in node else []
    return [found for child in children for found in _parents(child, path[1:])]


def refuse(status: int, code: str = "InvalidParameter", message: str = "no") -> Edit:
    """Refuse."""

    def edit(_: httpx.Request, reply: Reply) -> None:
        reply.status = status
        reply.body = {"code": code, "message": message, "request_id": str(uuid.uuid4())}

    return edit


def accept(**output: Any) -> Edit:
    """Accept."""

    def edit(_: httpx.Request, reply: Reply) -> None:
        reply.status = 200
        task = {"task_id": str(uuid.uuid4()), "task_status": "PENDING"}
        reply.body = {"output": task | output, "request_id": str(uuid.uuid4())}

    return edit


def reword(status: int | None = None, **fields: Any) -> Edit:
    """Refuse in other words what is refused anyway."""

    def edit(_: httpx.Request, reply: Reply) -> None:
        if reply.status >= 400:
            reply.body = {**reply.body, **fields}
            reply.status = status or reply.status

    return edit


def header(name: str, value: str | None) -> Edit:
    """Set a header, or leave it out."""

    def edit(_: httpx.Request, reply: Reply) -> None:
        reply.headers.pop(name, None)
        if value is not None:
            reply.headers[name] = value

    return edit


def answer(status: int, content: bytes | None = None) -> Edit:
    """Answer with another status, or another content."""

    def edit(_: httpx.Request, reply: Reply) -> None:
        reply.status = status
        reply.content = reply.content if content is None else content

    return edit


def when(condition: Callable[[httpx.Request], bool], edit: Edit) -> Edit:
    """Change the answers to some requests only."""

    def conditionally(request: httpx.Request, reply: Reply) -> None:
        if condition(request):
            edit(request, reply)

    return conditionally


class AdvancingClock(Clock):
    """Lets a local DashScope jump ahead instead of waiting, so that its time passes between requests only."""

    def __init__(self, simulator: SimulatorHandle) -> None:
        self._simulator = simulator
        self._jumps = 0.0

    def now(self) -> float:
        """Return seconds since some moment, jumps included."""
        return time.monotonic() + self._jumps

    def sleep(self, seconds: float) -> None:
        """Jump ahead."""
        self._simulator.advance(seconds)
        self._jumps += seconds


def quick_target(simulator: SimulatorHandle, edit: Edit | None = None) -> Target:
    """A local DashScope that is not waited for, and answers otherwise.

    :param edit: what happens to its answers.
    """
    limits = Limits(submissions_per_second=1000, requests_per_second=1000)
    config = ClientConfig(api_key=simulator.api_key, base_url=simulator.url, limits=limits, retry_for=0.5)
    return Target(
        name="a local DashScope that behaves otherwise",
        config=config,
        portrait=PORTRAIT.read_bytes(),
        poll_interval=3,
        patience=120,
        clock=AdvancingClock(simulator),
        transport=None if edit is None else lambda: SpoilingTransport(edit),
    )


def for_a_clock_that_jumps(facts: Iterable[Fact]) -> list[Fact]:
    """Sort facts: a local DashScope's Date headers do not jump ahead with its clock, so what compares them comes first."""
    return sorted(facts, key=lambda fact: fact.name != "one-clock")
