"""Measurements that need a real Airflow: a full triggerer, the example DAG from end to end, sensors side by side."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

from airflow_provider_wanx.simulator.handle import SimulatorHandle
from airflow_provider_wanx.simulator.server import SimulatorProcess
from tests.benchmarks import imports
from tests.benchmarks.service import requests_of, service, submit
from tests.stack import ROOT, LocalStack, StackConfig
from tests.stack.dashscope import API_KEY
from tests.stack.guard import session_members
from tests.stack.waiting import wait_until

WAITS = 1_000
_SENSORS = 100
_SETTLE_SECONDS, _OBSERVED_SECONDS = 5.0, 30.0
# Long enough to be still there when all wait, and short enough for some generations before the queue times out.
_DURATION = 2_000.0
_GENERATIONS, _AT_A_TIME = 2, 40
_DAGS = Path(__file__).parent / "dags"
_BLOCKED = "async thread was blocked"


def measure() -> Iterator[dict[str, Any]]:
    """Measure everything on one Airflow."""
    data = ROOT / ".test" / "benchmarks"
    with ExitStack() as stack:
        many = stack.enter_context(service(duration=_DURATION, concurrency=_AT_A_TIME))
        ids = asyncio.run(_ids(many.url, many.api_key, WAITS))
        running = stack.enter_context(LocalStack(config=_config(data, many)))
        host, port = running.simulator.url.removeprefix("http://").split(":")
        http = {"conn_type": "http", "host": host, "port": int(port), "schema": "http"}
        running.airflow.api.set_connection(conn_id="bench_http", connection=http)
        for name, row in chain(
            _full_triggerer(running, many, ids),
            _sensors(running, "bench_sensors", "DashScopeTaskSensor, deferred"),
            _sensors(running, "bench_http_sensors", "HttpSensor, reschedule"),
            _example(running),
            _collection(),
        ):
            yield {"client": name, **row}


def _config(data: Path, many: SimulatorProcess) -> StackConfig:
    return StackConfig(
        data=data,
        dag_bundles={"examples": ROOT / "dags", "bench": _DAGS},
        dag_ids={"wanx_style_repaint", *(path.stem for path in _DAGS.glob("bench_*.py"))},
        simulator_arguments=("--concurrency", "5", "--submit-rate", "0"),
        connections={
            "dashscope_many": {"conn_type": "dashscope", "host": many.url, "password": many.api_key},
        },
        settings={"AIRFLOW__TRIGGERER__CAPACITY": str(WAITS)},
    )


def _row(value: float, unit: str, n: int) -> dict[str, Any]:
    return {"n": n, "value": value, "unit": unit}


def _full_triggerer(
    stack: LocalStack, many: SimulatorProcess, ids: Sequence[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    api, dag_id, log = stack.airflow.api, "bench_many_waits", stack.airflow.triggerer.log_file

    def warnings() -> int:
        return log.read_text(errors="replace").count(_BLOCKED)

    began = time.monotonic()
    runs = [
        api.trigger(dag_id=dag_id, conf={"ids": ids[first : first + _SENSORS]})
        for first in range(0, WAITS, _SENSORS)
    ]
    _wait_for(stack, dag_id, runs, "deferred", WAITS)
    yield "1,000 sensors: until all are deferred", _row(time.monotonic() - began, "s", WAITS)
    # The last ones are deferred before the triggerer has started them.
    time.sleep(_SETTLE_SECONDS)
    while_filling = warnings()
    yield "1,000 sensors: warnings of a blocked loop while workers defer them", _row(while_filling, "", WAITS)
    before = requests_of(many.ledger(summary=True))
    triggerer = stack.airflow.triggerer.pid
    cpu = _cpu(triggerer)
    time.sleep(_OBSERVED_SECONDS)
    after = requests_of(many.ledger(summary=True))
    share = (_cpu(triggerer) - cpu) / _OBSERVED_SECONDS
    yield "1,000 sensors: triggerer with its supervisor, of one core", _row(share * 100, "%", WAITS)
    requests = (after["requests"] - before["requests"]) / _OBSERVED_SECONDS
    yield "1,000 sensors: requests", _row(requests, "/s", WAITS)
    for generation in range(1, _GENERATIONS + 1):
        many.advance(_DURATION)
        _wait_for(stack, dag_id, runs, "success", generation * _AT_A_TIME)
    refused = requests_of(many.ledger(summary=True))["refused"]
    yield "1,000 sensors: refused requests", _row(refused, "", WAITS)
    blocked = warnings() - while_filling
    yield "1,000 sensors: warnings of a blocked loop with all of them waiting", _row(blocked, "", WAITS)
    # Those that still wait would go on taking requests, but nothing else.
    api.set_paused(dag_id=dag_id, paused=True)


def _sensors(stack: LocalStack, dag_id: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    simulator = SimulatorHandle(url=stack.simulator.url, api_key=API_KEY)
    ids = asyncio.run(_ids(simulator.url, API_KEY, 5))
    seconds, ended = _follow(stack, dag_id, {"ids": ids, "key": API_KEY})
    ends = {task["task_id"]: task["end_time"] for task in simulator.ledger()["tasks"]}
    lags = [ended[f"wait_{number}"] - ends[task_id] for number, task_id in enumerate(ids)]
    yield f"{name}: worker seconds a wait", _row(seconds["running"] / len(ids), "s", len(ids))
    yield f"{name}: lag until the task has succeeded, median", _row(median(lags), "s", len(ids))


def _example(stack: LocalStack) -> Iterator[tuple[str, dict[str, Any]]]:
    simulator = SimulatorHandle(url=stack.simulator.url, api_key=API_KEY)
    stack.s3.put(bucket="wanx-results", key="made", body=b"")
    began = time.monotonic()
    conf = {"image": simulator.portrait_url, "style": "fresh", "bucket": "wanx-results"}
    seconds, _ = _follow(stack, "wanx_style_repaint", conf)
    total = time.monotonic() - began
    task = simulator.ledger()["tasks"][-1]
    yield "example DAG: from start to object", _row(total, "s", 1)
    yield "example DAG: the service's work", _row(task["end_time"] - task["start_time"], "s", 1)
    yield "example DAG: worker seconds an image", _row(seconds["running"], "s", 1)
    yield "example DAG: deferred", _row(seconds["deferred"], "s", 1)
    between = total - seconds["running"] - seconds["deferred"]
    yield "example DAG: scheduling, and waiting for a worker", _row(between, "s", 1)


def _collection() -> Iterator[tuple[str, dict[str, Any]]]:
    """Python's collector stops everything; the loop counts as blocked after 100 ms."""
    before = "import gc, airflow.jobs.triggerer_job_runner\ngc.collect()"
    passing = imports.milliseconds(before, "gc.collect()")
    yield "a full garbage collection in a triggerer without any trigger", _row(passing, "ms", 0)


