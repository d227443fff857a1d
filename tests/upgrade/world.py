"""A service, a bucket and one Airflow task, at addresses that are the same at every run: fingerprints are made of them."""

from __future__ import annotations

import asyncio
import importlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import airflow
import httpx
import pytest
import time_machine
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.models.crypto import get_fernet
from airflow.models.trigger import Trigger
from airflow.sdk import DAG
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.execution_time.task_runner import _defer_task
from airflow.sdk.serde import deserialize, serialize
from airflow.serialization.decoders import smart_decode_trigger_kwargs
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_wanx import __version__
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_SERVICE
from airflow_provider_wanx.simulator import queues
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.simulator.settings import Settings
from tests.unit.support.airflow import RUN_ID, DagRun, TaskRunner
from tests.unit.support.s3 import Bucket
from tests.upgrade.snapshot import Object, Snapshot, Then

HOST, PORT = "dashscope.localhost", 8480
BUCKET = "upgrade"

_REPAINT = {"service": REPAINT_SERVICE, "model": REPAINT_MODEL}

MOST_WAKES = 30
"""A batch of some images that wakes more often goes round in circles."""

LONGEST_WAIT = 120.0
"""Seconds after which a trigger that still waits is taken to wait for nothing: every task here ends at once."""

NEXT_RUN = "manual__2026-11-24T10:00:00+00:00"

Task = dict[str, Any]

_ACCEPTED = ("task_id", "request_id", "service", "model", "style_index", "submit_time", "status", "code")
"""What is kept of a task that the service has accepted."""


