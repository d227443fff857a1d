"""The ways to wait that are compared. Each waits for one task and says whether it was told that the task has succeeded."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

Waiter = Callable[[str], Awaitable[bool]]
POLL_INTERVAL = 3.0
PROVIDER, PLAIN, SDK_ASYNC, SDK_THREADS = "provider", "plain trigger", "SDK asyncio", "SDK threads"
SDK_2_THREADS = "SDK 2.0 threads"
CLIENTS = (PROVIDER, PLAIN, SDK_ASYNC, SDK_THREADS, SDK_2_THREADS)
IN_THREADS = (SDK_THREADS, SDK_2_THREADS)


def waiter(client: str, *, url: str, key: str, most: int) -> Waiter:
    """Make one of the ways to wait.

    :param most: number of waits at a time
    """
    makers = {
        PROVIDER: _provider,
        PLAIN: _plain,
        SDK_ASYNC: _sdk_async,
        SDK_THREADS: _sdk_threads,
        SDK_2_THREADS: _sdk_2_threads,
    }
    return makers[client](url, key, most)


def _provider(url: str, key: str, most: int) -> Waiter:
    """This package's trigger, as the triggerer runs it."""
    from airflow.models.connection import Connection

    from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger

    connection = Connection(conn_id="dashscope_default", conn_type="dashscope", host=url, password=key)
    os.environ["AIRFLOW_CONN_DASHSCOPE_DEFAULT"] = connection.as_json()

    async def wait(task_id: str) -> bool:
        trigger = DashScopeTaskTrigger(dashscope_task_ids=[task_id], end_time=time.time() + 4 * 3600)
        async for event in trigger.run():
            return bool(event.payload["statuses"].get(task_id) == "SUCCEEDED")
        return False

    return wait


class PlainTrigger:
    """A trigger as most providers have it: every wait polls by itself."""

    def __init__(self, *, url: str, key: str, task_id: str) -> None:
        self._path = f"{url}/api/v1/tasks/{task_id}"
        self._key = key

    async def run(
        self, http: httpx.AsyncClient, connections: asyncio.Semaphore
    ) -> AsyncIterator[dict[str, Any]]:
        """Poll until the task has ended; an answer that is no answer is waited out.

        :param http: the client that all share
        :param connections: what it has of them
        """
        while True:
            async with connections:
                response = await http.get(self._path, headers={"Authorization": f"Bearer {self._key}"})
            if response.is_success:
                status = response.json()["output"]["task_status"]
                if status not in ("PENDING", "RUNNING"):
                    yield {"status": status}
                    return
            await asyncio.sleep(POLL_INTERVAL)


def _plain(url: str, key: str, most: int) -> Waiter:
    # One client for all is more than most triggers do; without it, this would measure nothing but handshakes.
    http = httpx.AsyncClient(timeout=60, trust_env=False)
    # Its own queue for connections takes a time that grows with the square of its length.
    connections = asyncio.Semaphore(100)

    async def wait(task_id: str) -> bool:
        async for event in PlainTrigger(url=url, key=key, task_id=task_id).run(http, connections):
            return bool(event["status"] == "SUCCEEDED")
        return False

    return wait


def _sdk_async(url: str, key: str, most: int) -> Waiter:
    import dashscope
    from dashscope.client.base_api import BaseAsyncAioApi

    dashscope.base_http_api_url = f"{url}/api/v1"

    async def wait(task_id: str) -> bool:
        answer = await BaseAsyncAioApi.wait(task_id, api_key=key)
        return _sdk_succeeded(answer)

    return wait


def _sdk_threads(url: str, key: str, most: int) -> Waiter:
    import dashscope
    from dashscope.client.base_api import BaseAsyncApi

    dashscope.base_http_api_url = f"{url}/api/v1"
    return _in_threads(lambda task_id: _sdk_succeeded(BaseAsyncApi.wait(task_id, api_key=key)), most)


def _sdk_2_threads(url: str, key: str, most: int) -> Waiter:
    import dashscope

    jobs = dashscope.Client(api_key=key, base_url=f"{url}/api/v1").images.jobs
    return _in_threads(lambda task_id: bool(jobs.wait(task_id).status == "SUCCEEDED"), most)


def _in_threads(wait_for: Callable[[str], bool], most: int) -> Waiter:
    pool = ThreadPoolExecutor(max_workers=most)

    async def wait(task_id: str) -> bool:
        return await asyncio.get_running_loop().run_in_executor(pool, wait_for, task_id)

    return wait


def _sdk_succeeded(answer: Any) -> bool:
    return bool(answer.status_code == 200 and answer.output and answer.output["task_status"] == "SUCCEEDED")
