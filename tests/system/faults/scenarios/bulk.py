"""Batches that meet trouble all the time, at moments that a seed decides about: kills, or an S3 that fails."""

from __future__ import annotations

import hashlib
import io
import json
import random
import signal
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from tests.stack import StackError
from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import Fault, add, fault
from tests.system.faults.support.run import Run

IMAGES = 500
PEOPLE = 25
KILLS = 20
JOB = 0.8
"""Seconds of the service's work on an image. Together they are more than the kills take, however fast this machine is."""
SEED = 20261125

VICTIMS = ("worker", "worker", "triggerer", "scheduler")
"""A worker is the one that submits."""

PAUSE = (0.5, 6.0)
"""Seconds between a kill and the next one, for a worker from when it works."""

UPLOADED = 60
"""Images of a batch whose S3 fails."""

SHARE = 0.15
"""How many of the requests to that S3 fail."""

S3_TROUBLES: tuple[dict[str, Any], ...] = (
    {
        "status": 503,
        "body": b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
    },
    {"sent": 0},
    {"sent": 0, "after_work": True},
    {"sent": 0.5, "after_work": True},
    {"delay": 3},
)
S3_SEEDS = (20261130, 20261201)


@fault(
    f"Batch of {IMAGES} images, killed {KILLS} times",
    injected=f"SIGKILL to the worker, the triggerer, or the scheduler with its tasks, at random moments (seed {SEED})",
    outage="random kills",
    images=IMAGES,
    billed=IMAGES,
    objects=IMAGES,
    service=("--duration", str(JOB), "--submit-rate", "0", "--task-rate", "0"),
    connection={"submissions_per_second": 50, "requests_per_second": 100, "timeout": 10},
)
def bulk_killed(case: Case) -> None:
    """Kill, then compare every row of the manifest with the object and with what the service was given."""
    run = _start(case)
    dice = random.Random(SEED)
    plan = [(dice.choice(VICTIMS), dice.uniform(*PAUSE)) for _ in range(KILLS)]
    for victim, pause in plan:
        _kill(case, run, victim, pause)
    run.ends("success", work=IMAGES * JOB)
    _check_manifest(case)


def _s3_fails(case: Case, seed: int) -> None:
    """Let requests fail, then compare as above. All reads are the workers': they upload what the service cannot fetch."""
    case.s3_proxy.add_at_random(S3_TROUBLES, share=SHARE, seed=seed)
    _start(case).ends("success", work=UPLOADED * JOB)
    _check_manifest(case)


for _seed in S3_SEEDS:
    add(
        Fault(
            id=f"bulk_s3_fails_{_seed}",
            title=f"Batch of {UPLOADED} images, S3 fails",
            injected=f"{SHARE:.0%} of all requests are refused with 503, reset before or after S3 has done them, answered by "
            f"half, or 3 s late (seed {_seed})",
            play=partial(_s3_fails, seed=_seed),
            images=UPLOADED,
            billed=UPLOADED,
            objects=UPLOADED,
            failing_s3=True,
            service=("--duration", str(JOB), "--submit-rate", "0", "--task-rate", "0"),
            connection={"submissions_per_second": 50, "requests_per_second": 100, "image_transfer": "upload"},
        )
    )


def _start(case: Case) -> Run:
    bucket = f"{case.fault.id.replace('_', '-')}-portraits"
    case.stack.s3.client.create_bucket(Bucket=bucket)
    for number in range(case.fault.images):
        file = io.BytesIO()
        Image.new("RGB", (256, 256), (10 * (number % PEOPLE), 90, 160)).save(file, "PNG")
        case.stack.s3.client.put_object(Bucket=bucket, Key=f"{number:03d}.png", Body=file.getvalue())
    return case.start("bulk", folder=f"s3://{bucket}/", destination=f"s3://{case.bucket}/{case.fault.id}/")


def _kill(case: Case, run: Run, victim: str, pause: float) -> None:
    airflow = case.stack.airflow
    if victim == "worker":
        _kill_worker(case, run, pause)
        return
    time.sleep(pause)
    process = airflow.triggerer if victim == "triggerer" else airflow.scheduler
    process.kill(signal.SIGKILL)
    process.start()


def _kill_worker(case: Case, run: Run, pause: float) -> None:
    while True:
        found = run.reaches("repaint", "running")
        time.sleep(pause)
        if run.reaches("repaint", "running") == found and found.pid is not None:
            try:
                run.kill(found)
                return
            except ProcessLookupError:
                pass
        # Whoever has ended meanwhile cannot be killed; the next one has to, and sooner: it may have as little to do.
        pause /= 2


def _check_manifest(case: Case) -> None:
    body = case.stack.s3.get(bucket=case.bucket, key=f"{case.fault.id}/manifest.jsonl").decode()
    rows: list[dict[str, Any]] = [json.loads(line) for line in body.splitlines()]
    images = {row["image"].rpartition("/")[2] for row in rows if row["status"] == "succeeded"}
    if not len(rows) == len(images) == case.fault.images:
        raise StackError(f"The manifest has {len(rows)} rows, of {len(images)} images that succeeded")
    tasks = {task["task_id"]: task for task in case.tasks()}
    for row in rows:
        given = urlsplit(tasks[row["dashscope_task_id"]]["image_url"])
        # What was uploaded keeps its name.
        name = row["image"].rpartition("/")[2]
        is_its = (
            given.path.endswith(f"-{name}") if given.scheme == "oss" else f"s3:/{given.path}" == row["image"]
        )
        if not is_its:
            raise StackError(
                f"Row {row['row']} is of {row['image']}, and its task was given {given.geturl()}"
            )
        head = case.stack.s3.client.head_object(Bucket=row["bucket"], Key=row["key"])
        found = hashlib.sha256(case.stack.s3.get(bucket=row["bucket"], key=row["key"])).hexdigest()
        if head["Metadata"]["dashscope-task-id"] != row["dashscope_task_id"] or found != row["sha256"]:
            raise StackError(f"Row {row['row']}: {row['key']} is not the object that it tells of")
