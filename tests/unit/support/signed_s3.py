"""An S3 that takes signatures of version 4 alone, as S3 does in newer regions and for objects that KMS encrypts."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SECRET = "testing"
ALGORITHM = "AWS4-HMAC-SHA256"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _signature(
    *,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    payload: str,
    date: str,
    scope: str,
) -> str:
    """As Amazon's page "Signature calculations for the authorization header" has it."""
    pairs = "&".join(f"{quote(name, safe='~')}={quote(query[name], safe='~')}" for name in sorted(query))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = "\n".join([method, path, pairs, lines, ";".join(sorted(headers)), payload])
    to_sign = "\n".join([ALGORITHM, date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return _hmac(key, to_sign).hex()


class SignedS3:
    """The server's objects and address.

    :param url: its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.objects: dict[str, tuple[bytes, str]] = {}

    def put(self, place: str, body: bytes, content_type: str = "binary/octet-stream") -> str:
        """Store an object at ``bucket/key``; return its URL."""
        self.objects[f"/{place}"] = (body, content_type)
        return f"s3://{place}"


def _reason_to_refuse(method: str, target: str, headers: Mapping[str, str]) -> str | None:
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    authorization = headers.get("Authorization", "")
    if query.get("X-Amz-Algorithm") == ALGORITHM:
        given = query.pop("X-Amz-Signature")
        scope, names = query["X-Amz-Credential"].partition("/")[2], query["X-Amz-SignedHeaders"]
        date, payload = query["X-Amz-Date"], "UNSIGNED-PAYLOAD"
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if datetime.now(UTC) > signed_at + timedelta(seconds=int(query["X-Amz-Expires"])):
            return "AccessDenied"
    elif authorization.startswith(ALGORITHM):
        fields = dict(each.strip().split("=", 1) for each in authorization[len(ALGORITHM) :].split(","))
        given, names = fields["Signature"], fields["SignedHeaders"]
        scope = fields["Credential"].partition("/")[2]
        date, payload = headers["x-amz-date"], headers["x-amz-content-sha256"]
    else:
        return "InvalidRequest"
    wanted = _signature(
        method=method,
        path=parts.path,
        query=query,
        headers={name: headers[name] for name in names.split(";")},
        payload=payload,
        date=date,
        scope=scope,
    )
    return None if hmac.compare_digest(given, wanted) else "SignatureDoesNotMatch"


@contextmanager
def signed_s3() -> Iterator[SignedS3]:
    """Run the server on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if reason := _reason_to_refuse(self.command, self.path, self.headers):
                said = f"<Error><Code>{reason}</Code><Message>Please use {ALGORITHM}.</Message></Error>"
                self._answer(400 if reason == "InvalidRequest" else 403, said.encode(), "application/xml")
                return
            parts = urlsplit(self.path)
            body, content_type = server.s3.objects[unquote(parts.path)]
            content_type = dict(parse_qsl(parts.query)).get("response-content-type", content_type)
            if wanted := self.headers.get("Range"):
                first, last = (int(each) for each in wanted.removeprefix("bytes=").split("-"))
                part = body[first : last + 1]
                span = f"bytes {first}-{first + len(part) - 1}/{len(body)}"
                self._answer(206, part, content_type, {"Content-Range": span})
            else:
                self._answer(200, body, content_type)

        def _answer(self, status: int, body: bytes, content_type: str, more: Mapping[str, str] = {}) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": content_type,
                "Content-Length": str(len(body)),
                **more,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        s3: SignedS3

    server = Server(("127.0.0.1", 0), Handler)
    server.s3 = SignedS3(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.s3
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
