"""Spans of what is done at the service, as parts of Airflow's own traces.

Where Airflow traces, it has set OpenTelemetry's provider in workers and triggerers, and has begun a span for the task. Where it
does not, OpenTelemetry keeps nothing of what is told here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span


@contextmanager
def span(name: str, *, task_ids: Sequence[str] = (), model: str | None = None) -> Iterator[Span]:
    """Measure what is done inside; an error that leaves the block is noted with its message.

    :param name: ``submit``, ``wait`` or ``copy``.
    :param task_ids: the service's ids of the tasks that it is about, as far as they are known.
    :param model: the model's name, if it is known.
    """
    from opentelemetry import trace  # DAG parsing does not need it

    attributes = {} if model is None else {"dashscope.model": model}
    with trace.get_tracer("airflow_provider_wanx").start_as_current_span(
        f"dashscope.{name}", attributes=attributes
    ) as started:
        name_tasks(started, task_ids)
        yield started


def name_tasks(span: Span, task_ids: Sequence[str]) -> None:
    """Tell a span which tasks it is about.

    :param task_ids: the service's ids.
    """
    if task_ids:
        span.set_attribute("dashscope.tasks", len(task_ids))
        # Collectors limit attributes.
        span.set_attribute("dashscope.task_ids", list(task_ids[:100]))
