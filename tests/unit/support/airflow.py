"""An Airflow task run in this process, as a worker and a triggerer would: no database, no supervisor, the same steps."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from unittest import mock
from uuid import UUID

from airflow.providers.common.compat.sdk import BaseOperator, TaskDeferred
from airflow.triggers.base import BaseTrigger

from tests.unit.support.airflow_names import AIRFLOW, NOTSET, OutletEventAccessors, mark_of_a_worker

Operator = TypeVar("Operator", bound=BaseOperator)

RUN_ID = "manual__2026-11-23T10:00:00+00:00"
EVERY_MAP_INDEX: Any = NOTSET


def _stored(value: Any) -> Any:
    """A value after Airflow has written it as JSON and read it again."""
    return json.loads(json.dumps(value))


class StateStore:
    """Airflow's task state store, in a dictionary."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if value is None:
            raise ValueError("Cannot set value as None")
        self.values[key] = _stored(value)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


@dataclass
class DagRun:
    """What the task instances of one DAG run share."""

    run_id: str = RUN_ID
    xcoms: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)


@dataclass
class TaskInstance:
    """The part of Airflow's task instance that operators see."""

    run: DagRun
    task_id: str
    map_index: int = -1
    max_tries: int = 0
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    first_reschedule: datetime | None = None
    dag_id: str = "dag"
    region_id: UUID | None = None
    region_index: int | None = None

    @property
    def run_id(self) -> str:
        return self.run.run_id

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        return self.first_reschedule

    def xcom_push(self, key: str, value: Any) -> None:
        self.run.xcoms.setdefault((self.task_id, self.map_index), {})[key] = _stored(value)

    def xcom_pull(
        self,
        task_ids: str | Iterable[str] | None = None,
        *,
        key: str = "return_value",
        map_indexes: Any = EVERY_MAP_INDEX,
        default: Any = None,
    ) -> Any:
        wanted = [task_ids or self.task_id] if not task_ids or isinstance(task_ids, str) else list(task_ids)
        found = [
            values[key]
            for (task_id, map_index), values in sorted(self.run.xcoms.items())
            if task_id in wanted and key in values and map_indexes in (EVERY_MAP_INDEX, map_index)
        ]
        if isinstance(task_ids, str) and map_indexes is not EVERY_MAP_INDEX:
            return found[0] if found else default
        return found


class TaskRunner(Generic[Operator]):
    """Runs the tries of one task instance.

    :param build: makes the operator; called for every process that Airflow would start.
    :param keeps_state: whether there is a task state store, as from Airflow 3.3 on.
    """

    def __init__(
        self,
        build: Callable[[], Operator],
        *,
        run: DagRun | None = None,
        map_index: int = -1,
        max_tries: int = 0,
        keeps_state: bool = True,
    ) -> None:
        self.build = build
        self.run = run or DagRun()
        self.map_index = map_index
        self.max_tries = max_tries
        self.store = StateStore() if keeps_state else None
        self.task_id = build().task_id
        self.events: list[dict[str, Any]] = []
        self.outlet_events = OutletEventAccessors()
        self.first_reschedule: datetime | None = None
        # Of Airflow 3.4: where it is in a loop. What other iterations have left is in a run of its own.
        self.region: dict[str, Any] = {}

    @property
    def xcoms(self) -> dict[str, Any]:
        """What the task instance has pushed."""
        return self.run.xcoms.get((self.task_id, self.map_index), {})

    def context(self) -> Any:
        """Make the context of a new process."""
        ti = TaskInstance(
            run=self.run,
            task_id=self.task_id,
            map_index=self.map_index,
            max_tries=self.max_tries,
            first_reschedule=self.first_reschedule,
            **self.region,
        )
        context: dict[str, Any] = {"ti": ti, "run_id": self.run.run_id, "outlet_events": self.outlet_events}
        return context if self.store is None else context | {"task_state_store": self.store}

    def start(self) -> Any:
        """Begin a try: what the one before has pushed is gone. A deferral comes out as TaskDeferred."""
        self.run.xcoms.pop((self.task_id, self.map_index), None)
        context = self.context()
        operator = self.build()
        operator.render_template_fields(context)
        with self._first_reschedule_in_database():
            return self._pushed(context, operator.execute(context, **mark_of_a_worker(operator)))

    def resume(self, deferred: TaskDeferred, event: dict[str, Any] | None) -> Any:
        """Go on after a deferral, in another process."""
        kwargs = {**(deferred.kwargs or {}), "event": event}
        return self.continue_with(deferred.method_name, kwargs)

    def continue_with(self, next_method: str, next_kwargs: dict[str, Any]) -> Any:
        """Go on with the method that Airflow has stored."""
        context = self.context()
        operator = self.build()
        operator.render_template_fields(context)
        return self._pushed(context, operator.resume_execution(next_method, next_kwargs, context))

    def run_try(self) -> Any:
        """Run one try from its start to its end, through the triggerer if it defers."""
        try:
            return self.start()
        except TaskDeferred as deferred:
            event = only_event(revived(deferred.trigger))
            self.events.append(event)
            return self.resume(deferred, event)

    @contextmanager
    def _first_reschedule_in_database(self) -> Iterator[None]:
        """Where sensors of Airflow 2 look for it themselves; later ones ask their task instance."""
        if AIRFLOW >= (3, 0):
            yield
        else:
            with mock.patch("airflow.sensors.base._orig_start_date", return_value=self.first_reschedule):
                yield

    def _pushed(self, context: Any, result: Any) -> Any:
        if result is not None:
            context["ti"].xcom_push(key="return_value", value=result)
        return result


def deferral(start: Callable[[], object]) -> TaskDeferred:
    """Start something that is to defer; return what Airflow would get."""
    try:
        start()
    except TaskDeferred as deferred:
        return deferred
    raise AssertionError("It did not defer.")


def revived(trigger: BaseTrigger) -> BaseTrigger:
    """Make a trigger again from what is stored of it, as a triggerer does."""
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    again: BaseTrigger = getattr(importlib.import_module(module), name)(**_stored(kwargs))
    return again


async def events_of(trigger: BaseTrigger) -> list[dict[str, Any]]:
    """Run a trigger to its end in the running event loop."""
    return [_stored(event.payload) async for event in trigger.run()]


def only_event(trigger: BaseTrigger) -> dict[str, Any]:
    """Run a trigger in an event loop of its own; return its one event."""
    (event,) = asyncio.run(events_of(trigger))
    return event
