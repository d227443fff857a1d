"""Submissions from many processes against the limit of two a second."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_wanx.simulator.server import SimulatorProcess
from tests.benchmarks.processes import environment, reports_of, start_all
from tests.benchmarks.submitter import RECORD_PATH
from tests.stack.ports import free_port
from tests.stack.s3 import LocalS3

LIMIT = 2.0


def measure(
    client: str,
    *,
    processes: int,
    tasks: int,
    machines: int = 1,
    shared: bool = False,
    arguments: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Measure one client.

    :param client: ``provider`` or ``SDK``
    :param processes: processes that submit at a time
    :param machines: machines to make believe: processes of different ones share no files
    :param shared: whether they have a place for their pace, in a local S3
    :param arguments: more arguments of the service
    """
    with (
        SimulatorProcess(arguments=("--queue-limit", "100000", "--duration", "1", *arguments)) as simulator,
        ExitStack() as stack,
    ):
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(machines)]
        place = stack.enter_context(_shared_place()) if shared else {}
        environments = [
            environment() | place | {"TMPDIR": folders[number % len(folders)]} for number in range(processes)
        ]
        reports = asyncio.run(_run(client, simulator, environments, tasks))
        ledger = simulator.ledger()
    times = [task["submit_time"] for task in ledger["tasks"]]
    totals = ledger["totals"]
    seconds = max(times) - min(times) if len(times) > 1 else 0.0
    waits = sorted(wait for report in reports for wait in report["waits"])
    return {
        "tasks": tasks,
        "accepted": totals["accepted"],
        "lost": sum(report["lost"] for report in reports),
        "requests": totals["submissions"],
        "refused": totals["refused"],
        "refused_per_accepted": totals["refused"] / max(1, totals["accepted"]),
        "seconds": seconds,
        "rate": (len(times) - 1) / seconds if seconds else None,
        "share_of_limit": (len(times) - 1) / seconds / LIMIT if seconds else None,
        "wait_max": waits[-1],
    }


@contextmanager
def _shared_place() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        s3 = LocalS3(port=free_port(), logs=Path(folder))
        s3.process.start()
        try:
            s3.process.wait_ready(s3.ready, timeout=60)
            s3.client.create_bucket(Bucket="records")
            yield {
                "AIRFLOW_HOME": folder,
                "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(s3.connection),
                RECORD_PATH: "s3://records/dashscope",
            }
        finally:
            s3.process.stop()


async def _run(
    client: str, simulator: SimulatorProcess, environments: list[dict[str, str]], tasks: int
) -> list[dict[str, Any]]:
    processes = len(environments)
    shares = [tasks // processes + (number < tasks % processes) for number in range(processes)]
    commands = [
        [
            *(sys.executable, "-m", "tests.benchmarks.submitter", client),
            *(simulator.url, simulator.api_key, str(share)),
        ]
        for share in shares
    ]
    async with start_all(commands, environments) as running:
        for process in running:
            process.say("go")
        return await reports_of(running)
