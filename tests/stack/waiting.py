"""Waiting for a condition, and for an answer over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import httpx
from botocore.exceptions import HTTPClientError

from tests.errors import StackError

_T = TypeVar("_T")

PATIENCE = 600.0
"""Seconds for whatever must happen at last. Only what is broken takes that long, and a machine that is busy otherwise."""


class NotNowError(StackError):
    """A server answers that something went wrong on its side; it may do better when it is asked again."""


FAILED_LOOKS = (NotNowError, httpx.TransportError, HTTPClientError, ConnectionError, TimeoutError)
"""What it looks like when a server is not there, or too busy to answer: another look may find more."""

_is_waiting: ContextVar[bool] = ContextVar("is_waiting", default=False)


def wait_until(
    condition: Callable[[], _T | None],
    *,
    what: str,
    timeout: float = PATIENCE,
    interval: float = 0.1,
    found: Callable[[], str] | None = None,
) -> _T:
    """Wait until a condition returns something true, and return that. A look that fails counts as one that finds nothing.

    :param condition: called again and again
    :param what: what is waited for, for the message
    :param interval: seconds between two calls
    :param found: tells for the message what there is instead
    :raises StackError: when the time is over
    """
    deadline = time.monotonic() + timeout
    outer = _is_waiting.set(True)
    try:
        while True:
            instead = ""
            try:
                if value := condition():
                    return value
                if time.monotonic() > deadline:
                    instead = f": {found()}" if found is not None else ""
            except FAILED_LOOKS as error:
                instead = f": {_last_line(str(error)) or type(error).__name__}"
            if time.monotonic() > deadline:
                raise StackError(f"Waited {timeout:.0f} s in vain for {what}{instead}")
            time.sleep(interval)
    finally:
        _is_waiting.reset(outer)


class PatientClient:
    """HTTP to one server, which is asked again as long as it does not answer.

    Within :func:`wait_until` it is asked once, because that looks again itself. What must not be done twice is sent once, and
    has all the time for its one answer.

    :param base_url: address of the server
    :param patience: seconds until a request is given up
    :param asks_again_after: seconds after which a request without an answer is sent anew
    :param pause: seconds after an answer that tells nothing, before the next request
    """

    def __init__(
        self, *, base_url: str, patience: float = PATIENCE, asks_again_after: float = 30.0, pause: float = 0.5
    ) -> None:
        self._patience = patience
        self._pause = pause
        self._asks_again_after = asks_again_after
        self._http = httpx.Client(base_url=base_url, timeout=asks_again_after, trust_env=False)
        self.headers = self._http.headers

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def answer(self, method: str, path: str, *, again: bool = False, **arguments: Any) -> httpx.Response:
        """Send a request until there is an answer, which may be a refusal.

        :param method: the HTTP method
        :param path: address below that of the server
        :param again: whether it may be done twice, as everything that only reads may
        :param arguments: those of :meth:`httpx.Client.request`
        :raises StackError: when there is none
        """
        repeatable = again or method == "GET"
        if not repeatable:
            arguments["timeout"] = httpx.Timeout(self._patience, connect=self._asks_again_after)

        def ask() -> tuple[httpx.Response]:
            try:
                response = self._http.request(method, path, **arguments)
            except httpx.TransportError as error:
                if repeatable or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    raise
                raise StackError(f"{method} {path} was sent and not answered: {error!r}") from error
            if response.is_server_error:
                raise NotNowError(_refusal(response))
            return (response,)

        if _is_waiting.get():
            return ask()[0]
        what = f"an answer to {method} {path}"
        return wait_until(ask, timeout=self._patience, interval=self._pause, what=what)[0]


def checked(response: httpx.Response) -> httpx.Response:
    """Return an answer that tells of success.

    :param response: the answer
    :raises StackError: when it is a refusal
    """
    if not response.is_success:
        raise StackError(_refusal(response))
    return response


def _refusal(response: httpx.Response) -> str:
    request = response.request
    return f"{request.method} {request.url.path}: HTTP {response.status_code} {response.text[:2000]}"


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
