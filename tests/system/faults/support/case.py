"""One row being played: its simulator, its runs, and the audit in the end."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import httpx

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.stack import StackError, wait_until
from tests.stack.waiting import PATIENCE
from tests.system.faults.support.catalogue import Fault
from tests.system.faults.support.proxy import FaultyProxy
from tests.system.faults.support.run import Run

if TYPE_CHECKING:
    from tests.system.faults.support.bench import Bench
    from tests.system.faults.support.outages import Meeting

BUCKET = "results"
LONG = 900.0
"""Seconds that a held task runs; nobody waits that long, the simulator's clock is set forward."""

_BLOCKING_STYLE = 0
_SERVICE = "aigc/image-generation/generation"
_OWN_OBJECT = re.compile(r"/_ledger/|/status\.json$|/manifest\.[\w.]+$")
"""What a batch writes beside its results."""
_MODEL = "wanx-style-repaint-v1"


@dataclass(frozen=True, kw_only=True)
class Place:
    """What was set aside for a row before Airflow started.

    :param proxy: stands before the simulator, if the row wants it
    :param s3_proxy: stands before the local S3, if the row wants it
    """

    key: str
    simulator_port: int
    simulator_url: str
    proxy: FaultyProxy | None
    s3_proxy: FaultyProxy | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table.

    :param problems: what is not as it must be; no part of the table
    """

    fault: str
    injected: str
    images: int
    submissions: int
    submissions_allowed: int
    billed: int
    objects: int
    states: str
    ok: bool
    problems: tuple[str, ...] = field(default=(), repr=False)


class Case:
    """A row in the making.

    :param place: what was set aside for it
    :param bench: what it is played on
    :param meeting: where it waits for the outage that it is about
    """

    def __init__(self, *, fault: Fault, place: Place, bench: Bench, meeting: Meeting | None = None) -> None:
        self.fault = fault
        self.place = place
        self.bench = bench
        self.meeting = meeting
        self.bucket = BUCKET
        self.stack = bench.stack
        self.observer = bench.observer
        self.simulator = SimulatorHandle(url=place.simulator_url, api_key=place.key)
        self.runs: list[Run] = []
        self._orders = bench.orders / fault.id
        self._strangers: set[str] = set()

    @property
    def proxy(self) -> FaultyProxy:
        """The proxy before the simulator."""
        if self.place.proxy is None:
            raise LookupError(f"{self.fault.id} has no proxy")
        return self.place.proxy

    @property
    def s3_proxy(self) -> FaultyProxy:
        """The proxy before the local S3."""
        if self.place.s3_proxy is None:
            raise LookupError(f"{self.fault.id} has no proxy before S3")
        return self.place.s3_proxy

    def portrait(self, number: int = 0) -> str:
        """URL of a picture that nobody else has submitted."""
        seed = zlib.crc32(f"{self.fault.id} {number}".encode()) % 1_000_000
        return f"{self.simulator.portrait_url}?seed={seed}"

    def start(self, dag_id: str, **conf: Any) -> Run:
        """Start a run by hand."""
        usual = {
            "row": self.fault.id,
            "image": self.portrait(len(self.runs)),
            "bucket": self.bucket,
            "name": f"portrait-{len(self.runs)}",
            "aws": f"s3_{self.fault.id}" if self.fault.failing_s3 else "aws_default",
        }
        api = self.stack.airflow.api
        run_id = api.trigger(dag_id=dag_id, conf=usual | conf)
        run = Run(api=api, observer=self.observer, dag_id=dag_id, run_id=run_id)
        self.runs.append(run)
        return run

    def order(self, point: str, what: str = "task") -> None:
        """Order the death (``task``, ``worker``) or failure (``error``) of the next process that reaches a point."""
        self._orders.mkdir(exist_ok=True, parents=True)
        unfinished = self._orders / f".{point}"
        unfinished.write_text(what)
        unfinished.rename(self._orders / point)

    def hold(self, *, times: int | None = None) -> None:
        """Let the service's tasks run until :meth:`release`.

        :param times: only that many of them
        """
        self.simulator.add_fault(endpoint="job", kind="outcome", runs_for=LONG, times=times)

    def block(self, *, times: int = 1) -> None:
        """Occupy the service with somebody else's tasks until :meth:`release`, so that ours have to queue.

        :param times: how many tasks the service works on at a time
        """
        self.simulator.add_fault(endpoint="job", kind="outcome", runs_for=LONG, style=_BLOCKING_STYLE)
        for _ in range(times):
            self.submit_as_stranger(style=_BLOCKING_STYLE)

    def submit_as_stranger(self, *, style: int = 1) -> str:
        """Submit something that is not Airflow's; return its id."""
        with self._client() as client:
            submission = client.submit_task(
                service=_SERVICE,
                model=_MODEL,
                input={"image_url": self.portrait(-1), "style_index": style},
            )
        self._strangers.add(submission.task_id)
        return submission.task_id

    def release(self) -> None:
        """Set the service's clock forward, so that what was held ends."""
        self.simulator.advance(LONG)

    def meet_outage(self) -> None:
        """Tell that the outage may strike, and come back when it is over."""
        if self.meeting is None:
            raise LookupError(f"{self.fault.id} has no outage")
        self.meeting.wait(timeout=PATIENCE)

    def rotate_key(self) -> None:
        """Give the connection a new key, then let the service refuse the old one."""
        key = self.bench.new_key()
        self.simulator.accept_keys(self.place.key, key)
        self.bench.store_connection(self.fault, key=key)
        self.simulator.accept_keys(key)
        self.simulator.api_key = key

    @staticmethod
    def signed_url() -> str:
        """What a service might quote in a message and should not."""
        signature = secrets.token_urlsafe(24)
        return f"https://dashscope-result-bj.example/x.jpg?Expires=1700000000&OSSAccessKeyId=LTAI5tSEEDED&Signature={signature}"

    def until(self, condition: Callable[[], bool], *, what: str) -> None:
        """Wait for something that the database does not tell."""

        def there() -> bool:
            if self.observer.stopped:
                raise StackError(f"Stopped while waiting for {what}")
            return condition()

        wait_until(there, interval=0.3, what=what)

    def worker_has_left(self, run: Run, task_id: str) -> None:
        """Wait until a task that must not be tried again may be resumed."""
        airflow = self.stack.airflow
        (instance,) = airflow.api.task_instances(dag_id=run.dag_id, run_id=run.run_id, task_id=task_id)
        self.until(
            lambda: airflow.worker_has_left(instance),
            what=f"the executor to report the worker of {run.dag_id}.{task_id}",
        )

    def tasks(self) -> list[dict[str, Any]]:
        """What the service's ledger says of the tasks that Airflow has submitted."""
        found = self.simulator.ledger()["tasks"]
        return [task for task in found if task["task_id"] not in self._strangers]

    def looks(self, *, well: bool = False) -> int:
        """How often somebody has asked the service how tasks are.

        :param well: count only requests that were answered well
        """
        tallies = self.simulator.ledger(summary=True)["endpoints"]
        return sum(
            tally["requests"] - (tally["refused"] + tally["errors"] + tally["faults"] if well else 0)
            for name, tally in tallies.items()
            if name in ("get_task", "list_tasks")
        )

    def now(self) -> datetime:
        """The time by the database's clock."""
        ((now,),) = self.observer.query("SELECT now()")
        return cast("datetime", now)

    def lost_waits(self, since: datetime | None = None) -> int:
        """How many of this row's waits no triggerer has.

        :param since: triggerers that were not heard of since then have none
        """
        ((count,),) = self.observer.query(
            "SELECT count(*) FROM task_instance i JOIN trigger t ON i.trigger_id = t.id "
            "LEFT JOIN job j ON t.triggerer_id = j.id AND (%s::timestamptz IS NULL OR j.latest_heartbeat > %s) "
            "WHERE i.run_id = ANY(%s) AND j.id IS NULL",
            since,
            since,
            [run.run_id for run in self.runs],
        )
        return int(count)

    def audit(self) -> Row:
        """Compare what there is in the end with what must be."""
        fault, tasks = self.fault, self.tasks()
        stored = self.stack.s3.list(bucket=self.bucket, prefix=f"{fault.id}/")
        objects = [each for each in stored if not _OWN_OBJECT.search(each.key)]
        counts = Counter(self._image_of(task) for task in tasks)
        submissions = max(counts.values(), default=0) if fault.images > 1 else len(tasks)
        billed = sum(task["billed"] for task in tasks)
        problems = [
            *_compare("tasks of an image", submissions, fault.submissions),
            *_compare("images billed", billed, fault.billed),
            *_compare("objects", len(objects), fault.objects),
            *self._unlike_the_services(key for key in (each.key for each in objects)),
            *self._not_injected(),
            *self._wrong_failures(),
        ]
        if submissions > fault.allowed:
            problems.append(f"{submissions} tasks of an image, and {fault.allowed} are allowed")
        if fault.images > 1:
            problems += _compare("images submitted", len(counts), fault.images)
        return Row(
            fault=fault.title,
            injected=fault.injected,
            images=fault.images,
            submissions=submissions,
            submissions_allowed=fault.allowed,
            billed=billed,
            objects=len(objects),
            states=" / ".join(run.states() for run in self.runs),
            ok=not problems,
            problems=tuple(problems),
        )

    def _image_of(self, task: dict[str, Any]) -> str:
        """What the service was given; a presigned URL is signed anew with every submission."""
        given: str = task["image_url"]
        return given if given.startswith(self.stack.s3.url) else task["input_fingerprint"]

    def broken(self, error: BaseException) -> Row:
        """The row, if it could not be played to its end."""
        return Row(
            fault=self.fault.title,
            injected=self.fault.injected,
            images=self.fault.images,
            submissions=-1,
            submissions_allowed=self.fault.allowed,
            billed=-1,
            objects=-1,
            states=" / ".join(run.states() for run in self.runs),
            ok=False,
            problems=(f"{type(error).__name__}: {error}",),
        )

    def _unlike_the_services(self, keys: Any) -> list[str]:
        """Objects whose bytes are not those of the file that the service has made."""
        problems = []
        with self._client() as client:
            for key in keys:
                head = self.stack.s3.client.head_object(Bucket=self.bucket, Key=key)
                task = client.get_task(head["Metadata"]["dashscope-task-id"])
                if task.status is not TaskStatus.SUCCEEDED or len(task.results) != 1:
                    problems.append(f"{key} is of a task that is {task.status}")
                    continue
                wanted = download(task.results[0].url)
                found = self.stack.s3.get(bucket=self.bucket, key=key)
                if hashlib.sha256(found).digest() != hashlib.sha256(wanted).digest():
                    problems.append(
                        f"{key} has {len(found)} bytes, and they are not the service's {len(wanted)}"
                    )
        return problems

    def _not_injected(self) -> list[str]:
        """What was to go wrong and did not: a row without its fault proves nothing."""
        orders = [path.name for path in self._orders.glob("*")] if self._orders.exists() else []
        faults = [fault for fault in self.simulator.faults() if not fault["struck"]]
        proxies = [proxy for proxy in (self.place.proxy, self.place.s3_proxy) if proxy is not None]
        idle = [trouble for proxy in proxies for trouble in proxy.troubles if not trouble.struck]
        return [f"never happened: {what}" for what in (*orders, *faults, *idle)]

    def _wrong_failures(self) -> list[str]:
        failed = [run for run in self.runs if run.failed_tasks()]
        if self.fault.failure is None:
            return [f"failed in the end: {run.last_words()}" for run in failed]
        if not failed:
            return ["nothing has failed"]
        return [
            f"failed without a clear reason: {run.last_words()}"
            for run in failed
            if not re.search(self.fault.failure, run.last_words())
        ]

    def _client(self) -> DashScopeClient:
        return DashScopeClient(ClientConfig(api_key=self.simulator.api_key, base_url=self.simulator.url))


def download(url: str) -> bytes:
    """Load a file from a server on this machine."""
    return httpx.get(url, trust_env=False, timeout=PATIENCE).raise_for_status().content


def _compare(what: str, found: int, wanted: int) -> list[str]:
    return [] if found == wanted else [f"{what}: {found}, not {wanted}"]
