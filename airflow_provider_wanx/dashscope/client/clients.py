"""The two clients: one that blocks and one that awaits.

What both do is written once, in :class:`Exchange`, as coroutines. They differ in what is awaited there: each step of the
blocking client blocks and has nothing to await, so that :func:`run` gets through in one go, without an event loop.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import PurePosixPath
from ssl import SSLError
from typing import Any, Self, TypeVar, Unpack

import httpx

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.answers import Answer, raise_for_result
from airflow_provider_wanx.dashscope.api.endpoints import Call, Endpoint, NewTask
from airflow_provider_wanx.dashscope.api.filters import ModelFilters, QuotaFilters, TaskFilters
from airflow_provider_wanx.dashscope.client.connecting import Awaiting, Blocking
from airflow_provider_wanx.dashscope.client.download import ReceivedFile
from airflow_provider_wanx.dashscope.client.retries import at_other_address, repeating, repeating_submission
from airflow_provider_wanx.dashscope.client.transport import (
    MAX_ANSWER_BYTES,
    build_download,
    build_request,
    counted,
    read_answer,
    reason,
    transport_errors,
)
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import ApiError, DownloadError, ProviderError
from airflow_provider_wanx.dashscope.models import ModelPage, QuotaPage, Submission, Task, TaskPage
from airflow_provider_wanx.dashscope.pacing.pacer import Pacer
from airflow_provider_wanx.dashscope.polling import (
    DEFAULT_POLL_INTERVAL_SECONDS,
    TaskWait,
    Wait,
    succeeded,
)

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose every step blocks."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("A step of the blocking client has waited for an event loop.")


class Exchange:
    """What is sent and read, repeated and waited for, by either client.

    :param io: sends and sleeps.
    """

    def __init__(self, config: ClientConfig, io: Blocking | Awaiting) -> None:
        self.config = config
        self.io = io

    async def send(self, call: Call[T], before_sending: Callable[[], object] | None) -> T:
        """Send one call, and repeat it where that is safe."""
        if call.endpoint is Endpoint.SUBMIT:
            pacer = Pacer(call, self.config, before_sending)
            again = repeating_submission(call, self.config, pacer, sleep=self.io.sleep)
            return await again(self._send_in_turn, call, pacer)
        try:
            return await repeating(call, self.config, sleep=self.io.sleep)(self.send_once, call)
        except ApiError as error:
            return await self.send(at_other_address(call, error), None)

    async def _send_in_turn(self, call: Call[T], pacer: Pacer) -> T:
        while wait := await self.io.run_blocking(pacer.turn):
            await self.io.sleep(wait)
        if rest := pacer.prepare():
            await self.io.sleep(rest)
        try:
            with pacer.sending():
                return await self.send_once(call)
        finally:
            await self.io.run_blocking(pacer.tell_others)

    async def send_once(self, call: Call[T], timeout: float | None = None) -> T:  # noqa: ASYNC109
        """Send one call a single time."""
        request = build_request(call, self.config, self.config.timeout if timeout is None else timeout)
        with counted(call, self.config):
            with transport_errors(call.doing, request.url.netloc.decode()):
                answer = await self._read(await self.io.send(request, to_service=call.signed), call.doing)
            return call.read(answer)

    async def _read(self, response: httpx.Response, doing: str) -> Answer:
        body = bytearray()
        try:
            async for chunk in self.io.chunks(response):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    break
        finally:
            await self.io.close(response)
        return read_answer(response, bytes(body), doing)

    async def wait(self, task_id: str, poll_interval: float, timeout: float | None) -> Task:  # noqa: ASYNC109
        """Wait until a task has succeeded."""
        end_time = None if timeout is None else time.time() + timeout
        wait = TaskWait(endpoints.check_task_id(task_id), poll_interval, end_time)
        while True:
            seen: Task | ProviderError
            try:
                patience = wait.look_timeout(self.config.timeout, now=time.time())
                seen = await self.send_once(endpoints.get_task(task_id), patience)
            except ProviderError as error:
                seen = error
            decision = wait.after(seen, now=time.time())
            if not isinstance(decision, Wait):
                return succeeded(decision)
            await self.io.sleep(decision.seconds)

    async def upload(self, filename: str, content: bytes, model: str) -> str:
        """Upload a file, as a whole: the store never overwrites, so every try needs a policy and a name of its own."""
        again = repeating(None, self.config, sleep=self.io.sleep)
        return await again(self._upload_once, filename, content, model)

    async def _upload_once(self, filename: str, content: bytes, model: str) -> str:
        policy = await self.send(endpoints.get_upload_policy(model), None)
        return await self.send(endpoints.upload(policy, filename=filename, content=content), None)

    async def open(self, url: str, what: str) -> tuple[httpx.Response, ReceivedFile]:
        """Begin a download, wherever it is redirected to."""
        timeout = self.config.timeout
        request, redirects = build_download(url, what, timeout), 0
        extension = PurePosixPath(request.url.path).suffix.lower()
        while True:
            with transport_errors(f"download {what}", request.url.host):
                response = await self.io.send(request, to_service=False)
                if not response.is_success and not response.has_redirect_location:
                    raise_for_result(await self._read(response, f"download {what}"))
            try:
                if not response.has_redirect_location:
                    return response, ReceivedFile(what=what, headers=response.headers, extension=extension)
                redirects += 1
                location = response.headers["location"]
                request = build_download(location, what, timeout, after=response, redirects=redirects)
            except BaseException:
                await self.io.close(response)
                raise
            await self.io.close(response)

    async def checked(self, response: httpx.Response, received: ReceivedFile) -> AsyncGenerator[bytes, None]:
        """Hand out a download's chunks, and check the file in the end."""
        try:
            async for chunk in self.io.chunks(response):
                received.add(chunk)
                yield chunk
        except (httpx.RequestError, SSLError) as error:
            expected = f" of {received.expected_size}" if received.expected_size is not None else ""
            raise DownloadError(
                f"{received.what} broke off after {received.size}{expected} bytes ({reason(error)})."
            ) from error
        received.finish()


