"""One running server: its account and its connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

from airflow_provider_wanx.simulator.account.account import Account
from airflow_provider_wanx.simulator.settings import Settings

_NO_LINGER = struct.pack("ii", 1, 0)


class Site:
    """One running server: its present account, which a reset replaces, and its connections.

    :param settings: how every account of it behaves.
    """

    def __init__(self, *, settings: Settings) -> None:
        self.settings = settings
        self.breaker = Breaker()
        self.account = Account(settings=settings)

    async def reset(self) -> None:
        """Forget everything."""
        old, self.account = self.account, Account(settings=self.settings)
        await old.close()


class Connection(Protocol):
    """What a server's connection tells about itself."""

    client: Any
    transport: Any


class Breaker:
    """Finds the connection that a request came in on, and breaks it."""

    def __init__(self) -> None:
        self._connections: Iterable[Connection] = ()

    def watch(self, connections: Iterable[Any]) -> None:
        """Take over the server's own collection of open connections."""
        self._connections = connections

    async def reset(self, scope: Scope, receive: Receive) -> None:
        """Reset the connection: the client gets an RST."""
        transport = self._transport(scope)
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
        await _gone(receive)

    async def drop(self, scope: Scope, receive: Receive) -> None:
        """Close the connection without a further byte."""
        transport = self._transport(scope)
        if transport is not None:
            transport.close()
        await _gone(receive)

    async def truncate(
        self, scope: Scope, receive: Receive, send: Send, *, body: bytes, **start: Any
    ) -> None:
        """Send the head of an answer and half of its body, then close.

        :param body: the whole body.
        :param start: status and headers of the answer; the headers promise the whole body.
        """
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await self.drop(scope, receive)

    def _transport(self, scope: Scope) -> asyncio.Transport | None:
        for connection in self._connections:
            if scope.get("client") is not None and connection.client == scope["client"]:
                transport: asyncio.Transport = connection.transport
                return transport
        return None


async def _gone(receive: Receive) -> None:
    """Wait until the server has noticed, so that it does not try to answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
