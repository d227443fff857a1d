"""The local DashScope of a measurement, and fast submission of many jobs to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx

from airflow_provider_wanx.simulator.server import SimulatorProcess

# A small picture from a prompt: the same for all, so that the service's own work is next to nothing.
JOB: dict[str, Any] = {
    "model": "wanx-v1",
    "input": {"prompt": "a cat"},
    "parameters": {"size": "512*512", "n": 1},
}
PATH = "/api/v1/services/aigc/text2image/image-synthesis"
AT_ONCE = 8


def service(*, duration: float, concurrency: int, arguments: tuple[str, ...] = ()) -> SimulatorProcess:
    """Start a service that keeps to 20 requests a second on each task endpoint and takes jobs as fast as they come.

    :param duration: seconds that a job runs
    :param concurrency: jobs that run at a time
    :param arguments: more arguments of the simulator
    """
    return SimulatorProcess(
        arguments=(
            *("--duration", str(duration), "--concurrency", str(concurrency)),
            *("--submit-rate", "0", "--queue-limit", "1000000", *arguments),
        )
    )


async def submit(*, url: str, key: str, count: int) -> AsyncIterator[str]:
    """Submit jobs and give back their ids, in the order in which they were accepted or nearly so.

    :param count: number of jobs
    """
    headers = {"Authorization": f"Bearer {key}", "X-DashScope-Async": "enable"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as http:

        async def one() -> str:
            response = await http.post(PATH, json=JOB)
            response.raise_for_status()
            return str(response.json()["output"]["task_id"])

        left = count
        while left:
            step = min(AT_ONCE, left)
            left -= step
            for task_id in await asyncio.gather(*(one() for _ in range(step))):
                yield task_id


def requests_of(ledger: dict[str, Any]) -> dict[str, int]:
    """Count what the service saw of the waiting."""
    tallies = ledger["endpoints"]
    waiting = [tallies.get(name, {}) for name in ("get_task", "list_tasks")]
    return {
        "requests": sum(tally.get("requests", 0) for tally in waiting),
        "refused": sum(tally.get("refused", 0) for tally in waiting),
        "gets": waiting[0].get("requests", 0),
        "lists": waiting[1].get("requests", 0),
    }