class DashScopeClient:
    """The blocking client. Use it as a context manager, or call :meth:`close`.

    :param config: where and how to reach the service.
    :param transport: sends the requests instead of httpx's own.
    """

    def __init__(self, config: ClientConfig, *, transport: httpx.BaseTransport | None = None) -> None:
        self.config = config
        self._exchange = Exchange(config, Blocking(config, transport))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        run(self._exchange.io.close_all())

    def send(self, call: Call[T], *, before_sending: Callable[[], object] | None = None) -> T:
        """Send one call and read its answer, repeating it for up to ``retry_for`` seconds where that is safe.

        A submission is held back until its turn has come; see :mod:`pacing`.

        :param before_sending: for submissions: called each time right before one is sent.
        :raises ProviderError: what :mod:`errors` lists.
        """
        return run(self._exchange.send(call, before_sending))

    def send_once(self, call: Call[T], *, timeout: float | None = None) -> T:
        """Send one call a single time; for callers that repeat by rules of their own.

        :param timeout: seconds for the answer; by default the configuration's.
        """
        return run(self._exchange.send_once(call, timeout))

    def submit_task(self, **new_task: Unpack[NewTask]) -> Submission:
        """See :func:`endpoints.submit_task`."""
        return self.send(endpoints.submit_task(**new_task))

    def get_task(self, task_id: str) -> Task:
        """See :func:`endpoints.get_task`."""
        return self.send(endpoints.get_task(task_id))

    def wait(
        self,
        task_id: str,
        *,
        poll_interval: float = DEFAULT_POLL_INTERVAL_SECONDS,
        timeout: float | None = None,
    ) -> Task:
        """Wait until a task has succeeded.

        A look that fails is repeated unless that is of no use, and ``UNKNOWN`` is not believed at once: see :mod:`polling`.

        :param task_id: the service's id.
        :param poll_interval: seconds between two looks.
        :param timeout: seconds after which the wait is given up, None for never. The task itself goes on.
        :return: the task, with its results.
        :raises TaskNotSucceededError: it has ended otherwise.
        :raises WaitTimeoutError: the time is over.
        :raises ProviderError: looking again is of no use, for example because the key was refused.
        """
        return run(self._exchange.wait(task_id, poll_interval, timeout))

    def list_tasks(self, **filters: Unpack[TaskFilters]) -> TaskPage:
        """See :func:`endpoints.list_tasks`."""
        return self.send(endpoints.list_tasks(**filters))

    def cancel_task(self, task_id: str) -> bool:
        """See :func:`endpoints.cancel_task`."""
        return self.send(endpoints.cancel_task(task_id))

    def get_quotas(self, **filters: Unpack[QuotaFilters]) -> QuotaPage:
        """See :func:`endpoints.get_quotas`."""
        return self.send(endpoints.get_quotas(**filters))

    def list_models(self, **filters: Unpack[ModelFilters]) -> ModelPage:
        """See :func:`endpoints.list_models`."""
        return self.send(endpoints.list_models(**filters))

    def upload_file(self, *, filename: str, content: bytes, model: str) -> str:
        """Put a file into the service's temporary store, for 48 hours and for use with one model.

        :return: its ``oss://`` URL.
        """
        return run(self._exchange.upload(filename, content, model))

    @contextmanager
    def download(
        self, url: str, *, what: str = "the result"
    ) -> Iterator[tuple[ReceivedFile, Iterator[bytes]]]:
        """Read a result's bytes as they come, in constant memory.

        :param url: URL of the result; the API key is not sent to it.
        :param what: which file, for messages.
        :return: what is known of the file, and its chunks; having read them all, the file is checked.
        :raises DownloadError: it did not arrive whole.
        :raises ForbiddenHostError: the URL leads to where it may not.
        :raises ResultExpiredError: the URL is past its time.
        """
        response, received = run(self._exchange.open(url, what))
        with contextlib.closing(response):
            yield received, _each(self._exchange.checked(response, received))


