"""One process that waits: reads task ids from its input, starts a wait for each as it comes, and reports at the end.

Run by :mod:`tests.benchmarks.waits`, so that what waiting costs can be told from what submitting and serving cost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import threading
import time
from pathlib import Path

from tests.benchmarks.clients import waiter

GRACE_SECONDS = 5.0
SLOWEST_PER_SECOND = 100.0
"""Tasks that come in a second at least."""


def resident_kilobytes() -> int:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


async def main(client: str, url: str, key: str, most: int, seconds: float) -> None:
    """Wait, measure, report and end the process.

    :param most: number of tasks that will come
    :param seconds: end of the measurement after the last task has come; 0 for none
    """
    wait = waiter(client, url=url, key=key, most=most)
    events: dict[str, tuple[float, float, bool]] = {}
    errors: list[str] = []

    async def one(task_id: str) -> None:
        began = time.time()
        try:
            well = await wait(task_id)
        except Exception as error:  # noqa: BLE001 - whatever a client raises has ended its wait
            errors.append(f"{type(error).__name__}: {error}"[:200])
            well = False
        events[task_id] = (began, time.time(), well)

    blocked, peak, turn = [0.0], [0], [time.perf_counter()]

    async def watchdog() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.1)
            turn[0] = time.perf_counter()
            blocked[0] = max(blocked[0], turn[0] - before - 0.1)
            peak[0] = max(peak[0], resident_kilobytes())

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await reader.readline()
    memory = resident_kilobytes()
    cpu, began = time.process_time(), time.monotonic()
    watching = asyncio.create_task(watchdog())
    waits: list[asyncio.Task[None]] = []
    start = (cpu, began)

    def report() -> None:
        cpu_started, started = start
        cpu_ended, ended, noticed = time.process_time(), time.monotonic(), dict(events)
        figures = {
            "events": noticed,
            "left": len(waits) - len(noticed),
            "errors": errors[:3],
            "seconds": ended - began,
            "cpu_seconds": cpu_ended - cpu,
            "cpu_share": (cpu_ended - cpu_started) / max(ended - started, 1e-9),
            "kilobytes": max(peak[0], resident_kilobytes()) - memory,
            "blocked_seconds": max(blocked[0], time.perf_counter() - turn[0]),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
        # What is left is not cancelled: some clients need minutes for that.
        os._exit(0)

    if seconds:
        # A loop that does not get to its timers must not go on for ever.
        threading.Timer(seconds + GRACE_SECONDS + most / SLOWEST_PER_SECOND, report).start()
    # One after the other, as triggers come.
    async for line in reader:
        waits.append(asyncio.create_task(one(line.decode().strip())))  # noqa: PERF401 - the report reads it meanwhile
    start = (time.process_time(), time.monotonic())
    await asyncio.wait(waits, timeout=seconds or None)
    watching.cancel()
    report()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _client, _url, _key, _most, _seconds = sys.argv[1:]
    asyncio.run(main(_client, _url, _key, int(_most), float(_seconds)))
