"""Many waits on one account: how many end well, how late, at what price."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from statistics import median
from typing import Any

from airflow_provider_wanx.simulator.server import SimulatorProcess
from tests.benchmarks.processes import environment, reports_of, start_all
from tests.benchmarks.service import requests_of, service, submit


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is waited for.

    :param n: number of jobs
    :param duration: seconds that a job runs
    :param concurrency: jobs that run at a time
    :param processes: number of processes that share the waiting
    :param seconds: end of the measurement; 0 to wait for all
    :param arguments: more arguments of the service
    """

    n: int
    duration: float = 4.0
    concurrency: int = 10
    processes: int = 1
    seconds: float = 0.0
    faults: tuple[dict[str, Any], ...] = ()
    arguments: tuple[str, ...] = ()


def measure(client: str, setting: Setting) -> dict[str, Any]:
    """Measure one client."""
    with service(
        duration=setting.duration, concurrency=setting.concurrency, arguments=setting.arguments
    ) as simulator:
        for fault in setting.faults:
            simulator.add_fault(**fault)
        reports = asyncio.run(_run(client, setting, simulator))
        return _figures(reports, simulator.ledger(), setting)


async def _run(client: str, setting: Setting, simulator: SimulatorProcess) -> list[dict[str, Any]]:
    arguments = [client, simulator.url, simulator.api_key, str(setting.n), str(setting.seconds)]
    command = [sys.executable, "-m", "tests.benchmarks.waiter", *arguments]
    number = 0
    async with start_all([command] * setting.processes, [environment()] * setting.processes) as running:
        for process in running:
            process.say("go")
        async for task_id in submit(url=simulator.url, key=simulator.api_key, count=setting.n):
            running[number % len(running)].say(task_id)
            number += 1
        return await reports_of(running)


def _figures(reports: list[dict[str, Any]], ledger: dict[str, Any], setting: Setting) -> dict[str, Any]:
    ends = {task["task_id"]: task["end_time"] for task in ledger["tasks"] if task["end_time"] is not None}
    events = {task_id: event for report in reports for task_id, event in report["events"].items()}
    well = [task_id for task_id, event in events.items() if event[2]]
    # Nobody can notice an end before he waits for it.
    lags = sorted(events[task_id][1] - max(ends[task_id], events[task_id][0]) for task_id in well)
    if setting.seconds:
        # Ends that went unnoticed until the measurement was over are lags too, of what they have come to by then.
        lags = sorted(lags + [ledger["now"] - end for task_id, end in ends.items() if task_id not in events])
    # Processes that have ended by then leave none.
    seconds = max(report["seconds"] for report in reports)
    cpu = sum(report["cpu_seconds"] for report in reports)
    requests = requests_of(ledger)
    return {
        "ended_well": len(well),
        "ended": len(ends),
        **requests,
        "refused_share": requests["refused"] / max(1, requests["requests"]),
        "lag_p50": median(lags) if lags else None,
        "lag_p95": _quantile(lags, 0.95),
        "lag_max": lags[-1] if lags else None,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "cpu_share": max(report["cpu_share"] for report in reports),
        "kilobytes_per_wait": sum(report["kilobytes"] for report in reports) / setting.n,
        "blocked_seconds": max(report["blocked_seconds"] for report in reports),
        "errors": sorted({error for report in reports for error in report["errors"]}),
    }


def _quantile(values: list[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(share * len(values)))] if values else None