def _follow(
    stack: LocalStack, dag_id: str, conf: dict[str, Any]
) -> tuple[dict[str, float], dict[str, float]]:
    """Run a DAG; return how long its tasks were in each state, and when each succeeded."""
    api = stack.airflow.api
    run_id = api.trigger(dag_id=dag_id, conf=conf)
    seconds: dict[str, float] = defaultdict(float)
    ended: dict[str, float] = {}
    last = time.time()
    while len(ended) < len(instances := api.task_instances(dag_id=dag_id, run_id=run_id)) or not instances:
        now = time.time()
        for instance in instances:
            seconds[instance.state or "none"] += now - last
            if instance.state == "success":
                ended.setdefault(instance.task_id, now)
            elif instance.state in ("failed", "upstream_failed"):
                raise RuntimeError(f"{dag_id}: {instance.task_id} is {instance.state}")
        last = now
        time.sleep(0.1)
    return seconds, ended


def _wait_for(stack: LocalStack, dag_id: str, runs: Sequence[str], state: str, count: int) -> None:
    api = stack.airflow.api

    def there() -> bool:
        instances = [each for run in runs for each in api.task_instances(dag_id=dag_id, run_id=run)]
        return sum(instance.state == state for instance in instances) >= count

    wait_until(there, timeout=400, what=f"{count} tasks to be {state}", interval=1.0)


def _cpu(session: int) -> float:
    """The seconds of processor time that the living processes of a session have used."""
    ticks = 0
    for pid in session_members(session=session):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def _ids(url: str, key: str, count: int) -> list[str]:
    return [task_id async for task_id in submit(url=url, key=key, count=count)]
