"""The two clients: one that blocks and one that awaits, both thin shells over :mod:`endpoints`.

They differ only in how they send and sleep. Code that both use decides what to send, how to read an answer, what to repeat
for how long, and when a wait is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx
from tenacity import AsyncRetrying, Retrying

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.answers import raise_for_result
from airflow_provider_wanx.dashscope.api.endpoints import Call, Endpoint, NewTask
from airflow_provider_wanx.dashscope.api.filters import ModelFilters, QuotaFilters, TaskFilters
from airflow_provider_wanx.dashscope.client.bodies import aread_answer, async_stream, read_answer, sync_stream
from airflow_provider_wanx.dashscope.client.connecting import AsyncTransport, Transport
from airflow_provider_wanx.dashscope.client.download import ReceivedFile, Redirects
from airflow_provider_wanx.dashscope.client.retries import elsewhere, retry_rules, submit_rules, upload_rules
from airflow_provider_wanx.dashscope.client.transport import (
    build_download,
    build_request,
    counted,
    http_options,
    reason,
    transport_errors,
)
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import ApiError, DownloadError, ProviderError
from airflow_provider_wanx.dashscope.models import ModelPage, QuotaPage, Submission, Task, TaskPage
from airflow_provider_wanx.dashscope.pacing.pacer import Pacer
from airflow_provider_wanx.dashscope.polling import (
    DEFAULT_POLL_INTERVAL_SECONDS,
    Decision,
    TaskWait,
    Wait,
    succeeded,
)

T = TypeVar("T")


class DashScopeClient:
    """The blocking client. Use it as a context manager, or call :meth:`close`.

    :param config: where and how to reach the service.
    :param transport: sends the requests instead of httpx's own.
    """

    def __init__(self, config: ClientConfig, *, transport: httpx.BaseTransport | None = None) -> None:
        self.config = config
        options = http_options(config)
        # The service itself, and where its answers lead.
        self._http = httpx.Client(**options, transport=transport or Transport(config, to_service=True))
        self._elsewhere = httpx.Client(**options, transport=transport or Transport(config, to_service=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()
        self._elsewhere.close()

    def send(self, call: Call[T], *, before_sending: Callable[[], object] | None = None) -> T:
        """Send one call and read its answer, repeating it for up to ``retry_for`` seconds where that is safe.

        A submission is held back until its turn has come; see :mod:`pacing`.

        :param before_sending: for submissions: called each time right before one is sent.
        :raises ProviderError: what :mod:`errors` lists.
        """
        if call.endpoint is Endpoint.SUBMIT:
            pacer = Pacer(call, self.config, before_sending)
            rules = submit_rules(call, self.config, pacer)
            submitted: T = Retrying(**rules)(self._send_in_turn, call, pacer)
            return submitted
        try:
            answer: T = Retrying(**retry_rules(call, self.config))(self.send_once, call)
        except ApiError as error:
            return self.send(elsewhere(call, error))
        return answer

    def _send_in_turn(self, call: Call[T], pacer: Pacer) -> T:
        while wait := pacer.turn():
            time.sleep(wait)
        if rest := pacer.prepare():
            time.sleep(rest)
        try:
            with pacer.sending():
                return self.send_once(call)
        finally:
            pacer.learn()

    def send_once(self, call: Call[T], *, timeout: float | None = None) -> T:
        """Send one call a single time; for callers that repeat by rules of their own.

        :param timeout: seconds for the answer; by default the configuration's.
        """
        http = self._http if call.signed else self._elsewhere
        request = build_request(http, call, self.config, timeout)
        with counted(call, self.config):
            with transport_errors(call.doing, request.url.netloc.decode()):
                answer = read_answer(http.send(request, stream=True), call.doing)
            return call.read(answer)

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
        wait = _new_wait(task_id, poll_interval, timeout)
        while isinstance(decision := self._look(wait), Wait):
            time.sleep(decision.seconds)
        return succeeded(decision)

    def _look(self, wait: TaskWait) -> Decision:
        try:
            timeout = wait.look_timeout(self.config.timeout, now=time.time())
            task = self.send_once(endpoints.get_task(wait.task_id), timeout=timeout)
        except ProviderError as error:
            return wait.after_error(error, now=time.time())
        return wait.after_task(task, now=time.time())

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
        return Retrying(**upload_rules(self.config))(self._upload_once, filename, content, model)

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
        :raises ForbiddenHostError: the URL leads to where it may not.
        :raises ResultExpiredError: the URL is past its time.
        """
        request, steps = build_download(self._elsewhere, url, what), Redirects(what)
        extension = PurePosixPath(request.url.path).suffix.lower()
        while True:
            with transport_errors(f"download {what}", request.url.host):
                response = self._elsewhere.send(request, stream=True)
                if not response.is_success and not response.has_redirect_location:
                    raise_for_result(read_answer(response, f"download {what}"))
            with contextlib.closing(response):
                if response.has_redirect_location:
                    request = steps.follow(response)
                    continue
                received = ReceivedFile(what=what, headers=response.headers, extension=extension)
                yield received, _checked(sync_stream(response), received)
                return


