"""What waiting alone costs, by the number of waits: jobs that do not end, for a few seconds."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_wanx.simulator.server import SimulatorProcess
from tests.benchmarks.clients import CLIENTS, IN_THREADS
from tests.benchmarks.processes import environment, reports_of, start_all
from tests.benchmarks.service import requests_of, service, submit

NUMBERS = (1, 10, 100, 1_000, 10_000)
MOST_THREADS = 1_000
"""A thread a wait: more than that is no way to wait."""


def measure(
    *, clients: Sequence[str] = CLIENTS, numbers: Sequence[int] = NUMBERS, seconds: float = 6.0
) -> Iterator[dict[str, Any]]:
    """Measure clients one after the other on the same jobs.

    :param numbers: numbers of waits
    :param seconds: how long to wait each time
    """
    with service(duration=100_000, concurrency=1) as simulator:
        ids = asyncio.run(_ids(simulator, max(numbers)))
        for client in clients:
            for number in numbers:
                if client not in IN_THREADS or number <= MOST_THREADS:
                    figures = asyncio.run(_run(client, ids[:number], simulator, seconds))
                    yield {"client": client, "n": number, **figures}


async def _ids(simulator: SimulatorProcess, count: int) -> list[str]:
    return [task_id async for task_id in submit(url=simulator.url, key=simulator.api_key, count=count)]


async def _run(
    client: str, ids: Sequence[str], simulator: SimulatorProcess, seconds: float
) -> dict[str, Any]:
    # The service's window of one second is to be empty.
    await asyncio.sleep(1.1)
    before = requests_of(simulator.ledger(summary=True))
    arguments = [client, simulator.url, simulator.api_key, str(len(ids)), str(seconds)]
    command = [sys.executable, "-m", "tests.benchmarks.waiter", *arguments]
    async with start_all([command], [environment()]) as running:
        running[0].say("go")
        for task_id in ids:
            running[0].say(task_id)
        (report,) = await reports_of(running)
    after = requests_of(simulator.ledger(summary=True))
    requests = {name: after[name] - before[name] for name in after}
    return {
        **{f"{name}_per_second": count / report["seconds"] for name, count in requests.items()},
        "refused_share": requests["refused"] / max(1, requests["requests"]),
        "lost": len(ids) - report["left"],
        "cpu_share": report["cpu_seconds"] / report["seconds"],
        "kilobytes_per_wait": report["kilobytes"] / len(ids),
        "blocked_seconds": report["blocked_seconds"],
    }
