"""One small server for what neither the simulator nor moto can do: results of any size and shape, and an S3 that forgets.

It answers as the service (one task, SUCCEEDED), as the service's result store, and as an S3 that counts what it is given and
throws it away, so that a test can measure the memory of what stands between.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

CHUNK = b"\xff\xd8\xff" + bytes(64 * 1024 - 3)


def plain_body(size: int) -> Iterator[bytes]:
    """A file of some size that begins like a JPEG."""
    while size > 0:
        yield CHUNK[:size]
        size -= len(CHUNK)


@dataclass
class File:
    """What the result store sends for the result.

    :param size: the length that it announces; None announces none.
    :param body: makes the bytes that it sends, for the first, second… download.
    """

    size: int | None
    body: Callable[[int], Iterator[bytes]]
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "image/jpeg"})


@dataclass
class Upload:
    """What came in under a key; ``done`` once it has become an object."""

    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    done: bool = False
    aborted: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class TinyCloud:
    """The server; use it as a context manager.

    :param file: the result of the one task; None for a task without a result.
    :param name: the result's name.
    """

    def __init__(self, file: File | None, *, name: str = "result.jpg") -> None:
        self.file = file
        self.name = name
        self.downloads = 0
        self.uploads: dict[str, Upload] = {}
        cloud = self

        class Handler(_Handler):
            owner = cloud

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def task(self, task_id: str) -> dict[str, Any]:
        """The service's answer about a task."""
        url = f"{self.url}/results/{self.name}?Signature=secret-signature"
        results = [] if self.file is None else [{"url": url}]
        return {
            "request_id": "r-1",
            "output": {"task_id": task_id, "task_status": "SUCCEEDED", "results": results},
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: TinyCloud

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/v1/tasks/"):
            self._send(json.dumps(self.owner.task(path.rpartition("/")[2])).encode())
        else:
            self._send_file()

    def do_HEAD(self) -> None:
        self._send(b"", status=200 if self.path.count("/") == 1 else 404)

    def do_POST(self) -> None:
        """Begin or finish an upload in parts."""
        self._take(None)
        key = self.path.partition("?")[0]
        if "uploadId" in self.path:
            self.owner.uploads[key].done = True
            self._send(b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
            return
        self.owner.uploads[key] = Upload(headers=dict(self.headers.items()))
        self._send(b"<InitiateMultipartUploadResult><UploadId>u-1</UploadId></InitiateMultipartUploadResult>")

    def do_PUT(self) -> None:
        """Take a part, or a whole object."""
        key = self.path.partition("?")[0]
        if "partNumber" in self.path:
            self._take(self.owner.uploads[key])
        else:
            upload = self.owner.uploads[key] = Upload(headers=dict(self.headers.items()))
            self._take(upload)
            upload.done = True
        self._send(b"", ETag='"e"')

    def do_DELETE(self) -> None:
        """Give up an upload in parts."""
        self.owner.uploads[self.path.partition("?")[0]].aborted = True
        self._send(b"", status=204)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _take(self, upload: Upload | None) -> None:
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            chunk = self.rfile.read(min(left, 64 * 1024))
            left -= len(chunk)
            if upload is not None:
                upload.size += len(chunk)
                upload.digest.update(chunk)

    def _send(self, body: bytes, *, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self) -> None:
        file = self.owner.file
        if file is None:
            self._send(b"", status=404)
            return
        self.owner.downloads += 1
        self.send_response(200)
        for name, value in file.headers.items():
            self.send_header(name, value)
        if file.size is not None:
            self.send_header("Content-Length", str(file.size))
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in file.body(self.owner.downloads):
            self.wfile.write(chunk)
        self.close_connection = True
