"""A batch in one task beside the same work in mapped tasks, on a real Airflow with an account whose clocks run faster."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from airflow_provider_wanx.simulator.server import SimulatorProcess
from tests.benchmarks.dags.bench_bulk import POLL_SPEED, SPEED
from tests.stack import ROOT, LocalStack, StackConfig

IMAGES, MAPPED = 1_000, 100
JOB_SECONDS = 8.0
"""What the service takes for an image, by its own clock."""

ACCEPTED_A_SECOND = 1.2
"""Submissions that come through in a second, one after the other: the live service needs about 0.75 s for each. The local one
answers at once, and its limit of 2 a second comes too close, in real time, for requests to be sent to the millisecond."""

_PEOPLE = 8
"""Different pictures: painting is not what is measured."""

_BULK, _MAPPED, _RESULTS = "bench-bulk", "bench-mapped", "bench-results"
_DAGS = Path(__file__).parent / "dags"
_LINE = re.compile(r"(GET|PUT|HEAD|POST|DELETE) /([^/ ?]+)/?([^ ?]*)[^ ]* HTTP")
_LOOK_EVERY = 0.5

Figures = Iterator[dict[str, Any]]


def measure() -> Figures:
    """Measure both on one Airflow, one after the other."""
    arguments = ("--speed", str(SPEED), "--duration", str(JOB_SECONDS))
    with (
        SimulatorProcess(arguments=arguments) as simulator,
        LocalStack(config=_config(ROOT / ".test" / "benchmarks", simulator)) as stack,
    ):
        store_portraits(stack, bucket=_BULK, count=IMAGES)
        store_portraits(stack, bucket=_MAPPED, count=MAPPED)
        stack.s3.put(bucket=_RESULTS, key="made", body=b"")
        bulk = {"images": f"s3://{_BULK}/portraits/", "destination": f"s3://{_RESULTS}/bulk/"}
        mapped = {"bucket": _MAPPED, "prefix": "portraits/", "style": "fresh", "result_bucket": _RESULTS}
        for name, dag_id, conf, images in (
            ("bulk", "bench_bulk", bulk, IMAGES),
            ("mapped", "wanx_repaint_folder", mapped, MAPPED),
        ):
            before = _counts(stack, simulator)
            seconds, worker_seconds = follow(stack, dag_id, conf)
            requests = _counts(stack, simulator) - before
            yield {
                "client": name,
                "n": images,
                "seconds": seconds,
                "ideal_seconds": images * JOB_SECONDS / SPEED,
                "worker_seconds_per_image": worker_seconds / images,
                "refused": requests.pop("refused", 0),
                **{f"{kind} per image": number / images for kind, number in sorted(requests.items())},
            }


def store_portraits(stack: LocalStack, *, bucket: str, count: int) -> None:
    """Put small portraits into a bucket.

    :param stack: whose S3
    :param count: how many
    """
    bodies = [_portrait(number) for number in range(_PEOPLE)]
    stack.s3.client.create_bucket(Bucket=bucket)
    for number in range(count):
        key = f"portraits/{number:05d}.png"
        stack.s3.client.put_object(Bucket=bucket, Key=key, Body=bodies[number % _PEOPLE])


def _portrait(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (256, 256), (30 * number, 90, 160)).save(file, "PNG")
    return file.getvalue()


def _config(data: Path, simulator: SimulatorProcess) -> StackConfig:
    limits = {"submissions_per_second": ACCEPTED_A_SECOND * SPEED, "requests_per_second": 20 * POLL_SPEED}
    account = {"conn_type": "dashscope", "host": simulator.url, "password": simulator.api_key}
    return StackConfig(
        data=data,
        dag_bundles={"examples": ROOT / "dags", "bench": _DAGS},
        dag_ids={"wanx_repaint_folder", "bench_bulk"},
        with_simulator=False,
        connections={"dashscope_default": {**account, "extra": limits}},
        settings={"AIRFLOW__CORE__MAX_MAP_LENGTH": "1000"},
    )


def follow(stack: LocalStack, dag_id: str, conf: dict[str, Any]) -> tuple[float, float]:
    """Run a DAG to its good end.

    :param stack: where
    :param conf: values of its params
    :return: seconds that it took, and seconds for which its tasks held workers
    """
    api = stack.airflow.api
    api.set_paused(dag_id=dag_id, paused=False)
    began = last = time.monotonic()
    run_id = api.trigger(dag_id=dag_id, conf=conf)
    worker_seconds = 0.0
    while (state := api.run(dag_id=dag_id, run_id=run_id).state) not in ("success", "failed"):
        running = sum(each.state == "running" for each in api.task_instances(dag_id=dag_id, run_id=run_id))
        now = time.monotonic()
        worker_seconds += running * (now - last)
        last = now
        time.sleep(_LOOK_EVERY)
    if state == "failed":
        raise RuntimeError(f"{dag_id} {run_id} has failed")
    return time.monotonic() - began, worker_seconds


def _counts(stack: LocalStack, simulator: SimulatorProcess) -> Counter[str]:
    """Requests by kind: at the service, and at S3."""
    counts: Counter[str] = Counter()
    for endpoint, tally in simulator.ledger(summary=True)["endpoints"].items():
        counts[f"DashScope {endpoint}"] += tally["requests"]
        counts["refused"] += tally["refused"]
    for line in stack.s3.process.log_file.read_text(errors="replace").splitlines():
        if (found := _LINE.search(line)) is not None:
            method, bucket, key = found.groups()
            counts[f"S3 {method} {_what(bucket, key)}"] += 1
    return counts


def _what(bucket: str, key: str) -> str:
    if not key:
        return "bucket"
    if bucket != _RESULTS:
        return "picture"
    return "ledger" if "/_ledger/" in key else "result"
