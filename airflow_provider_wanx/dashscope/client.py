"""The two clients: one that blocks and one that awaits, both thin shells over :mod:`endpoints`.

They differ only in how they send. What is sent, how an answer is read, what is repeated and for how long is decided
once, in code that both use.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from airflow_provider_wanx.dashscope import endpoints
from airflow_provider_wanx.dashscope.answers import Answer, raise_for_result
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.download import CHUNK_BYTES, ReceivedFile
from airflow_provider_wanx.dashscope.endpoints import Call
from airflow_provider_wanx.dashscope.error_table import ErrorKind
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    DashScopeError,
    DownloadError,
    InvalidResponseError,
    LostAnswerError,
    TransportError,
)
from airflow_provider_wanx.dashscope.models import QuotaPage, Submission, Task, TaskPage

T = TypeVar("T")

MAX_WAIT = 20.0
"""Longest pause between two tries of one call, in seconds, unless the service asks for a longer one."""

UPLOAD_TRIES = 3

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


_SENDING: ContextVar[bool] = ContextVar("airflow_provider_wanx_sending", default=False)


def _not_ours(record: logging.LogRecord) -> bool:
    """Drop httpx's own line about each request of ours: it shows signed URLs, and there is one for every look at a task."""
    return not _SENDING.get()


logging.getLogger("httpx").addFilter(_not_ours)


def _may_repeat(call: Call[Any], error: BaseException) -> bool:
    """Whether one more try of the same call can help and can do no harm."""
    if not isinstance(error, DashScopeError) or not error.retryable:
        return False
    if isinstance(error, ApiError) and error.kind not in (ErrorKind.THROTTLING, ErrorKind.SERVICE):
        return False
    return call.repeatable or error.certainly_refused


class _RetryWait:
    """Full jitter, growing; at least as long as the service asked."""

    def __init__(self) -> None:
        self._jitter = wait_random_exponential(multiplier=0.5, max=MAX_WAIT)

    def __call__(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None) or 0.0
        return float(asked) + self._jitter(state)


def _retry_rules(call: Call[Any], config: ClientConfig) -> dict[str, Any]:
    return {
        "retry": retry_if_exception(lambda error: _may_repeat(call, error)),
        "wait": _RetryWait(),
        "stop": stop_before_delay(config.retry_for),
        "reraise": True,
    }


@contextmanager
def _transport_errors(doing: str, host: str) -> Iterator[None]:
    """Turn httpx's errors into this package's, with what they mean for a request that may have been sent."""
    token = _SENDING.set(True)
    try:
        yield
    except _NOT_SENT as error:
        raise TransportError(f"Could not {doing}: {host} cannot be reached ({_reason(error)}).") from error
    except httpx.DecodingError as error:
        raise InvalidResponseError(f"Could not {doing}: the answer of {host} cannot be decoded.") from error
    except httpx.TransportError as error:
        raise LostAnswerError(
            f"Could not {doing}: no complete answer from {host} ({_reason(error)})."
        ) from error
    finally:
        _SENDING.reset(token)


def _reason(error: Exception) -> str:
    return " ".join(part for part in (type(error).__name__, str(error)) if part)


def _request(http: httpx.Client | httpx.AsyncClient, call: Call[Any], config: ClientConfig) -> httpx.Request:
    headers = {"Accept": "application/json", **call.headers}
    if call.signed:
        headers["Authorization"] = f"Bearer {config.api_key}"
        if config.workspace:
            headers["X-DashScope-WorkSpace"] = config.workspace
    return http.build_request(
        call.method,
        call.url if "://" in call.url else config.base_url + call.url,
        params=dict(call.params) or None,
        headers=headers,
        json=call.json,
        data=dict(call.form) if call.form else None,
        files={"file": call.file} if call.file else None,
    )


def _http_options(config: ClientConfig) -> dict[str, Any]:
    return {
        "timeout": httpx.Timeout(config.timeout, connect=min(10.0, config.timeout)),
        "headers": {"User-Agent": "airflow-provider-wanx"},
        "follow_redirects": False,
    }


def _answer(call: Call[Any], response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content, call.doing)


def _upload_rules(config: ClientConfig) -> dict[str, Any]:
    """Repeat an upload as a whole: the store never overwrites, so every try needs a policy and a name of its own."""
    return {
        "retry": retry_if_exception(lambda error: isinstance(error, DashScopeError) and error.retryable),
        "wait": _RetryWait(),
        "stop": stop_before_delay(config.retry_for) | stop_after_attempt(UPLOAD_TRIES),
        "reraise": True,
    }


