"""A small HTTP proxy that fails as it is told: in front of the local S3, or of the local DashScope."""

from __future__ import annotations

import http.client
import io
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.stack.ports import LOOPBACK

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "expect"}

_RESET = struct.pack("ii", 1, 0)
"""Lets the end of a connection be a reset at once."""

Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass(kw_only=True)
class Trouble:
    """What goes wrong with a request.

    :param method: requests with this method only; empty is any
    :param path: requests whose path holds this only
    :param status: answer with this status
    :param body: body of that answer
    :param sent: which share of the answer's bytes is sent before the connection ends; with 0 it is reset
    :param after_work: whether the request is passed on before it is answered with ``status``, or not answered
    :param delay: seconds before anything else
    :param times: how often it happens; None is always
    :param struck: how often it has happened
    """

    method: str = ""
    path: str = ""
    status: int | None = None
    body: bytes = b""
    sent: float | None = None
    after_work: bool = False
    delay: float = 0.0
    times: int | None = None
    struck: int = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are killed in the middle are what this is for."""


class FaultyProxy:
    """Passes requests on, unless there is trouble.

    :param target: tells the address that it stands for
    """

    def __init__(self, *, target: Callable[[], str]) -> None:
        self._target = target
        self._troubles: list[Trouble] = []
        self._at_random: list[Trouble] = []
        self._share = 0.0
        self._dice = random.Random()
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = _Server((LOOPBACK, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="proxy", daemon=True)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def troubles(self) -> list[Trouble]:
        """All troubles so far, with how often each has struck."""
        return [*self._troubles, *self._at_random]

    def add(self, **trouble: Any) -> Trouble:
        """Cause trouble; see :class:`Trouble`."""
        made = Trouble(**trouble)
        with self._lock:
            self._troubles.append(made)
        return made

    def add_at_random(self, troubles: Sequence[Mapping[str, Any]], *, share: float, seed: int) -> None:
        """Cause one of some troubles now and then.

        :param troubles: see :class:`Trouble`
        :param share: of all requests that nothing else happens to
        :param seed: decides about which requests, and what happens to them
        """
        with self._lock:
            self._at_random = [Trouble(**each) for each in troubles]
            self._share, self._dice = share, random.Random(seed)

    def end(self, trouble: Trouble) -> None:
        """Let a trouble strike no more."""
        trouble.times = trouble.struck

    def strike(self, method: str, path: str) -> Trouble | None:
        """Tell what goes wrong with a request."""
        with self._lock:
            for trouble in self._troubles:
                spent = trouble.times is not None and trouble.struck >= trouble.times
                if not spent and trouble.method in ("", method) and trouble.path in path:
                    trouble.struck += 1
                    return trouble
            if self._at_random and self._dice.random() < self._share:
                trouble = self._dice.choice(self._at_random)
                trouble.struck += 1
                return trouble
        return None

    def forward(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        """Pass a request on."""
        where = urlsplit(self._target())
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = b"".join(self._body())
        trouble = self.owner.strike(self.command, self.path) or Trouble()
        time.sleep(trouble.delay)
        answer: Answer = (trouble.status or 0, [("Content-Type", "application/xml")], trouble.body)
        if trouble.after_work or (trouble.status is None and trouble.sent is None):
            passed_on = self.owner.forward(self.command, self.path, self.headers.items(), body)
            answer = passed_on if trouble.status is None else answer
        if trouble.sent == 0:
            self._reset()
        else:
            self._answer(*answer, sent=trouble.sent or 1.0)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            continue

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # The streams of this handler keep the socket open otherwise, and end it in peace.
        os.close(self.connection.detach())

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, sent: float) -> None:
        connection, self.wfile = self.wfile, io.BytesIO()
        self.send_response_only(status)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        is_of_head = self.command == "HEAD"
        # A HEAD tells the length of what it does not send.
        self.send_header("Content-Length", lengths[0] if is_of_head and lengths else str(len(body)))
        self.end_headers()
        whole = self.wfile.getvalue() + (b"" if is_of_head else body)
        self.wfile = connection
        self.close_connection = self.close_connection or sent < 1
        self.wfile.write(whole[: int(len(whole) * sent)])

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
