"""Which pages of the task list to read, and when. Pure decisions; the rows themselves go to :mod:`schedule`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.answers import Answer, json_object
from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.errors import ApiError, DashScopeError, InvalidResponseError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.schedule import Schedule
from airflow_provider_wanx.dashscope.watched import Row

DEFAULT_PAGE_SIZE = 10
"""What the service takes for granted (task-management page), and so the size that it cannot refuse."""

DEEPEST = 20
"""Pages of one state that are read in a row; what lies deeper is left to the pass over the whole list."""

FRUITLESS = 10
"""Pages in a row without a task of ours after which a pass over the whole list is given up."""

PATIENCE = 5.0
"""Seconds without an answer after which the list does not count as working."""

BROKEN = 2
"""Failures in a row after which the list does not count as working; one is enough if it will not work later either."""

FIRST_RETRY, LAST_RETRY = 5.0, 300.0
"""Seconds until a list that could not be read is tried again."""

_STATUSES = {str(status): status for status in TaskStatus}


@dataclass(frozen=True)
class Page:
    """A page of the list, as far as waiting needs it.

    :param has_more: whether a further page exists.
    """

    rows: list[Row]
    has_more: bool


@dataclass(frozen=True, kw_only=True)
class Query:
    """A page to be read; without a status, of all tasks."""

    status: TaskStatus | None
    page_no: int
    page_size: int

    def call(self) -> Call[Page]:
        """Make the request."""
        call = endpoints.list_tasks(status=self.status, page_no=self.page_no, page_size=self.page_size)
        return replace(call, read=lambda answer: _read_page(answer, self))  # type: ignore[arg-type, return-value]


@dataclass
class _Walk:
    """Reading the pages of one state, from the newest task on.

    :param every: gaps between two walks.
    """

    status: TaskStatus | None
    every: float
    due: float = 0.0
    page_no: int = 1


class ListPlan:
    """The pages to read: of the states that tasks end in, of the running ones, and all of them in turn.

    First in first out, the tasks that ended last are the newest of those that have ended: the first page of a state says
    most. The rest is found by passes over the whole list, which rely on no order at all.

    :param schedule: what is waited for; it takes the rows.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._page_size = schedule.tuning.page_size
        self._succeeded = _Walk(TaskStatus.SUCCEEDED, every=1)
        self._running = _Walk(TaskStatus.RUNNING, every=4)
        self._failed = _Walk(TaskStatus.FAILED, every=4)
        self._canceled = _Walk(TaskStatus.CANCELED, every=12)
        self._everything = _Walk(None, every=0)
        self._walks = (self._succeeded, self._running, self._failed, self._canceled, self._everything)
        self._asked: tuple[_Walk, float] | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._running_rows: dict[str, Row] = {}
        self._pass = 1
        self._began = 0.0
        self._found = 0
        self._fruitless = 0
        self._last_pass_at = float("-inf")

    def next_query(self, now: float) -> Query | None:
        """Choose the page to read now, if there is one; until it is :meth:`read` or :meth:`failed` there is no other."""
        if self._asked is not None or now < self._retry_at:
            return None
        for walk in self._walks:
            if self._due(walk) <= now:
                self._asked = walk, now
                return Query(status=walk.status, page_no=walk.page_no, page_size=self._page_size)
        return None

    def next_at(self, now: float) -> float:
        """The moment of the next page; while one is under way, the moment at which it is late."""
        if self._asked is not None:
            late_at = self._asked[1] + PATIENCE
            return late_at if late_at > now else float("inf")
        return max(self._retry_at, min(self._due(walk) for walk in self._walks))

    @property
    def busy(self) -> bool:
        """Whether a page is under way."""
        return self._asked is not None

    def works(self, now: float) -> bool:
        """Whether the list can be relied on at this moment."""
        return self._failures < BROKEN and (self._asked is None or now < self._asked[1] + PATIENCE)

    def read(self, page: Page, *, now: float, wall: float) -> None:
        """Take the page that was asked for."""
        walk, asked_at = self._done()
        self._failures = 0
        audit = self._pass if walk is self._everything else 0
        missing = len(self._schedule.unlocated)
        known, last_news = self._schedule.take_rows(page.rows, audit=audit, now=now, wall=wall)
        if walk is self._everything:
            if walk.page_no == 1:
                self._began = wall - (now - asked_at)
            self._audited(known, missing - len(self._schedule.unlocated), page, now)
        elif walk is self._running:
            self._ran(page, now)
        else:
            gap = self._gap(now)
            deeper = page.has_more and last_news > len(page.rows) // 2 and walk.page_no < DEEPEST
            self._turn(walk, deeper, now, gap if last_news else gap * walk.every)
            if last_news:
                self._running.due = min(self._running.due, now + gap)

    def failed(self, error: DashScopeError, *, now: float) -> None:
        """Take the news that the page could not be read."""
        walk, _ = self._done()
        if walk is not self._everything:
            walk.page_no = 1
        if isinstance(error, ApiError) and not error.retryable and self._page_size > DEFAULT_PAGE_SIZE:
            # Nobody knows the largest page that the service allows; this one may have been larger.
            self._page_size = max(DEFAULT_PAGE_SIZE, self._page_size // 2)
            return
        self._failures += 1 if error.retryable else BROKEN
        pause = FIRST_RETRY * 2.0 ** min(self._failures - 1, 10) if error.retryable else LAST_RETRY
        self._retry_at = now + min(pause, LAST_RETRY)

    def try_again(self) -> None:
        """Take the news that what kept the list from being read may be over."""
        self._failures, self._retry_at = 0, 0.0

    def put_back(self) -> None:
        """Take the news that the page was refused for its number only, and is to be asked for again."""
        self._done()

    def _done(self) -> tuple[_Walk, float]:
        if self._asked is None:
            raise RuntimeError("no page was asked for")
        asked, self._asked = self._asked, None
        return asked

    def _due(self, walk: _Walk) -> float:
        if walk is self._everything and walk.page_no == 1 and not self._schedule.unlocated:
            return self._last_pass_at + self._schedule.tuning.sweep
        return walk.due

    def _turn(self, walk: _Walk, deeper: bool, now: float, pause: float) -> None:
        walk.page_no = walk.page_no + 1 if deeper else 1
        walk.due = now if deeper else now + pause

    def _gap(self, now: float) -> float:
        """Seconds until the list should be looked at again."""
        schedule = self._schedule
        interval = schedule.shortest_interval
        gap = max(schedule.tuning.shortest_gap, interval * schedule.tuning.gap)
        soonest = schedule.soonest_end_in(now)
        if soonest is not None:
            return max(gap, min(soonest + 0.05, interval))
        return gap if now - schedule.last_change_at < 4 * interval else max(gap, interval)

    def _ran(self, page: Page, now: float) -> None:
        walk = self._running
        if walk.page_no == 1:
            self._running_rows = {}
        self._running_rows |= {row.task_id: row for row in page.rows}
        deeper = page.has_more and walk.page_no < DEEPEST
        if not page.has_more:
            self._schedule.running_listed(self._running_rows, now=now)
        self._turn(walk, deeper, now, self._gap(now) * walk.every)

    def _audited(self, known: int, located: int, page: Page, now: float) -> None:
        """Go on with the pass over the whole list, or end it: at its end, or once it has no more to tell."""
        schedule, walk = self._schedule, self._everything
        # A pass that begins early only looks for tasks that are new here, and is over when they are found.
        whole = now >= self._last_pass_at + schedule.tuning.sweep
        self._found += known
        self._fruitless = 0 if (known if whole else located) else self._fruitless + 1
        complete = not schedule.unlocated and (not whole or self._found >= len(schedule))
        if page.has_more and not complete and self._fruitless < FRUITLESS:
            pages = len(schedule) / self._page_size + 1
            pause = 0.0 if schedule.unlocated else min(schedule.tuning.sweep / pages, PATIENCE)
            walk.page_no += 1
            walk.due = now + pause
            return
        schedule.search_over(since=self._began, now=now)
        walk.page_no = 1
        walk.due = now + self._gap(now) * (1 if complete else 4)
        if whole:
            self._last_pass_at = now
        self._pass += 1
        self._found = self._fruitless = 0


def _read_page(answer: Answer, query: Query) -> Page:
    """Read a page leniently and fast: a row that makes no sense is no reason to go without the others."""
    document = json_object(answer)
    data = document.get("data")
    if not isinstance(data, list):
        raise InvalidResponseError("The service's task list has no rows.", http_status=answer.status)
    rows = list(_rows(data))
    total_page = document.get("total_page")
    has_more = bool(data) and isinstance(total_page, int) and query.page_no < total_page
    return Page(rows, has_more)


def _rows(data: list[Any]) -> Iterator[Row]:
    for item in data:
        if not isinstance(item, dict):
            continue
        task_id, status = item.get("task_id"), _STATUSES.get(str(item.get("status")))
        if isinstance(task_id, str) and status is not None:
            yield Row(
                task_id,
                status,
                str(item.get("model_name") or ""),
                _seconds(item.get("gmt_create")),
                _seconds(item.get("start_time")),
                _seconds(item.get("end_time")),
            )


def _seconds(value: object) -> float:
    return value / 1000 if isinstance(value, int | float) and 0 < value < 1e14 else 0.0