@dataclass
class World:
    """What a snapshot is taken of, and restored to.

    :param connect: defines the DashScope connection.
    :param bucket: the only bucket.
    :param address: the loopback address to which the service's name leads.
    """

    connect: Callable[[dict[str, Any]], None]
    bucket: Bucket
    address: str
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def service(self, **settings: Any) -> Iterator[BackgroundSimulator]:
        """Run a local DashScope."""
        self.settings = settings
        usual: dict[str, Any] = {"submit_rate": 0, "task_rate": 0, "duration": 0.02}
        with BackgroundSimulator(
            settings=Settings(**{**usual, **settings}), host=self.address, port=PORT
        ) as simulator:
            self.simulator = simulator
            self.connect(self._connection())
            yield simulator

    def _connection(self) -> dict[str, Any]:
        # Nothing here is about pacing.
        limits = {"submissions_per_second": 1000, "requests_per_second": 1000}
        extra = {"retry_for": 1, "timeout": 60, **limits, **self.options}
        return {"conn_type": "dashscope", "host": f"http://{HOST}:{PORT}", "extra": extra}

    def submit(self, *styles: int) -> list[str]:
        """Submit repaints that are nobody's."""
        return [self._submit({**_REPAINT, "style_index": style}) for style in styles]

    def _submit(self, task: dict[str, Any]) -> str:
        """Submit a task of the same kind; what it is made from makes no difference to anybody."""
        portrait, style = self.simulator.portrait_url, task["style_index"]
        pictures = {"image_url": portrait, **({"style_ref_url": portrait} if style == -1 else {})}
        content = {"prompt": "A lighthouse"} if style is None else {"style_index": style, **pictures}
        answer = httpx.post(
            f"{self.simulator.url}/api/v1/services/{task['service']}",
            headers={**self.simulator.headers, "X-DashScope-Async": "enable"},
            json={"model": task["model"], "input": content},
            trust_env=False,
            timeout=60,
        )
        return str(answer.raise_for_status().json()["output"]["task_id"])

    def runner(self, *tasks: Task, **arguments: Any) -> TaskRunner[BaseOperator]:
        """Make a DAG of some tasks, one after the other, and run the last one."""

        def build() -> BaseOperator:
            with DAG("dag"):
                made = [_class(task["class"])(**task["arguments"]) for task in tasks]
                for before, after in pairwise(made):
                    before >> after
            operator: BaseOperator = made[-1]
            return operator

        return TaskRunner(build, **arguments)

    def taken(
        self,
        then: Then,
        runner: TaskRunner[BaseOperator],
        *tasks: Task,
        expected: dict[str, Any],
        **stored: Any,
    ) -> Snapshot:
        """Take a snapshot of what there is now.

        :param then: see :class:`Snapshot`.
        :param runner: of the task that goes on.
        :param expected: see :class:`Snapshot`.
        :param stored: what else Airflow stores.
        """
        ledger = self.simulator.ledger()
        return Snapshot(
            then=then,
            taken_at=ledger["now"],
            provider=__version__,
            airflow=airflow.__version__,
            connection=self._connection(),
            tasks=list(tasks),
            run_id=runner.run.run_id,
            max_tries=runner.max_tries,
            xcoms={task_id: values for (task_id, _), values in runner.run.xcoms.items()},
            task_state=None if runner.store is None else runner.store.values,
            accepted=[{name: task[name] for name in _ACCEPTED} for task in ledger["tasks"]],
            settings=self.settings,
            objects=self.objects(),
            expected={"accepted": len(ledger["tasks"]), "canceled": 0, "results": [], **expected},
            **stored,
        )

    def objects(self) -> list[Object]:
        """Return what is in the bucket."""
        found = []
        for key in self.bucket.keys():  # noqa: SIM118 - no dictionary
            head = self.bucket.head(key)
            found.append(
                Object(
                    key=key,
                    body=self.bucket.body(key),
                    content_type=head["ContentType"],
                    metadata=head["Metadata"],
                )
            )
        return found

    @contextmanager
    def restored(self, snapshot: Snapshot) -> Iterator[None]:
        """Go back to a snapshot's time, with its service and its bucket."""
        self.options = snapshot.connection["extra"]
        for each in snapshot.objects:
            self.bucket.put(each.key, each.body, ContentType=each.content_type, Metadata=each.metadata)
        begin = snapshot.accepted[0]["submit_time"] if snapshot.accepted else snapshot.taken_at
        with time_machine.travel(begin, tick=True) as clock, self.service(**snapshot.settings):
            self.connect(snapshot.connection)
            self._accept_again(snapshot, clock)
            yield

    def _accept_again(self, snapshot: Snapshot, clock: Any) -> None:
        speed, now = snapshot.settings.get("speed", 1.0), None
        for task in [*snapshot.accepted, None]:
            moment = snapshot.taken_at if task is None else task["submit_time"]
            if now is not None and moment > now:
                # The service counts its own seconds, and the clock of all others goes along.
                clock.shift(moment - now)
                self.simulator.advance((moment - now) * speed)
            now = moment
            if task is not None:
                ids = iter((task["task_id"], task["request_id"]))
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(queues, "uuid", SimpleNamespace(uuid4=lambda ids=ids: next(ids)))
                    if task["status"] == "FAILED":
                        self.simulator.add_fault(
                            endpoint="job",
                            kind="outcome",
                            outcome="FAILED",
                            code=task["code"],
                            task_id=task["task_id"],
                        )
                    self._submit(task)

    def go_on(self, snapshot: Snapshot) -> Any:
        """Let the Airflow task end, as Airflow would: return what it returns, or the type of the event that ends it."""
        runner = self.runner(
            *snapshot.tasks,
            run=DagRun(run_id=NEXT_RUN if snapshot.then == "next run" else snapshot.run_id),
            max_tries=snapshot.max_tries + (3 if snapshot.then == "clear" else 0),
            keeps_state=snapshot.task_state is not None,
        )
        if snapshot.then != "next run":
            runner.run.xcoms.update({(task_id, -1): values for task_id, values in snapshot.xcoms.items()})
            if runner.store is not None and snapshot.task_state is not None:
                runner.store.values.update(snapshot.task_state)
        step: Callable[[], Any] = runner.start
        if snapshot.then == "trigger":
            event = self._run_trigger(runner, snapshot)
            if type(event) is not TriggerEvent:
                return type(event).__name__
            step = self._resumption(runner, snapshot, event=_json(event.payload))
        elif snapshot.then == "worker":
            step = self._resumption(runner, snapshot)
        for _ in range(MOST_WAKES):
            try:
                return step()
            except TaskDeferred as deferred:
                event = run_trigger(revived(stored(deferred)["trigger"]))
                step = self._resumption(runner, deferred, event=_json(event.payload))
        raise AssertionError("It does not come to an end.")

    def _run_trigger(self, runner: TaskRunner[BaseOperator], snapshot: Snapshot) -> TriggerEvent:
        trigger = revived(snapshot.trigger or {})
        operator = runner.build()
        if getattr(operator, "start_from_trigger", False):
            # Only then does the triggerer have the DAG, and render what is a template.
            ti: Any = SimpleNamespace(task=operator, task_id=operator.task_id)
            trigger.task_instance = ti
            trigger.render_template_fields(runner.context())
            trigger.task_instance = None
        return run_trigger(trigger)

    def _resumption(
        self, runner: TaskRunner[BaseOperator], left: Snapshot | TaskDeferred, **event: Any
    ) -> Callable[[], Any]:
        if isinstance(left, TaskDeferred):
            return lambda: runner.continue_with(left.method_name, {**(left.kwargs or {}), **event})
        kwargs: Any = deserialize(left.next_kwargs or {})
        return lambda: runner.continue_with(left.next_method or "", {**kwargs, **event})


