"""The task list: any page of any filter without walking through all tasks."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import deque
from typing import Any

from airflow_provider_wanx.simulator.clock import Clock
from airflow_provider_wanx.simulator.tasks.job import Job

Row = dict[str, Any]

_ACCOUNT = "1200000000000000"


class TaskList:
    """Rows by submission number, status and model.

    Changes come in with their time and become visible ``delay`` later: the real list is fed from the tasks, and
    nothing promises that it keeps up with them.

    :param clock: the service's clock.
    :param delay: in seconds of the service's clock.
    :param order: of the rows: ``newest`` or ``oldest`` task first, or ``shuffled`` anew for every page.
    """

    def __init__(self, *, clock: Clock, delay: float, order: str) -> None:
        self._clock = clock
        self._delay = delay
        self._order = order
        self._coming: deque[tuple[float, int, Row]] = deque()
        self._rows: dict[int, Row] = {}
        self._numbers: dict[tuple[str | None, str | None], list[int]] = {}

    def record(self, job: Job, *, moment: float) -> None:
        """Note that a task is, from a moment on, what it is now."""
        self._coming.append((moment, job.number, self._write(job)))

    def drop(self, job: Job) -> None:
        """Forget a task."""
        row = self._rows.pop(job.number, None)
        if row is not None:
            self._unlist(job.number, row)

    def row(self, job: Job) -> Row | None:
        """Return one task's row as the list shows it now."""
        self._catch_up()
        return self._rows.get(job.number)

    def page(
        self,
        *,
        status: str | None,
        model: str | None,
        first: int,
        last: int,
        page_no: int,
        page_size: int,
    ) -> tuple[list[Row], int]:
        """Return the rows on one page, and how many the filter matches.

        :param status: only tasks of this status.
        :param model: only tasks of this model.
        :param first: the lowest submission number wanted.
        :param last: the first submission number not wanted any more.
        :param page_no: from 1.
        :param page_size: rows a page.
        """
        self._catch_up()
        numbers = self._numbers.get((status, model), [])
        low, high = bisect_left(numbers, first), bisect_left(numbers, last)
        total = max(0, high - low)
        skipped = min((page_no - 1) * page_size, total)
        here = min(page_size, total - skipped)
        if self._order == "newest":
            wanted = numbers[high - skipped - here : high - skipped][::-1]
        elif self._order == "oldest":
            wanted = numbers[low + skipped : low + skipped + here]
        else:
            # Any page of a random order is a random choice.
            wanted = [numbers[place] for place in random.sample(range(low, high), here)]
        return [self._rows[number] for number in wanted], total

    def _write(self, job: Job) -> Row:
        """Write a row: flat, times in milliseconds, no results and no error."""
        path = job.order.service.path.replace("/", ":")
        moments = {"gmt_create": job.submitted, "start_time": job.started, "end_time": job.ended}
        return {
            "api_key_id": job.api_key_id,
            "caller_parent_id": _ACCOUNT,
            "caller_uid": _ACCOUNT,
            **{
                name: int(self._clock.epoch(moment) * 1000)
                for name, moment in moments.items()
                if moment is not None
            },
            "model_name": job.order.model,
            "region": "cn-beijing",
            "request_id": job.request_id,
            "status": str(job.status),
            "task_id": job.task_id,
            "user_api_unique_key": f"apikey:v1:{path}:{job.order.model}",
        }

    def _catch_up(self) -> None:
        now = self._clock.now()
        while self._coming and self._coming[0][0] + self._delay <= now:
            _, number, row = self._coming.popleft()
            before = self._rows.get(number)
            if before is not None:
                self._unlist(number, before)
            self._rows[number] = row
            for key in _keys(row):
                insort(self._numbers.setdefault(key, []), number)

    def _unlist(self, number: int, row: Row) -> None:
        for key in _keys(row):
            numbers = self._numbers[key]
            del numbers[bisect_left(numbers, number)]


def _keys(row: Row) -> tuple[tuple[str | None, str | None], ...]:
    status, model = row["status"], row["model_name"]
    return ((None, None), (status, None), (None, model), (status, model))
