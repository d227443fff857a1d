"""One face for both clients, so that one test holds for both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient, DashScopeClient
from airflow_provider_wanx.dashscope.client.download import ReceivedFile
from airflow_provider_wanx.dashscope.config import ClientConfig, Limits
from airflow_provider_wanx.dashscope.models import Submission, Task, TaskPage

T = TypeVar("T")

KEY = "sk-unit-0123456789abcdef"

REPAINT: dict[str, Any] = {
    "service": "aigc/image-generation/generation",
    "model": "wanx-style-repaint-v1",
    "input": {"image_url": "https://pictures.example/me.jpg", "style_index": 3},
}


_NO_LIMITS = Limits(submissions_per_second=1000, requests_per_second=1000)


def config(url: str, **more: Any) -> ClientConfig:
    """A configuration for a server on loopback, with little patience, and an account whose limits are never met."""
    settings: dict[str, Any] = {"api_key": KEY, "timeout": 10.0, "retry_for": 10.0, "limits": _NO_LIMITS}
    return ClientConfig(base_url=url, **(settings | more))


class Shell(Protocol):
    """What both clients can do, blocking."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def send(self, call: Call[T], *, before_sending: Callable[[], object] | None = None) -> T: ...
    def send_once(self, call: Call[T]) -> T: ...
    def submit_task(
        self,
        *,
        service: str,
        model: str,
        input: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> Submission: ...
    def get_task(self, task_id: str) -> Task: ...
    def wait(self, task_id: str, *, poll_interval: float = ..., timeout: float | None = ...) -> Task: ...
    def list_tasks(self, **filters: Any) -> TaskPage: ...
    def cancel_task(self, task_id: str) -> bool: ...
    def upload_file(self, *, filename: str, content: bytes, model: str) -> str: ...
    def download(
        self, url: str, *, what: str = "the result", take: Callable[[bytes], object] = len
    ) -> ReceivedFile: ...


class SyncShell(DashScopeClient):
    """The blocking client, with downloads read to their end."""

    def download(  # type: ignore[override]
        self, url: str, *, what: str = "the result", take: Callable[[bytes], object] = len
    ) -> ReceivedFile:
        with super().download(url, what=what) as (received, chunks):
            for chunk in chunks:
                take(chunk)
        return received


class AsyncShell:
    """The asynchronous client, in an event loop of its own."""

    def __init__(self, config: ClientConfig) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncDashScopeClient(config)
        self._closed = False

    def __enter__(self) -> Self:
        self._runner.run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closed:
            self._closed = True
            self._runner.run(self._client.__aexit__(kind, error, trace))
            self._runner.close()

    def send(self, call: Call[T], *, before_sending: Callable[[], object] | None = None) -> T:
        return self._runner.run(self._client.send(call, before_sending=before_sending))

    def send_once(self, call: Call[T]) -> T:
        return self._runner.run(self._client.send_once(call))

    def submit_task(
        self,
        *,
        service: str,
        model: str,
        input: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> Submission:
        return self._runner.run(
            self._client.submit_task(service=service, model=model, input=input, parameters=parameters)
        )

    def get_task(self, task_id: str) -> Task:
        return self._runner.run(self._client.get_task(task_id))

    def wait(self, task_id: str, *, poll_interval: float = 3.0, timeout: float | None = None) -> Task:
        return self._runner.run(self._client.wait(task_id, poll_interval=poll_interval, timeout=timeout))

    def list_tasks(self, **filters: Any) -> TaskPage:
        return self._runner.run(self._client.list_tasks(**filters))

    def cancel_task(self, task_id: str) -> bool:
        return self._runner.run(self._client.cancel_task(task_id))

    def upload_file(self, *, filename: str, content: bytes, model: str) -> str:
        return self._runner.run(self._client.upload_file(filename=filename, content=content, model=model))

    def download(
        self, url: str, *, what: str = "the result", take: Callable[[bytes], object] = len
    ) -> ReceivedFile:
        async def read() -> ReceivedFile:
            async with self._client.download(url, what=what) as (received, chunks):
                async for chunk in chunks:
                    take(chunk)
            return received

        return self._runner.run(read())


SHELLS: dict[str, Callable[[ClientConfig], Any]] = {"blocking": SyncShell, "asynchronous": AsyncShell}