class AsyncDashScopeClient:
    """The asynchronous client, for use inside one event loop.

    :param config: where and how to reach the service.
    :param transport: sends the requests instead of httpx's own.
    """

    def __init__(self, config: ClientConfig, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.config = config
        options = http_options(config)
        # The service itself, and where its answers lead.
        self._http = httpx.AsyncClient(
            **options, transport=transport or AsyncTransport(config, to_service=True)
        )
        self._elsewhere = httpx.AsyncClient(
            **options, transport=transport or AsyncTransport(config, to_service=False)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        await self._elsewhere.aclose()

    async def send(self, call: Call[T], *, before_sending: Callable[[], object] | None = None) -> T:
        """See :meth:`DashScopeClient.send`."""
        if call.endpoint is Endpoint.SUBMIT:
            pacer = Pacer(call, self.config, before_sending)
            return await AsyncRetrying(**submit_rules(call, self.config, pacer))(
                self._send_in_turn, call, pacer
            )
        try:
            return await AsyncRetrying(**retry_rules(call, self.config))(self.send_once, call)
        except ApiError as error:
            return await self.send(elsewhere(call, error))

    async def _send_in_turn(self, call: Call[T], pacer: Pacer) -> T:
        while wait := await self._aside(pacer.turn):  # noqa: ASYNC110 - other processes tell nothing
            await asyncio.sleep(wait)
        if rest := pacer.prepare():
            await asyncio.sleep(rest)
        try:
            with pacer.sending():
                return await self.send_once(call)
        finally:
            await self._aside(pacer.learn)

    async def _aside(self, function: Callable[[], T]) -> T:
        # A place that is shared by machines takes its time; the machine's own file is quicker than a thread.
        return function() if self.config.shared_place is None else await asyncio.to_thread(function)

    async def send_once(
        self,
        call: Call[T],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - of each step of the request
    ) -> T:
        """See :meth:`DashScopeClient.send_once`."""
        http = self._http if call.signed else self._elsewhere
        request = build_request(http, call, self.config, timeout)
        with counted(call, self.config):
            with transport_errors(call.doing, request.url.netloc.decode()):
                answer = await aread_answer(await http.send(request, stream=True), call.doing)
            return call.read(answer)

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
        wait = _new_wait(task_id, poll_interval, timeout)
        while isinstance(decision := await self._look(wait), Wait):  # noqa: ASYNC110 - the service tells nothing
            await asyncio.sleep(decision.seconds)
        return succeeded(decision)

    async def _look(self, wait: TaskWait) -> Decision:
        try:
            timeout = wait.look_timeout(self.config.timeout, now=time.time())
            task = await self.send_once(endpoints.get_task(wait.task_id), timeout=timeout)
        except ProviderError as error:
            return wait.after_error(error, now=time.time())
        return wait.after_task(task, now=time.time())

    async def list_tasks(self, **filters: Unpack[TaskFilters]) -> TaskPage:
        """See :func:`endpoints.list_tasks`."""
        return await self.send(endpoints.list_tasks(**filters))

    async def cancel_task(self, task_id: str) -> bool:
        """See :func:`endpoints.cancel_task`."""
        return await self.send(endpoints.cancel_task(task_id))

    async def upload_file(self, *, filename: str, content: bytes, model: str) -> str:
        """See :meth:`DashScopeClient.upload_file`."""
        return await AsyncRetrying(**upload_rules(self.config))(self._upload_once, filename, content, model)

    async def _upload_once(self, filename: str, content: bytes, model: str) -> str:
        policy = await self.send(endpoints.get_upload_policy(model))
        return await self.send(endpoints.upload(policy, filename=filename, content=content))

    @asynccontextmanager
    async def download(
        self, url: str, *, what: str = "the result"
    ) -> AsyncIterator[tuple[ReceivedFile, AsyncIterator[bytes]]]:
        """See :meth:`DashScopeClient.download`."""
        request, steps = build_download(self._elsewhere, url, what), Redirects(what)
        extension = PurePosixPath(request.url.path).suffix.lower()
        while True:
            with transport_errors(f"download {what}", request.url.host):
                response = await self._elsewhere.send(request, stream=True)
                if not response.is_success and not response.has_redirect_location:
                    raise_for_result(await aread_answer(response, f"download {what}"))
            async with contextlib.aclosing(response):
                if response.has_redirect_location:
                    request = steps.follow(response)
                    continue
                received = ReceivedFile(what=what, headers=response.headers, extension=extension)
                yield received, _achecked(async_stream(response), received)
                return


def _new_wait(task_id: str, poll_interval: float, timeout: float | None) -> TaskWait:
    end_time = None if timeout is None else time.time() + timeout
    return TaskWait(endpoints.check_task_id(task_id), poll_interval, end_time)


def _checked(chunks: Iterable[bytes], received: ReceivedFile) -> Iterator[bytes]:
    with _broken_download(received):
        for chunk in chunks:
            received.add(chunk)
            yield chunk
    received.finish()


async def _achecked(chunks: AsyncIterable[bytes], received: ReceivedFile) -> AsyncIterator[bytes]:
    with _broken_download(received):
        async for chunk in chunks:
            received.add(chunk)
            yield chunk
    received.finish()


@contextmanager
def _broken_download(received: ReceivedFile) -> Iterator[None]:
    try:
        yield
    except httpx.RequestError as error:
        expected = f" of {received.expected_size}" if received.expected_size is not None else ""
        raise DownloadError(
            f"{received.what} broke off after {received.size}{expected} bytes ({reason(error)})."
        ) from error
