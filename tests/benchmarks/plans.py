"""What it takes to plan a batch of 100,000 images, and to go on with it when nearly all are done, each in a fresh process."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.processes import figures_of, peak_megabytes
from tests.stack.ports import free_port
from tests.stack.s3 import ACCESS_KEY, REGION, SECRET_KEY, LocalS3

ROWS, DONE = 100_000, 99_000
_BUCKET = "bench-plan"

PLAN, FINISH, RESUME = "plan", "finish", "resume"

Figures = Iterator[dict[str, Any]]


def measure() -> Figures:
    """Plan, mark nearly all as done, and plan again, on one local S3."""
    with TemporaryDirectory() as logs:
        s3 = LocalS3(port=free_port(), logs=Path(logs))
        s3.process.start()
        try:
            s3.process.wait_ready(s3.ready, timeout=60)
            s3.client.create_bucket(Bucket=_BUCKET)
            yield {"client": f"plan {ROWS:,} rows", "n": ROWS, **figures_of(__name__, PLAN, s3.url)}
            figures_of(__name__, FINISH, s3.url)
            yield {
                "client": f"go on with {DONE:,} of them done",
                "n": ROWS,
                **figures_of(__name__, RESUME, s3.url),
            }
        finally:
            s3.process.stop()


def _do(step: str, url: str) -> None:
    import boto3
    from botocore.config import Config

    # As in a worker.
    import airflow_provider_wanx.operators.wanx  # noqa: F401
    from airflow_provider_wanx.batch.ledger.ledger import Ledger
    from airflow_provider_wanx.batch.plan import plan
    from airflow_provider_wanx.batch.result_keys import DEFAULT_KEY, ResultKeys
    from airflow_provider_wanx.batch.row import Row, RowStatus
    from airflow_provider_wanx.identity import Identity
    from airflow_provider_wanx.s3.objects import ObjectStore

    s3 = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )

    def images() -> Iterator[Row]:
        for number in range(ROWS):
            image = f"s3://portraits/customers/2026/{number % 1000:04d}/portrait-{number:07d}.jpg"
            yield Row(image=image, style=38, columns={"customer": number})

    began, before = time.monotonic(), peak_megabytes()
    store = ObjectStore(s3, bucket=_BUCKET, prefix="batch/_ledger/")
    owner = Identity(dag_id="bench", run_id=step, task_id="repaint", map_index=-1)
    ledger = Ledger(store, owner=owner, identity={"input": "bench"})
    ledger.acquire()
    added = plan(ledger, images(), keys=ResultKeys(DEFAULT_KEY))
    if added != (ROWS if step == PLAN else 0):
        raise RuntimeError(f"{added} rows were new")
    left = 0
    for row in ledger.rows.in_states(RowStatus.PLANNED):
        if step == FINISH and row.row < DONE:
            ledger.update(row, **_result(row.row), status=RowStatus.SUCCEEDED)
            if row.row % 1000 == 999:
                ledger.compact()
        left += 1
    ledger.compact(lease=0)
    if step == RESUME and left != ROWS - DONE:
        raise RuntimeError(f"{left} rows are left")
    figures = {
        "seconds": time.monotonic() - began,
        "peak_megabytes": peak_megabytes(),
        "own_megabytes": peak_megabytes() - before,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


def _result(number: int) -> dict[str, Any]:
    return {
        "dashscope_task_id": f"00000000-0000-4000-8000-{number:012d}",
        "key": f"batch/fresh/portrait-{number:07d}-{number:06d}.jpg",
        "bytes": 900_000,
        "sha256": f"{number:064x}",
        "content_type": "image/jpeg",
        "billed": 1,
        "submit_time": time.time(),
        "end_time": time.time(),
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _do(*sys.argv[1:])
