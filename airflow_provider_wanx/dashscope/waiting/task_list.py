"""Which pages of the task list to read, and when. Pure decisions; what the rows mean is decided in :mod:`schedule`.

Only unfinished tasks are read: the running ones often, the pending ones now and then. However long the account's history is,
these lists are short, and they need no order: what matters is who is in them and who is not any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.answers import Answer, http_date, json_object
from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.errors import ApiError, InvalidResponseError, ProviderError
from airflow_provider_wanx.dashscope.models import TaskStatus, is_task_id
from airflow_provider_wanx.dashscope.waiting.schedule import Row, Schedule

PAGE_SIZE, SMALLEST_PAGE = 100, 10
"""Rows to ask for. No document gives the largest page; a service that refuses this one is asked for smaller ones, down to what
it takes for granted (task-management page)."""

MOST_ROWS = 200_000
"""Rows after which a reading is given up: no account has so many unfinished tasks."""

GAP = 0.25
"""Part of a poll interval between two readings of the running tasks. With half an interval, ends are noticed 0.7 s later for a
tenth fewer requests; with a whole one, 2 s later for a fifth fewer. Pending tasks are read once in an interval at most."""

PENDING_PAUSE = 0.5
"""Seconds between two pages of pending tasks while no task is new. Without it, eight triggerers are refused half as
often again."""

PATIENCE = 5.0
"""Seconds without an answer after which the list does not count as working."""

BROKEN = 2
"""Failures in a row after which the list does not count as working; one is enough if it will not work later either. If one
always were, every tenth answer an error would cost twice as many requests."""

INCOMPLETE = 3
"""Incomplete readings of the running tasks in a row after which the list does not count as working: nothing can be concluded
from who is missing. Otherwise, a list that shows only five rows makes ends be noticed after 21 s instead of 3 s."""

FIRST_RETRY, LAST_RETRY = 1.0, 300.0
"""Seconds until a list that could not be read is tried again. With every tenth answer an error, 95 % of 200 ends are noticed
within 1.6 s; with a first retry after 5 s, within 14 s."""

_STATUSES = {str(status): status for status in TaskStatus}


@dataclass(frozen=True)
class Page:
    """A page of the list, as far as waiting needs it.

    :param total: number of rows on all pages, None if the service does not tell.
    :param answered: the service's clock, in seconds since 1970; None if it does not tell.
    """

    rows: list[Row]
    total: int | None
    answered: float | None


@dataclass(frozen=True, kw_only=True)
class Query:
    """A page to be read: of all tasks in one state."""

    status: TaskStatus
    page_no: int
    page_size: int

    def call(self) -> Call[Page]:
        """Make the request."""
        call = endpoints.list_tasks(status=self.status, page_no=self.page_no, page_size=self.page_size)
        return replace(call, read=_read_page)  # type: ignore[arg-type, return-value]


@dataclass
class _Reading:
    """Reading all pages of one state, one after the other.

    :param due: when the next page is to be read.
    :param began: when the first page was.
    :param seen: the ids on the pages so far.
    :param moved: whether an id came twice, so that another may have been passed over.
    :param pages: how many pages had rows.
    """

    status: TaskStatus
    due: float = 0.0
    began: float = 0.0
    page_no: int = 1
    seen: set[str] = field(default_factory=set)
    moved: bool = False
    pages: int = 0

    def take(self, page: Page) -> bool | None:
        """Take the next page; return None if there may be more, else whether the reading was complete."""
        ids = {row.task_id for row in page.rows}
        news = ids - self.seen
        self.moved = self.moved or len(news) < len(ids)
        self.seen |= news
        self.pages += bool(ids)
        if page.total is not None and len(self.seen) >= page.total:
            return True
        if news and len(self.seen) < MOST_ROWS:
            self.page_no += 1
            return None
        return page.total is None and not ids and not self.moved

    def again(self, due: float) -> None:
        """Begin anew at a later time."""
        self.due, self.page_no, self.seen, self.moved, self.pages = due, 1, set(), False, 0


class ListPlan:
    """The pages to read.

    :param schedule: what is waited for; it learns from what is read.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._page_size = PAGE_SIZE
        self._running = _Reading(TaskStatus.RUNNING)
        self._pending = _Reading(TaskStatus.PENDING)
        self._asked: tuple[_Reading, float] | None = None
        self._failures = 0
        self._incomplete = 0
        self._retry_at = 0.0

    def next_query(self, now: float) -> Query | None:
        """Choose the page to read now, if there is one; until it is :meth:`read` or :meth:`failed` there is no other."""
        if self._asked is not None or now < self._retry_at:
            return None
        # A reading of the running tasks is finished first: it is short, and the pending ones are judged by the next one.
        for reading in (self._running, self._pending):
            if self._due(reading) <= now:
                if reading.page_no == 1:
                    reading.began = now
                self._asked = reading, now
                return Query(status=reading.status, page_no=reading.page_no, page_size=self._page_size)
        return None

    def next_at(self, now: float) -> float:
        """The moment of the next page; while one is under way, the moment at which it is late."""
        if self._asked is not None:
            late_at = self._asked[1] + PATIENCE
            return late_at if late_at > now else float("inf")
        return max(self._retry_at, min(self._due(self._running), self._due(self._pending)))

    @property
    def busy(self) -> bool:
        """Whether a page is under way."""
        return self._asked is not None

    def works(self, now: float) -> bool:
        """Whether the list can be relied on at this moment."""
        on_time = self._asked is None or now < self._asked[1] + PATIENCE
        return on_time and self._failures < BROKEN and self._incomplete < INCOMPLETE

    def read(self, page: Page, *, now: float, wall: float) -> list[tuple[str, float | None]]:
        """Take the page that was asked for.

        :return: the tasks that now run and were not known to: id, and seconds in the queue if the list tells.
        """
        reading = self._done()
        self._failures = 0
        started = self._schedule.take_rows(page.rows, now=now, wall=page.answered or wall)
        complete = reading.take(page)
        if complete is None:
            fast = reading is self._running or self._schedule.unlisted
            reading.due = now if fast else now + PENDING_PAUSE
            return started
        if reading is self._pending:
            self._schedule.pending_read(
                reading.seen, complete=complete, pages=reading.pages, began=reading.began, now=now
            )
            # The longer it took, the longer it may rest.
            pause = max(self._schedule.shortest_interval, now - reading.began)
        else:
            self._incomplete = 0 if complete else self._incomplete + 1
            if complete:
                self._schedule.running_read(reading.seen, pages=reading.pages, now=now)
            pause = GAP * self._schedule.shortest_interval
        reading.again(now + pause)
        return started

    def failed(self, error: ProviderError, *, now: float) -> None:
        """Take the news that the page could not be read."""
        self._done().again(now)
        if isinstance(error, ApiError) and not error.retryable and self._page_size > SMALLEST_PAGE:
            self._page_size = max(SMALLEST_PAGE, self._page_size // 2)
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

    def _done(self) -> _Reading:
        if self._asked is None:
            raise RuntimeError("no page was asked for")
        (reading, _), self._asked = self._asked, None
        return reading

    def _due(self, reading: _Reading) -> float:
        if reading is self._pending and reading.page_no == 1 and self._schedule.unlisted:
            return min(reading.due, reading.began + self._schedule.shortest_interval)
        return reading.due


def _read_page(answer: Answer) -> Page:
    """Read a page leniently and fast: a row that makes no sense is no reason to go without the others."""
    document = json_object(answer)
    data = document.get("data")
    if not isinstance(data, list):
        raise InvalidResponseError("The service's task list has no rows.", http_status=answer.status)
    total, date = document.get("total"), http_date(answer)
    return Page(
        rows=[row for item in data if (row := _row(item)) is not None],
        total=total if isinstance(total, int) and not isinstance(total, bool) else None,
        answered=date.timestamp() if date else None,
    )


def _row(item: Any) -> Row | None:
    if not isinstance(item, dict):
        return None
    task_id, status = item.get("task_id"), _STATUSES.get(str(item.get("status")))
    if not is_task_id(task_id) or status is None:
        return None
    return Row(str(task_id), status, _seconds(item.get("gmt_create")), _seconds(item.get("start_time")))


def _seconds(value: object) -> float:
    """Read milliseconds since 1970, or seconds, which are smaller by far; 0 for anything else."""
    if not isinstance(value, int | float) or not 0 < value < 1e14:
        return 0.0
    return value / 1000 if value > 1e11 else float(value)
