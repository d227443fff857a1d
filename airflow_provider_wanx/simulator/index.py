"""The task list's index: any page of any filter without walking through all tasks."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the list.

    :param rows: the rows on it.
    :param total: how many rows the filter matches.
    """

    rows: list[Row]
    total: int


class TaskIndex:
    """Rows by submission number, status and model.

    Changes come in with their time and become visible ``delay`` later: the real list is fed from the tasks, and
    nothing promises that it keeps up with them.

    :param delay: in seconds of the service's clock.
    :param order: of the rows: ``newest`` or ``oldest`` task first, or ``shuffled`` anew for every page.
    """

    def __init__(self, *, delay: float = 0.0, order: str = "newest") -> None:
        self._delay = delay
        self._order = order
        self._coming: deque[tuple[float, int, Row]] = deque()
        self._rows: dict[int, Row] = {}
        self._numbers: dict[tuple[str | None, str | None], list[int]] = {}

    def record(self, *, number: int, row: Row, moment: float) -> None:
        """Note that a task's row reads like this from a moment on."""
        self._coming.append((moment, number, row))

    def drop(self, number: int) -> None:
        """Forget a task."""
        row = self._rows.pop(number, None)
        if row is not None:
            self._unlist(number, row)

    def row(self, number: int, *, now: float) -> Row | None:
        """Return one task's row as the list shows it now."""
        self._catch_up(now)
        return self._rows.get(number)

    def page(
        self,
        *,
        now: float,
        status: str | None,
        model: str | None,
        first: int,
        last: int,
        page_no: int,
        page_size: int,
    ) -> Page:
        """Return one page.

        :param now: the service's time.
        :param status: only tasks of this status.
        :param model: only tasks of this model.
        :param first: the lowest submission number wanted.
        :param last: the first submission number not wanted any more.
        :param page_no: from 1.
        :param page_size: rows a page.
        """
        self._catch_up(now)
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
        return Page(rows=[self._rows[number] for number in wanted], total=total)

    def _catch_up(self, now: float) -> None:
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