def _each(chunks: AsyncGenerator[bytes, None]) -> Iterator[bytes]:
    with contextlib.suppress(StopAsyncIteration):
        while True:
            yield run(chunks.asend(None))


class AsyncDashScopeClient:
    """The asynchronous client, for use inside one event loop.

    :param config: where and how to reach the service.
    :param transport: sends the requests instead of httpx's own.
    """

    def __init__(self, config: ClientConfig, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.config = config
        self._exchange = Exchange(config, Awaiting(config, transport))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._exchange.io.close_all()

    async def send(self, call: Call[T], *, before_sending: Callable[[], object] | None = None) -> T:
        """See :meth:`DashScopeClient.send`."""
        return await self._exchange.send(call, before_sending)

    async def send_once(self, call: Call[T], *, timeout: float | None = None) -> T:  # noqa: ASYNC109
        """See :meth:`DashScopeClient.send_once`."""
        return await self._exchange.send_once(call, timeout)

    async def submit_task(self, **new_task: Unpack[NewTask]) -> Submission:
        """See :func:`endpoints.submit_task`."""
        return await self.send(endpoints.submit_task(**new_task))

    async def get_task(self, task_id: str) -> Task:
        """See :func:`endpoints.get_task`."""
        return await self.send(endpoints.get_task(task_id))

    async def wait(
        self,
        task_id: str,
        *,
        poll_interval: float = DEFAULT_POLL_INTERVAL_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - the last look is at the deadline, and not broken off
    ) -> Task:
        """See :meth:`DashScopeClient.wait`."""
        return await self._exchange.wait(task_id, poll_interval, timeout)

    async def list_tasks(self, **filters: Unpack[TaskFilters]) -> TaskPage:
        """See :func:`endpoints.list_tasks`."""
        return await self.send(endpoints.list_tasks(**filters))

    async def cancel_task(self, task_id: str) -> bool:
        """See :func:`endpoints.cancel_task`."""
        return await self.send(endpoints.cancel_task(task_id))

    async def upload_file(self, *, filename: str, content: bytes, model: str) -> str:
        """See :meth:`DashScopeClient.upload_file`."""
        return await self._exchange.upload(filename, content, model)

    @asynccontextmanager
    async def download(
        self, url: str, *, what: str = "the result"
    ) -> AsyncIterator[tuple[ReceivedFile, AsyncIterator[bytes]]]:
        """See :meth:`DashScopeClient.download`."""
        response, received = await self._exchange.open(url, what)
        async with contextlib.aclosing(response):
            yield received, self._exchange.checked(response, received)