def stored(deferred: TaskDeferred) -> dict[str, Any]:
    """What Airflow stores of a deferral, made by its own code."""
    message: Any
    ti: Any = SimpleNamespace(dag_id="dag", task_id="task", run_id=RUN_ID)
    log: Any = SimpleNamespace(info=lambda *args, **more: None)
    message, _ = _defer_task(deferred, ti, log)
    return {
        "trigger": {"classpath": message.classpath, "kwargs": _json(message.trigger_kwargs)},
        "next_method": message.next_method,
        "next_kwargs": _json(message.next_kwargs),
    }


def stored_start(operator: Any) -> dict[str, Any]:
    """What Airflow stores of a task that starts in the triggerer."""
    arguments = operator.start_trigger_args
    row = Trigger(classpath=arguments.trigger_cls, kwargs=arguments.trigger_kwargs)
    return {
        "trigger": {
            "classpath": row.classpath,
            "kwargs": json.loads(get_fernet().decrypt(row.encrypted_kwargs.encode())),
        },
        "next_method": arguments.next_method,
        "next_kwargs": _json(serialize(arguments.next_kwargs or {})),
    }


def revived(trigger: dict[str, Any]) -> BaseTrigger:
    """Make a trigger from its row, as the triggerer does."""
    kwargs = Trigger._decrypt_kwargs(json.dumps(trigger["kwargs"]))
    trigger_class = TriggerRunner.get_trigger_by_classpath(
        SimpleNamespace(trigger_cache={}),  # type: ignore[arg-type]
        trigger["classpath"],
    )
    return trigger_class(**{name: smart_decode_trigger_kwargs(value) for name, value in kwargs.items()})


def run_trigger(trigger: BaseTrigger) -> TriggerEvent:
    """Run a trigger in an event loop of its own; return its one event."""

    async def events() -> list[TriggerEvent]:
        async with asyncio.timeout(LONGEST_WAIT):
            return [event async for event in trigger.run()]

    (event,) = asyncio.run(events())
    return event


def loopback_address() -> str:
    """Return an address of this machine that nobody else is likely to use at the moment."""
    first, second, third = (1 + number % 254 for number in uuid.uuid4().bytes[:3])
    return f"127.{first}.{second}.{third}"


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value))