class DashScopeClient:
    """The blocking client. Use it as a context manager, or call :meth:`close`.

    :param config: where and how to reach the service.
    """

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self._http = httpx.Client(**_http_options(config))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send one call and read its answer, repeating it for up to ``retry_for`` seconds where that is safe.

        :raises DashScopeError: what :mod:`errors` lists.
        """
        answer: T = Retrying(**_retry_rules(call, self.config))(self.send_once, call)
        return answer

    def send_once(self, call: Call[T]) -> T:
        """Send one call a single time; for callers that repeat by rules of their own."""
        request = _request(self._http, call, self.config)
        with _transport_errors(call.doing, request.url.host):
            response = self._http.send(request)
        return call.read(_answer(call, response))

    def submit_task(
        self,
        *,
        service: str,
        model: str,
        input: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> Submission:
        """See :func:`endpoints.submit_task`."""
        return self.send(
            endpoints.submit_task(service=service, model=model, input=input, parameters=parameters)
        )

    def get_task(self, task_id: str) -> Task:
        """See :func:`endpoints.get_task`."""
        return self.send(endpoints.get_task(task_id))

    def list_tasks(self, **filters: Any) -> TaskPage:
        """See :func:`endpoints.list_tasks` for the filters."""
        return self.send(endpoints.list_tasks(**filters))

    def cancel_task(self, task_id: str) -> bool:
        """See :func:`endpoints.cancel_task`."""
        return self.send(endpoints.cancel_task(task_id))

    def get_quotas(self, **filters: Any) -> QuotaPage:
        """See :func:`endpoints.get_quotas` for the filters."""
        return self.send(endpoints.get_quotas(**filters))

    def upload_file(self, *, filename: str, content: bytes, model: str) -> str:
        """Put a file into the service's temporary store, for 48 hours and for use with one model.

        :return: its ``oss://`` URL.
        """
        return Retrying(**_upload_rules(self.config))(self._upload_once, filename, content, model)

    def _upload_once(self, filename: str, content: bytes, model: str) -> str:
        policy = self.send(endpoints.get_upload_policy(model))
        return self.send(endpoints.upload(policy, filename=filename, content=content))

    @contextmanager
    def download(
        self, url: str, *, what: str = "the result"
    ) -> Iterator[tuple[ReceivedFile, Iterator[bytes]]]:
        """Read a result's bytes as they come, in constant memory.

        :param url: URL of the result; the API key is not sent to it.
        :param what: which file, for messages.
        :return: what is known of the file, and its chunks; having read them all, the file is checked.
        :raises DownloadError: it did not arrive whole.
        :raises ResultExpiredError: the URL is past its time.
        """
        request = self._http.build_request("GET", url)
        with _transport_errors(f"download {what}", request.url.host):
            response = self._http.send(request, stream=True)
            if not response.is_success:
                response.read()
        with contextlib.closing(response):
            received = _received(response, what)
            yield received, _checked(response.iter_bytes(CHUNK_BYTES), received)


class AsyncDashScopeClient:
    """The asynchronous client, for use inside one event loop.

    :param config: where and how to reach the service.
    """

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self._http = httpx.AsyncClient(**_http_options(config))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """See :meth:`DashScopeClient.send`."""
        return await AsyncRetrying(**_retry_rules(call, self.config))(self.send_once, call)

    async def send_once(self, call: Call[T]) -> T:
        """See :meth:`DashScopeClient.send_once`."""
        request = _request(self._http, call, self.config)
        with _transport_errors(call.doing, request.url.host):
            response = await self._http.send(request)
        return call.read(_answer(call, response))

    async def submit_task(
        self,
        *,
        service: str,
        model: str,
        input: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> Submission:
        """See :func:`endpoints.submit_task`."""
        return await self.send(
            endpoints.submit_task(service=service, model=model, input=input, parameters=parameters)
        )

    async def get_task(self, task_id: str) -> Task:
        """See :func:`endpoints.get_task`."""
        return await self.send(endpoints.get_task(task_id))

    async def list_tasks(self, **filters: Any) -> TaskPage:
        """See :func:`endpoints.list_tasks` for the filters."""
        return await self.send(endpoints.list_tasks(**filters))

    async def cancel_task(self, task_id: str) -> bool:
        """See :func:`endpoints.cancel_task`."""
        return await self.send(endpoints.cancel_task(task_id))

    async def get_quotas(self, **filters: Any) -> QuotaPage:
        """See :func:`endpoints.get_quotas` for the filters."""
        return await self.send(endpoints.get_quotas(**filters))

    async def upload_file(self, *, filename: str, content: bytes, model: str) -> str:
        """See :meth:`DashScopeClient.upload_file`."""
        return await AsyncRetrying(**_upload_rules(self.config))(self._upload_once, filename, content, model)

    async def _upload_once(self, filename: str, content: bytes, model: str) -> str:
        policy = await self.send(endpoints.get_upload_policy(model))
        return await self.send(endpoints.upload(policy, filename=filename, content=content))

    @asynccontextmanager
    async def download(
        self, url: str, *, what: str = "the result"
    ) -> AsyncIterator[tuple[ReceivedFile, AsyncIterator[bytes]]]:
        """See :meth:`DashScopeClient.download`."""
        request = self._http.build_request("GET", url)
        with _transport_errors(f"download {what}", request.url.host):
            response = await self._http.send(request, stream=True)
            if not response.is_success:
                await response.aread()
        async with contextlib.aclosing(response):
            received = _received(response, what)
            yield received, _achecked(response.aiter_bytes(CHUNK_BYTES), received)


def _received(response: httpx.Response, what: str) -> ReceivedFile:
    if not response.is_success:
        raise_for_result(Answer(response.status_code, response.headers, response.content, f"download {what}"))
    return ReceivedFile(
        what=what, headers=response.headers, extension=PurePosixPath(response.url.path).suffix.lower()
    )


def _checked(chunks: Iterator[bytes], received: ReceivedFile) -> Iterator[bytes]:
    with _broken_download(received):
        for chunk in chunks:
            received.add(chunk)
            yield chunk
    received.finish()


async def _achecked(chunks: AsyncIterator[bytes], received: ReceivedFile) -> AsyncIterator[bytes]:
    with _broken_download(received):
        async for chunk in chunks:
            received.add(chunk)
            yield chunk
    received.finish()


@contextmanager
def _broken_download(received: ReceivedFile) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        expected = f" of {received.expected_size}" if received.expected_size is not None else ""
        raise DownloadError(
            f"{received.what} broke off after {received.size}{expected} bytes ({_reason(error)})."
        ) from error
