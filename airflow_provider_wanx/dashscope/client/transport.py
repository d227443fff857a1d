"""What both clients share of httpx: how a request is built, how its answer is read, and what its errors mean."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ssl import SSLError
from typing import Any

import httpx

from airflow_provider_wanx import __version__
from airflow_provider_wanx.dashscope.api.answers import Answer
from airflow_provider_wanx.dashscope.api.endpoints import Call, Endpoint
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import (
    ConfigurationError,
    DownloadError,
    ForbiddenHostError,
    InvalidResponseError,
    LostAnswerError,
    ThrottledError,
    TransportError,
)
from airflow_provider_wanx.dashscope.measures import POLLS, REFUSED
from airflow_provider_wanx.dashscope.redaction import safe_words, without_query

MAX_ANSWER_BYTES = 512 * 1024
"""Largest answer, unpacked. A page of a hundred tasks has 60 kB, and an answer takes up to seventy times its size in memory."""

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    UnicodeError,  # a host name that the resolver cannot even look for
)


@contextmanager
def counted(call: Call[Any], config: ClientConfig) -> Iterator[None]:
    """Tell the observer of a request that is sent inside."""
    tags = {"endpoint": str(call.endpoint)}
    if call.endpoint in (Endpoint.GET_TASK, Endpoint.LIST_TASKS):
        config.observe(POLLS, 1, tags)
    try:
        yield
    except ThrottledError:
        config.observe(REFUSED, 1, tags)
        raise


@contextmanager
def transport_errors(doing: str, host: str) -> Iterator[None]:
    """Turn httpx's errors into this package's, with what they mean for a request that may have been sent."""
    try:
        yield
    except _NOT_SENT as error:
        raise TransportError(
            f"Could not {doing}: {host} cannot be reached ({reason(error)}).{_hint(error)}"
        ) from error
    except ForbiddenHostError as error:
        raise ForbiddenHostError(f"Could not {doing}: {error}") from None
    except (httpx.TransportError, SSLError) as error:
        raise LostAnswerError(
            f"Could not {doing}: no complete answer from {host} ({reason(error)}).{_hint(error)}"
        ) from error


_HINTS = {
    ("wrong_version_number", "record_layer_failure", "packet_length_too_long"): (
        "There it speaks plain http: begin the base URL with http:// if it is on this machine, else give the port at which it "
        "speaks https."
    ),
    (
        "illegal status line: bytearray(b'\\x15\\x03",
    ): "There it speaks https: begin the base URL with https://.",
    ("certificate_verify_failed",): (
        "If your company signs its certificate, name the file of that authority in ca_bundle or in REQUESTS_CA_BUNDLE."
    ),
    ("certificate_required", "handshake_failure"): "It may ask for a certificate: client_certificate.",
    ("407 ",): "The proxy asks for a name and a password: http://name:password@host:port.",
}
"""What to do about what went wrong below HTTP, by words of Python's TLS, of h11 and of proxies."""


def _hint(error: Exception) -> str:
    words = str(error).lower()
    hints = (hint for marks, hint in _HINTS.items() if any(mark in words for mark in marks))
    return f" {next(hints, 'Check host and port.')}"


def reason(error: Exception) -> str:
    """An error of a library in few words, free of secrets."""
    return " ".join(part for part in (type(error).__name__, safe_words(str(error))) if part)


def build_request(call: Call[Any], config: ClientConfig, timeout: float) -> httpx.Request:
    """Turn a call into a request; key, workspace and the connection's headers go to the service itself only.

    :param timeout: seconds for its answer.
    :raises ConfigurationError: the base URL cannot be used.
    :raises InvalidResponseError: the URL that the service named cannot be used.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip", **call.headers}
    if call.signed:
        headers.update(config.headers)
        headers["Authorization"] = f"Bearer {config.api_key}"
        if config.workspace:
            headers["X-DashScope-WorkSpace"] = config.workspace
    try:
        return httpx.Request(
            call.method,
            call.url if "://" in call.url else config.base_url + call.url,
            params=dict(call.params) or None,
            headers=headers | _USER_AGENT,
            json=call.json,
            data=dict(call.form) if call.form else None,
            files={"file": call.file} if call.file else None,
            extensions=_timeouts(timeout),
        )
    except (httpx.InvalidURL, UnicodeError) as error:
        # The account's own host is the user's affair; any other was named by the service.
        cls = ConfigurationError if call.signed else InvalidResponseError
        raise cls(f"Could not {call.doing}: its URL cannot be used ({reason(error)}).") from None


def build_download(
    url: str, what: str, timeout: float, *, after: httpx.Response | None = None, redirects: int = 0
) -> httpx.Request:
    """Make the request for a result, without the key.

    :param after: an answer that redirects to it; its host is checked as that of the first URL is.
    :param redirects: how many came before.
    :raises DownloadError: the URL cannot be used, or was reached by too many redirects.
    """
    try:
        whole = url if after is None else after.url.join(url)
        # Unpacked on the way, a file could not be compared with the length and the checksum that are announced for it.
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", **_USER_AGENT}
        request = httpx.Request("GET", whole, headers=headers, extensions=_timeouts(timeout))
    except (httpx.InvalidURL, ValueError) as error:
        raise DownloadError(f"Could not download {what}: its URL cannot be used ({reason(error)}).") from None
    if redirects > 5:
        place = without_query(str(request.url))
        raise DownloadError(f"{what} cannot be had: it was redirected {redirects} times, at last to {place}.")
    return request


_USER_AGENT = {"User-Agent": f"airflow-provider-wanx/{__version__}"}


def _timeouts(seconds: float) -> dict[str, Any]:
    return {"timeout": httpx.Timeout(seconds, connect=min(10.0, seconds)).as_dict()}


def read_answer(response: httpx.Response, body: bytes, doing: str) -> Answer:
    """Make an answer of what came; of a refusal without end, its beginning.

    :param body: as it came, packed, and as much of it as was read.
    :param doing: what was asked, for messages.
    :raises InvalidResponseError: it is too large, or packed in a way that was not offered.
    """
    host, packed = response.url.host, response.headers.get("content-encoding", "identity").strip().lower()
    unpacked = _unpacked(body, packed)
    answer = Answer(response.status_code, response.headers, (unpacked or b"")[:MAX_ANSWER_BYTES], doing)
    if unpacked is None:
        raise answer.invalid(f"the answer of {host} cannot be decoded ({packed})")
    # A refusal says by its status what it is.
    if len(unpacked) > MAX_ANSWER_BYTES and answer.status < 400:
        raise answer.invalid(
            f"the answer of {host} has more than {MAX_ANSWER_BYTES:,} bytes, as no answer of the service has"
        )
    return answer


def _unpacked(body: bytes, packed: str) -> bytes | None:
    if packed == "identity":
        return body
    with suppress(zlib.error):
        if packed == "gzip":
            stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            unpacked = stream.decompress(body, MAX_ANSWER_BYTES + 1)
            if stream.eof or len(unpacked) > MAX_ANSWER_BYTES:
                return unpacked
    return None
