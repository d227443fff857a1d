"""A tiny HTTP server on loopback that says exactly what a test tells it to, broken answers included."""

from __future__ import annotations

import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, urlsplit

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names in lower case, ``at`` on the monotonic clock."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reply(Protocol):
    """What the server does with one request; returns whether the connection can go on."""

    def play(self, connection: socket.socket) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Say:
    """A whole answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def play(self, connection: socket.socket) -> bool:
        names = {name.lower() for name in self.headers}
        length = {} if "content-length" in names else {"Content-Length": str(len(self.body))}
        connection.sendall(head(self.status, {**self.headers, **length}) + self.body)
        return True


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A long answer that is made while it is sent."""

    chunks: Callable[[], Iterable[bytes]]
    length: int

    def play(self, connection: socket.socket) -> bool:
        connection.sendall(head(200, {"Content-Length": str(self.length), "Content-Type": "image/png"}))
        for chunk in self.chunks():
            connection.sendall(chunk)
        return True


@dataclass(frozen=True, kw_only=True)
class Raw:
    """Any bytes, then the end of the connection."""

    data: bytes = b""

    def play(self, connection: socket.socket) -> bool:
        connection.sendall(self.data)
        return False


@dataclass(frozen=True, kw_only=True)
class Endless:
    """Some bytes, then one piece again and again until the client has gone, with pauses in between."""

    data: bytes = b""
    piece: bytes
    pause: float = 0.0
    times: int | None = None

    def play(self, connection: socket.socket) -> bool:
        connection.sendall(self.data)
        for _ in itertools.count() if self.times is None else range(self.times):
            connection.sendall(self.piece)
            if self.pause:
                _NEVER.wait(self.pause)
        return False


_NEVER = threading.Event()


class Reset:
    """The request is read whole, then the connection is reset."""

    def play(self, connection: socket.socket) -> bool:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        return False


class Stall:
    """Nothing is said until the client has gone."""

    def play(self, connection: socket.socket) -> bool:
        connection.settimeout(30)
        connection.recv(1)
        return False


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def say_json(content: Any, *, status: int = 200, **headers: str) -> Say:
    """A JSON answer; header names with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Say(
        status=status, body=json.dumps(content).encode(), headers={"Content-Type": "application/json"} | named
    )


def say_error(status: int, code: str, message: str = "no", **headers: str) -> Say:
    return say_json({"code": code, "message": message, "request_id": "r-1"}, status=status, **headers)


class ScriptedServer:
    """Answers one request after the other with the replies of a script, and keeps what it was asked.

    A request beyond the script's end is answered with 418, so that it cannot be taken for anything else.
    """

    def __init__(self, *replies: Reply) -> None:
        self._script = list(replies)
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._acceptor: threading.Thread | None = None

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return len(self._connections)

    def wait_until_asked(self, *, timeout: float) -> None:
        """Wait for the first request."""
        assert self._asked.wait(timeout), "no request came"

    def wait_until_idle(self, *, timeout: float) -> None:
        """Wait until the clients have closed all connections."""
        for thread in self._threads:
            thread.join(timeout)
            assert not thread.is_alive(), "a connection was left open"

    def script(self, *replies: Reply) -> None:
        """Add replies to the script."""
        with self._lock:
            self._script.extend(replies)

    def start(self) -> Self:
        """Begin to listen; until then, connections are refused."""
        self._socket.listen(64)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def stop(self) -> None:
        if self._acceptor is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._acceptor.join(timeout=60)
        self._socket.close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # Gone already.
        for thread in self._threads:
            thread.join(timeout=60)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            reader = connection.makefile("rb")
            try:
                while (request := _read_request(reader)) is not None:
                    if not self._next_reply(request).play(connection):
                        return
            except OSError:
                return
            finally:
                reader.close()

    def _next_reply(self, request: Seen) -> Reply:
        with self._lock:
            self.seen.append(request)
            self._asked.set()
            if self._script:
                return self._script.pop(0)
        return Say(status=418, body=b"not in the script")


def _read_request(reader: Any) -> Seen | None:
    first = reader.read(1)
    if not first.isalpha():
        return None  # The client has gone, or speaks TLS.
    start = first + reader.readline()
    method, target, _ = start.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = _read_chunks(reader)
    else:
        body = reader.read(int(headers.get("content-length", "0")))
    return Seen(method, target, headers, body, time.monotonic())


def _read_chunks(reader: Any) -> bytes:
    """Read a body of unknown length with the trailers behind it, or the next request would begin with what is left."""
    chunks: list[bytes] = []
    while size := int(reader.readline().partition(b";")[0], 16):
        chunks.append(reader.read(size))
        reader.readline()
    while reader.readline().strip():
        pass
    return b"".join(chunks)
