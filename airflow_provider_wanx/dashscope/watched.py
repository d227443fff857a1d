"""What is known of one task that is waited for, of one row of the task list, and how attention is divided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_wanx.dashscope.models import TaskStatus


class Row(NamedTuple):
    """What a row of the task list tells; times are seconds since 1970, 0 for none."""

    task_id: str
    status: TaskStatus
    model: str
    created: float
    started: float
    ended: float


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How to divide attention.

    :param direct: part of the request limit up to which every task is simply asked for at its own interval.
    :param sweep: seconds after which a task is asked for even though the list says that it has not ended.
    :param sweep_share: part of the requests that this may take; with more tasks, each waits longer.
    :param gap: part of a poll interval between two looks at the list while tasks keep ending.
    :param shortest_gap: seconds that it is at least.
    :param stale: seconds by which the list may be late before asking for each is preferred, where that is faster.
    :param page_size: rows asked for; the service's largest value is not documented.
    """

    direct: float = 0.15
    sweep: float = 60.0
    sweep_share: float = 0.25
    gap: float = 0.25
    shortest_gap: float = 0.25
    stale: float = 15.0
    page_size: int = 100


class Watched:
    """One task that is waited for."""

    __slots__ = (
        "added_at",
        "asking",
        "doubts",
        "due",
        "hinted",
        "interval",
        "listed_in",
        "located",
        "model",
        "ready_at",
        "since",
        "status",
        "submitted",
        "task_id",
        "token",
    )

    def __init__(self, *, task_id: str, interval: float, added_at: float, ready_at: float) -> None:
        self.task_id = task_id
        self.interval = interval
        self.added_at = added_at
        self.ready_at = ready_at
        self.due = 0.0
        self.token = 0
        self.status: TaskStatus | None = None
        self.model: str | None = None
        self.submitted = 0.0
        self.since = 0.0
        self.located = self.hinted = self.asking = False
        self.doubts = 0
        self.listed_in = 0
