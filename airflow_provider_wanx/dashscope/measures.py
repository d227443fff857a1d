"""What can be measured of the work with the service, told to whoever wants to know.

Nothing here sends anything: a :class:`~airflow_provider_wanx.dashscope.config.ClientConfig` carries an observer to every place
where something is to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How values of a measure add up."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMING = "timing"


@dataclass(frozen=True)
class Measure:
    """Something that is measured.

    :param name: its name.
    :param kind: how values add up.
    :param unit: of its values; seconds for timings.
    :param meaning: what it tells, in a sentence.
    :param tags: names of the tags that come with a value.
    :param split: tags whose values are few, so that a measure may be split by them where tags are lost.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    tags: tuple[str, ...] = ()
    split: tuple[str, ...] = ()


Observer = Callable[[Measure, float, Mapping[str, str]], None]
"""Is told of a value of a measure with its tags. It must neither raise nor take long."""


def ignore(measure: Measure, value: float, tags: Mapping[str, str]) -> None:
    """Want to know nothing."""


SUBMISSIONS = Measure(
    "dashscope.submissions",
    Kind.COUNTER,
    "requests",
    "Submissions that were sent: `accepted`, `throttled` (too early, sent again later), `refused`, or `unconfirmed` (the "
    "answer was lost).",
    ("model", "outcome"),
    ("outcome",),
)
SUBMISSION_TIME = Measure(
    "dashscope.submission_time",
    Kind.TIMING,
    "s",
    "How long the service took to accept a submission.",
    ("model",),
)
HELD_BACK = Measure(
    "dashscope.held_back",
    Kind.TIMING,
    "s",
    "How long a submission was held back to keep to the account's rate, until it was accepted.",
    ("model",),
)
POLLS = Measure(
    "dashscope.polls",
    Kind.COUNTER,
    "requests",
    "Requests about the state of tasks: of one (`get_task`) or of many (`list_tasks`).",
    ("endpoint",),
    ("endpoint",),
)
REFUSED = Measure(
    "dashscope.refused",
    Kind.COUNTER,
    "requests",
    "Requests that the service refused because there were too many, by its endpoint.",
    ("endpoint",),
    ("endpoint",),
)
WAITS = Measure(
    "dashscope.waits",
    Kind.GAUGE,
    "tasks",
    "Tasks that a triggerer is waiting for.",
    ("host",),
    ("host", "conn_id"),
)
TASKS_ENDED = Measure(
    "dashscope.tasks_ended",
    Kind.COUNTER,
    "tasks",
    "Tasks whose end was noticed by whoever waits for them, by their state.",
    ("status",),
    ("status",),
)
GIVEN_UP = Measure(
    "dashscope.waits_given_up",
    Kind.COUNTER,
    "waits",
    "Waits that ended before their tasks: the deadline came, or looking again was of no use.",
)
QUEUED = Measure("dashscope.task_queued", Kind.TIMING, "s", "How long a task waited in the service's queue.")
RAN = Measure("dashscope.task_ran", Kind.TIMING, "s", "How long the service worked on a task.")
LAG = Measure("dashscope.lag", Kind.TIMING, "s", "How long a task had ended before its end was noticed.")
IMAGES = Measure(
    "dashscope.images", Kind.COUNTER, "images", "Images that the service bills for the tasks that have ended."
)
COST = Measure(
    "dashscope.cost",
    Kind.COUNTER,
    "CNY",
    "What those images cost, where their price is known: repainted portraits.",
)
COPIES = Measure("dashscope.copies", Kind.COUNTER, "results", "Results that were written to S3.")
COPIED_BYTES = Measure(
    "dashscope.copied_bytes", Kind.COUNTER, "bytes", "Size of the results that were written to S3."
)
COPY_TIME = Measure(
    "dashscope.copy_time", Kind.TIMING, "s", "How long one result took from the service to S3."
)

MEASURES = tuple(each for each in list(vars().values()) if isinstance(each, Measure))
"""Everything that is measured."""
