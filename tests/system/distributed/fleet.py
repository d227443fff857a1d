"""An Airflow on several machines, as far as one machine can make them believe so, and what is done to it."""

from __future__ import annotations

import io
import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from PIL import Image

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.stack import (
    ROOT,
    LocalStack,
    ManagedProcess,
    PostgresDatabase,
    RedisServer,
    StackConfig,
    TaskInstance,
    guard,
    wait_until,
)
from tests.stack.dashscope import API_KEY
from tests.stack.ports import free_ports
from tests.stack.waiting import PATIENCE

DATA = ROOT / ".test" / "distributed"
BROKER = ROOT / ".test" / "distributed-broker"
BUCKET, RECORDS = "fleet", "records"
SLOTS = 4
"""Tasks that each of the two workers runs at a time."""

_SETTINGS = {
    "CELERY__WORKER_CONCURRENCY": str(SLOTS),
    # The DAG file does not name Airflow in the way that the search for DAG files expects.
    "CORE__DAG_DISCOVERY_SAFE_MODE": "False",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    # What a killed worker had fetched from the broker, but not begun, is queued again after that many seconds.
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has become of the images.

    :param states: how many task instances are in which state, by task
    :param submissions: how often each image was accepted
    :param results: the bytes that the service has for each of its tasks
    :param objects: the bytes of each object among the results
    :param endpoints: requests and refusals of each endpoint of the service
    :param killed: what was killed, at how many accepted submissions
    :param submissions_per_second: from the first accepted submission to the last
    :param seconds: from the start of both runs to the end of the last one
    """

    states: dict[str, Counter[str]]
    submissions: Counter[str]
    results: dict[str, bytes]
    objects: dict[str, bytes]
    endpoints: dict[str, dict[str, int]]
    killed: dict[str, int]
    submissions_per_second: float
    seconds: float

    @property
    def requests(self) -> int:
        """Requests to all endpoints."""
        return sum(each["requests"] for each in self.endpoints.values())

    @property
    def refused(self) -> int:
        """Requests that were refused for the rate."""
        return sum(each["refused"] for each in self.endpoints.values())


@dataclass
class Fleet:
    """Two Celery workers, two schedulers and two triggerers, each with a home and temporary files of its own.

    :param images: images of each of the two DAGs
    """

    images: int
    workers: list[ManagedProcess] = field(default_factory=list)
    killed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        postgres_port, redis_port = free_ports(count=2)
        logs = DATA / "logs"
        self.redis = RedisServer(port=redis_port, folder=BROKER, logs=BROKER)
        self.database = PostgresDatabase(folder=DATA / "postgres", port=postgres_port, logs=logs)
        config = StackConfig(
            data=DATA,
            dag_bundles={"fleet": Path(__file__).parent / "dags"},
            dag_ids={"fleet", "fleet_bulk"},
            # Shorter jobs than the service's; its limits are as documented.
            simulator_arguments=("--duration", "0.3"),
            # Of each scheduler. A little more than there are slots, so that no worker waits and the broker keeps little.
            parallelism=SLOTS + 1,
            database=self.database,
            settings={
                **{f"AIRFLOW__{name}": value for name, value in _SETTINGS.items()},
                **self.database.settings,
                **self.redis.settings,
                "AIRFLOW__DASHSCOPE__RECORD_PATH": f"s3://{RECORDS}/dashscope",
            },
        )
        self.stack = LocalStack(config=config)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Before Airflow, whose stack empties its folder first: schedulers look for their broker when they start.
            stack.callback(self.redis.process.stop)
            self.redis.start()
            stack.enter_context(self.stack)
            airflow = self.stack.airflow
            for number in (1, 2):
                self.workers.append(
                    airflow.add_machine("celery", "worker", "--celery-hostname", f"worker-{number}")
                )
            self.second_scheduler = airflow.add_machine("scheduler")
            self.second_triggerer = airflow.add_machine("triggerer")
            self.service = SimulatorHandle(url=self.stack.simulator.url, api_key=API_KEY)
            stack.callback(self.service.close)
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def play(self) -> Outcome:
        """Run both DAGs at once, kill one of each kind on the way, and look at what they leave."""
        s3, api = self.stack.s3, self.stack.airflow.api
        s3.client.create_bucket(Bucket=RECORDS)
        for number in range(self.images):
            for folder, blue in (("mapped", 40), ("bulk", 200)):
                s3.put(
                    bucket=BUCKET, key=f"{folder}/{number:03d}.png", body=_portrait(number, self.images, blue)
                )
        began = time.monotonic()
        runs = {
            "fleet": api.trigger(dag_id="fleet", conf={"bucket": BUCKET, "count": self.images}),
            "fleet_bulk": api.trigger(dag_id="fleet_bulk", conf={"bucket": BUCKET}),
        }
        self._kill_one_of_each(runs)
        for dag_id, run_id in runs.items():
            api.wait_for_run(dag_id=dag_id, run_id=run_id, timeout=PATIENCE + 15 * self.images)
        return self._outcome(runs, seconds=time.monotonic() - began)

    def _kill_one_of_each(self, runs: dict[str, str]) -> None:
        airflow = self.stack.airflow
        kills: dict[str, Callable[[], None]] = {
            "task process": lambda: self._kill_task_process(runs["fleet"]),
            "worker": lambda: self._kill_worker(runs["fleet_bulk"]),
            "triggerer": lambda: airflow.triggerer.kill(signal.SIGKILL),
            "scheduler": lambda: airflow.scheduler.kill(signal.SIGKILL),
        }
        for step, (name, kill) in enumerate(kills.items(), start=1):
            share = 2 * self.images * step // (len(kills) + 2)
            wait_until(
                partial(self._has_accepted, share),
                timeout=PATIENCE + 4 * share,
                what=f"{share} tasks",
            )
            kill()
            self.killed[name] = self._accepted()

    def _has_accepted(self, tasks: int) -> bool:
        return self._accepted() >= tasks

    def _accepted(self) -> int:
        return int(self.service.ledger(summary=True)["totals"]["accepted"])

    def _kill_task_process(self, run_id: str) -> None:
        """Kill one process that submits, as the kernel does when memory runs out."""

        def killed() -> bool:
            ours = [pid for worker in self.workers for pid in guard.session_members(session=worker.pid)]
            running = [
                each.pid for each in self._running("fleet", run_id, "repaint.submit") if each.pid in ours
            ]
            return any(pid is not None and self._kill_between_submissions([pid]) for pid in running)

        wait_until(killed, interval=0.1, what="a process that submits")

    def _kill_worker(self, bulk_run_id: str) -> None:
        """Kill a worker with all that runs on it, as the loss of a machine does."""

        def killed() -> bool:
            bulk = {each.pid for each in self._running("fleet_bulk", bulk_run_id, "repaint")}
            for worker in self.workers:
                members = guard.session_members(session=worker.pid)
                if bulk.isdisjoint(members) and self._kill_between_submissions(members):
                    worker.kill(signal.SIGKILL)
                    # As whoever looks after it does; the others that are killed leave their work to their twins.
                    worker.start()
                    return True
            return False

        wait_until(killed, interval=0.1, what="a worker that can be killed")

    def _kill_between_submissions(self, pids: list[int]) -> bool:
        """Kill processes, unless a submission of the mapped tasks is under way just then.

        With others submitting in the same seconds, only a person could tell whether it was accepted: the fault table is about
        that.
        """
        stopped = [pid for pid in pids if guard.send_signal(pid=pid, signum=signal.SIGSTOP)]
        may = bool(stopped) and not self._submitting()
        for pid in stopped:
            guard.send_signal(pid=pid, signum=signal.SIGKILL if may else signal.SIGCONT)
        return may

    def _submitting(self) -> bool:
        s3 = self.stack.s3
        for record in s3.list(bucket=RECORDS):
            if "pace-" not in record.key:
                content = json.loads(s3.get(bucket=RECORDS, key=record.key))
                if content["dashscope_submission"]["phase"] == "intent":
                    return True
        return False

    def _running(self, dag_id: str, run_id: str, task_id: str) -> list[TaskInstance]:
        found = self.stack.airflow.api.task_instances(dag_id=dag_id, run_id=run_id, task_id=task_id)
        return [each for each in found if each.state == "running"]

    def _outcome(self, runs: dict[str, str], *, seconds: float) -> Outcome:
        s3, api = self.stack.s3, self.stack.airflow.api
        states: dict[str, Counter[str]] = {}
        for dag_id, run_id in runs.items():
            for each in api.task_instances(dag_id=dag_id, run_id=run_id):
                states.setdefault(f"{dag_id}.{each.task_id}", Counter())[each.state or "none"] += 1
        ledger = self.service.ledger()
        images = Counter(
            task["image_url"].partition("?")[0].partition(f"/{BUCKET}/")[2] for task in ledger["tasks"]
        )
        times = [task["submit_time"] for task in ledger["tasks"]]
        return Outcome(
            states=states,
            submissions=images,
            results=self._results([task["task_id"] for task in ledger["tasks"]]),
            objects={
                each.key: s3.get(bucket=BUCKET, key=each.key)
                for folder in ("mapped-results/", "bulk-results/")
                for each in s3.list(bucket=BUCKET, prefix=folder)
            },
            endpoints=ledger["endpoints"],
            killed=dict(self.killed),
            submissions_per_second=(len(times) - 1) / (max(times) - min(times)),
            seconds=seconds,
        )

    def _results(self, ids: list[str]) -> dict[str, bytes]:
        config = ClientConfig(api_key=API_KEY, base_url=self.stack.simulator.url)
        results = {}
        with DashScopeClient(config) as client:
            for task_id in ids:
                (file,) = client.get_task(task_id).results
                with client.download(file.url) as (_, chunks):
                    results[task_id] = b"".join(chunks)
        return results


def _portrait(number: int, count: int, blue: int) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (256, 256), (255 * number // count, number % 256, blue)).save(picture, "PNG")
    return picture.getvalue()
