"""A source of files and a store of objects that cost next to nothing, each in a process of its own.

``python -m tests.benchmarks.stores`` says at which port it serves, and serves until its input ends. ``GET /123/name`` brings a
file of 123 bytes; what is put by S3's interface, in parts or whole, is dropped. An argument, in megabytes a second, is the width
of the link on which that comes in.
"""

from __future__ import annotations

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4096
_XML = "<?xml version='1.0' encoding='UTF-8'?>"


class Link:
    """Lets so many bytes through in a second.

    :param rate: bytes a second; 0 for any number
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, size: int) -> None:
        """Wait until so many bytes have come through."""
        if self._rate:
            with self._lock:
                self._free_at = max(time.monotonic(), self._free_at) + size / self._rate
                pause = self._free_at - time.monotonic()
            time.sleep(max(0.0, pause))


class Handler(BaseHTTPRequestHandler):
    """Both of them."""

    link = Link(0)
    protocol_version = "HTTP/1.1"
    # Else each answer's head waits for the other side's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Send a file."""
        left = int(self.path.split("/")[1])
        self.send_response(200)
        self.send_header("Content-Length", str(left))
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        while left > 0:
            piece = PIECE[:left]
            self.wfile.write(piece)
            left -= len(piece)

    def do_HEAD(self) -> None:
        """Say that there is a bucket."""
        self._answer("")

    def do_PUT(self) -> None:
        """Take an object or a part of one."""
        self._drop_body()
        self._answer("", {"ETag": '"0"'})

    def do_POST(self) -> None:
        """Begin or complete an upload in parts."""
        self._drop_body()
        if self.path.endswith("?uploads"):
            name = "InitiateMultipartUploadResult"
            self._answer(f"{_XML}<{name}><UploadId>1</UploadId></{name}>")
        else:
            name = "CompleteMultipartUploadResult"
            self._answer(f"{_XML}<{name}><ETag>0</ETag></{name}>")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _drop_body(self) -> None:
        buffer = memoryview(bytearray(1 << 20))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                self._drop(size, buffer)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        self._drop(int(self.headers.get("Content-Length", 0)), buffer)

    def _drop(self, left: int, buffer: memoryview) -> None:
        while left > 0 and (count := self.rfile.readinto(buffer[: min(left, len(buffer))])):
            self.link.take(count)
            left -= count

    def _answer(self, text: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """With room for all that come at once."""

    daemon_threads = True
    request_queue_size = 64


def main() -> None:
    """Serve until the input ends."""
    Handler.link = Link(float(sys.argv[1]) * 1e6)
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
