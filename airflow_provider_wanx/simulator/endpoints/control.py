"""What tests may do to the simulator, under ``/simulator/``: no part of the service."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_wanx.simulator.endpoints.site import Site
from airflow_provider_wanx.simulator.faults import FaultOrder
from airflow_provider_wanx.simulator.painting.painter import draw_portrait

Order = TypeVar("Order", bound=BaseModel)


class Advance(BaseModel):
    """A jump of the clock.

    :param advance: seconds of the service's clock.
    """

    model_config = ConfigDict(extra="forbid")

    advance: float = Field(ge=0)


class Keys(BaseModel):
    """The keys that are accepted from now on.

    :param keys: an empty list accepts any that begins with ``sk-``.
    """

    model_config = ConfigDict(extra="forbid")

    keys: list[str]


class BadControlError(Exception):
    """A control request that makes no sense.

    :param problem: why.
    """

    def __init__(self, *, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class Control:
    """The handlers.

    :param site: the server that they control.
    """

    def __init__(self, *, site: Site) -> None:
        self._site = site

    async def ledger(self, request: Request) -> Response:
        """Tell what was submitted, fetched, refused and billed: ``?summary=1`` without tasks, ``?since=<epoch>``."""
        account = self._site.account
        query = request.query_params
        report = account.ledger.report(
            account.board,
            clock=account.clock,
            since=_number(query["since"], "since") if "since" in query else None,
            summary=query.get("summary", "0") not in ("0", "", "false"),
        )
        return JSONResponse(report)

    async def add_fault(self, request: Request) -> Response:
        """Add a fault."""
        order = await _read(request, FaultOrder)
        return JSONResponse(self._site.account.faults.add(order).describe(), status_code=201)

    async def list_faults(self, _: Request) -> Response:
        """Tell all faults and how often each struck."""
        return JSONResponse({"faults": [fault.describe() for fault in self._site.account.faults.all()]})

    async def get_fault(self, request: Request) -> Response:
        """Tell one fault."""
        fault = self._site.account.faults.get(request.path_params["id"])
        return _no_fault() if fault is None else JSONResponse(fault.describe())

    async def remove_fault(self, request: Request) -> Response:
        """Remove one fault, or all."""
        fault_id = request.path_params.get("id")
        found = self._site.account.faults.remove(fault_id)
        return _no_fault() if fault_id is not None and not found else Response(status_code=204)

    async def advance(self, request: Request) -> Response:
        """Jump ahead, and answer when everything that is due by then has happened."""
        order = await _read(request, Advance)
        account = self._site.account
        account.clock.advance(order.advance)
        await account.settle()
        return JSONResponse({"now": account.clock.epoch(account.clock.now())})

    async def keys(self, request: Request) -> Response:
        """Replace the accepted keys."""
        order = await _read(request, Keys)
        self._site.account.api_keys = frozenset(order.keys)
        return Response(status_code=204)

    async def reset(self, _: Request) -> Response:
        """Forget all tasks, uploads, faults and counts, and set the clock back."""
        await self._site.reset()
        return Response(status_code=204)

    async def portrait(self, request: Request) -> Response:
        """Draw a portrait to submit: ``?width=&height=&seed=``."""
        query = request.query_params
        width, height = (int(_number(query.get(name, "512"), name)) for name in ("width", "height"))
        if not (1 <= width <= 8192 and 1 <= height <= 8192):
            raise BadControlError(problem="width and height must be from 1 to 8192")
        picture = draw_portrait(width=width, height=height, seed=int(_number(query.get("seed", "0"), "seed")))
        return Response(picture, media_type="image/jpeg")


def routes(site: Site) -> list[Route]:
    """Return the routes of the control API."""
    control = Control(site=site)
    table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("GET", "/simulator/ledger", control.ledger),
        ("POST", "/simulator/faults", control.add_fault),
        ("GET", "/simulator/faults", control.list_faults),
        ("DELETE", "/simulator/faults", control.remove_fault),
        ("GET", "/simulator/faults/{id}", control.get_fault),
        ("DELETE", "/simulator/faults/{id}", control.remove_fault),
        ("POST", "/simulator/clock", control.advance),
        ("POST", "/simulator/keys", control.keys),
        ("POST", "/simulator/reset", control.reset),
        ("GET", "/simulator/portrait.jpg", control.portrait),
    ]
    return [Route(path, _explained(handler), methods=[method]) for method, path, handler in table]


def _explained(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except BadControlError as error:
            return JSONResponse({"error": error.problem}, status_code=422)

    return handle


async def _read(request: Request, kind: type[Order]) -> Order:
    try:
        content: Any = json.loads(await request.body())
        return kind.model_validate(content)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors())
        raise BadControlError(problem="; ".join(problems)) from error
    except ValueError as error:
        raise BadControlError(problem="the body is not JSON") from error


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadControlError(problem=f"{name} must be a number, not {text!r}") from error


def _no_fault() -> Response:
    return JSONResponse({"error": "there is no such fault"}, status_code=404)
