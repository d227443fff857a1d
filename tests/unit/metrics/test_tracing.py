"""Spans in Airflow's traces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.painting import PAINT, paint
from tests.unit.sensors.sensing import wait
from tests.unit.support.airflow import deferral, only_event, revived
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import submit_repaints
from tests.unit.transfers.copying import copy


class Traces:
    """What a process has told of itself, inside of a span as Airflow begins one for a task."""

    def __init__(self, exporter: InMemorySpanExporter, task: Any) -> None:
        self._exporter = exporter
        self._task = task

    def told(self) -> list[ReadableSpan]:
        return [each for each in self._exporter.get_finished_spans() if each.name.startswith("dashscope.")]

    def named(self, name: str) -> ReadableSpan:
        (found,) = [each for each in self.told() if each.name == name]
        return found

    def are_parts_of_the_task(self) -> bool:
        mine = self._task.get_span_context()
        return all(each.parent is not None and each.parent.span_id == mine.span_id for each in self.told())


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """Airflow's tracing, switched on."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    with trace.get_tracer("airflow").start_as_current_span("worker.task") as task:
        yield Traces(exporter, task)


def test_a_submission_names_its_model_and_its_task(traces: Traces, dashscope: BackgroundSimulator) -> None:
    task_id = paint().run_try()
    told = traces.named("dashscope.submit")
    assert told.attributes == {
        "dashscope.model": PAINT["model"],
        "dashscope.tasks": 1,
        "dashscope.task_ids": (task_id,),
    }
    assert told.status.is_ok
    assert traces.are_parts_of_the_task()


def test_a_submission_that_is_refused_says_why(traces: Traces, dashscope: BackgroundSimulator) -> None:
    dashscope.add_fault(endpoint="submit", kind="status", status=400, code="Arrearage")
    with pytest.raises(AirflowException):
        paint().run_try()
    told = traces.named("dashscope.submit")
    assert not told.status.is_ok
    assert "Arrearage" in (told.status.description or "")


def test_a_wait_in_the_triggerer_and_a_copy_name_the_tasks(
    traces: Traces, dashscope: BackgroundSimulator, bucket: Bucket
) -> None:
    ids = submit_repaints(dashscope, 30, 31)
    waiting = wait(ids)
    waiting.resume(deferred := deferral(waiting.start), only_event(revived(deferred.trigger)))
    assert traces.named("dashscope.wait").attributes == {
        "dashscope.tasks": 2,
        "dashscope.task_ids": tuple(ids),
    }
    copy(ids[0], bucket.name).run_try()
    assert traces.named("dashscope.copy").attributes == {
        "dashscope.tasks": 1,
        "dashscope.task_ids": (ids[0],),
    }
    assert traces.are_parts_of_the_task()


def test_a_wait_on_the_worker_is_told_too(traces: Traces, dashscope: BackgroundSimulator) -> None:
    task_id = paint(wait_for_completion=True, deferrable=False).run_try()
    attributes = traces.named("dashscope.wait").attributes or {}
    assert attributes["dashscope.task_ids"] == (task_id,)


def test_where_airflow_does_not_trace_nothing_is_kept(dashscope: BackgroundSimulator) -> None:
    assert paint().run_try()
    assert not trace.get_current_span().is_recording()
