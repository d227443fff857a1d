"""Search the service's task list for a submission whose answer was lost.

No document gives the order of the list, its largest page, whether its totals are always there, or how soon a task appears in
it. So a search reads on until a page brings nothing new. It believes that it has seen the whole list only if it has as many
rows as the list says it has, or, without a total, if no row came twice before the empty page at the end. It looks several
times, and keeps what any look has shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.api.endpoints import LARGE_PAGE_ROWS
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS
from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.jobs.submitting.submission_record import Record, sent_between

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.dashscope.models import TaskRow
    from airflow_provider_wanx.jobs.protocols import Clock, Log

PAUSES_BEFORE_LOOKS_SECONDS = (0.0, 4.0, 6.0, 20.0, 30.0)
"""Seconds to wait before each look at the list."""

ENOUGH_LOOKS = 3
"""Looks after which a task that was found is believed to be the only one. The later looks are for a task that is missing."""

LISTED_FOR_SECONDS = RESULT_LIFETIME_SECONDS - 3600.0
"""Seconds after a submission for which its absence from the list means that the service did not accept it."""

MAX_PAGES = 500
"""Pages that one look reads. In the ten hours that it covers, a model that runs one task of 8 s at a time makes 4,500: 450
pages of the documented 10 rows."""

READINGS_WITHOUT_NEWS = 3
"""Readings in a row that show nothing new after which a look is given up, for instance because the list has one page only."""

ZONE_DOUBT = timedelta(hours=9)
"""No document says whether the list reads its time filter as China time or as UTC. Asking for this much more covers both."""

CLOCK_MARGIN = timedelta(seconds=5)
"""How far the clocks of two workers may be apart. The service's own clock is read from its answers."""

QUIET_MARGIN = timedelta(seconds=60)
"""A task in the list counts as ours only if nobody else submitted to the same model this long before and after: the list does
not tell what a task was made from."""


@dataclass(frozen=True)
class Found:
    """The list has exactly one task that can be ours."""

    dashscope_task_id: str


@dataclass(frozen=True)
class NotAccepted:
    """The list has no task that could be ours: the service did not accept the submission."""


@dataclass(frozen=True)
class Unclear:
    """Several tasks could be ours, or one is and others were submitted too near to it."""

    candidates: tuple[str, ...]


Finding = Found | NotAccepted | Unclear


def find_submission(
    record: Record,
    rows: Iterable[TaskRow],
    *,
    claimed: frozenset[str],
    clock_offset: timedelta,
    now: datetime,
    rivals: Iterable[Record] = (),
) -> Finding:
    """Decide which row of the list is the task of an unconfirmed submission.

    A row whose time is missing or yet to come says nothing about when its task was submitted, so it may be the one.

    :param record: the intent.
    :param rows: the list's rows of the same model.
    :param claimed: ids that are known to belong to somebody else.
    :param clock_offset: the service's clock minus this machine's.
    :param now: this machine's clock after the rows were read.
    :param rivals: other unconfirmed submissions of whoever asks: a task that can be one of theirs is nobody's for certain.
    """
    windows = [[moment + clock_offset for moment in _window(each)] for each in rivals]
    start, end = (moment + clock_offset for moment in _window(record))
    candidates: list[str] = []
    neighbours: list[str] = []
    undated = False
    for row in rows:
        if row.task_id in claimed or (row.model_name is not None and row.model_name != record.model):
            continue
        if row.create_time is None or row.create_time > now + clock_offset + CLOCK_MARGIN:
            undated = True
            neighbours.append(row.task_id)
        elif start <= row.create_time <= end:
            candidates.append(row.task_id)
            if any(begin <= row.create_time <= until for begin, until in windows):
                neighbours.append(row.task_id)
        elif start - QUIET_MARGIN <= row.create_time <= end + QUIET_MARGIN:
            neighbours.append(row.task_id)
    if not candidates:
        return Unclear(tuple(neighbours)) if undated else NotAccepted()
    if len(candidates) == 1 and not neighbours:
        return Found(candidates[0])
    return Unclear(tuple(dict.fromkeys((*candidates, *neighbours))))


def settled_at(record: Record) -> float:
    """From when on, in seconds since 1970, one look at the list is enough to settle a submission."""
    return record.time + record.within + sum(PAUSES_BEFORE_LOOKS_SECONDS)


def _window(record: Record) -> tuple[datetime, datetime]:
    start, end = sent_between(record)
    return start - CLOCK_MARGIN, end + CLOCK_MARGIN


class TaskSearch:
    """Searches the task list.

    :param client: of the account that the submission went to.
    :param claimed: returns the ids that other task instances are known to have submitted.
    :param log: the task's log.
    :param clock: tells the time and waits.
    :param rivals: see :func:`find_submission`.
    """

    def __init__(
        self,
        *,
        client: DashScopeClient,
        claimed: Callable[[], frozenset[str]],
        log: Log,
        clock: Clock,
        rivals: Sequence[Record] = (),
    ) -> None:
        self._rivals = rivals
        self._client = client
        self._claimed = claimed
        self._log = log
        self._clock = clock

    def find(self, record: Record, *, not_ours: Iterable[str]) -> Finding:
        """Look for the task of an unconfirmed submission.

        :param record: the intent.
        :param not_ours: ids of tasks that this submission replaces.
        """
        if self._clock.time() - record.time > LISTED_FOR_SECONDS:
            return Unclear(())
        # From then on, every task of the submission is in the list and its owner is known: one look is enough.
        settled = settled_at(record)
        finding: Finding = Unclear(())
        rows: dict[str, TaskRow] = {}
        for number, pause in enumerate(PAUSES_BEFORE_LOOKS_SECONDS):
            if number >= ENOUGH_LOOKS and finding not in (NotAccepted(), Unclear(())):
                break
            self._clock.sleep(pause)
            try:
                offset = self._read(record, rows)
            except ProviderError as error:
                self._log.warning("The task list cannot be read: %s", error)
                finding = Unclear(())
                continue
            claimed = self._claimed().union(not_ours)
            finding = find_submission(
                record,
                rows.values(),
                claimed=claimed,
                clock_offset=offset,
                now=self._now(),
                rivals=self._rivals,
            )
            if self._clock.time() > settled:
                break
        return finding

    def _read(self, record: Record, rows: dict[str, TaskRow]) -> timedelta:
        """Add the list's rows to those of earlier looks; return the service's clock minus this machine's.

        :raises ProviderError: the list cannot be read, or does not show as many tasks as it says it has.
        """
        start, end = _window(record)
        page_no, seen, moved = 1, set[str](), False
        known, without_news = len(rows), 0
        for _ in range(MAX_PAGES):
            if len(rows) > MAX_PAGES * LARGE_PAGE_ROWS:
                break
            page = self._client.list_tasks(
                model_name=record.model,
                start_time=start - ZONE_DOUBT,
                end_time=min(end, self._now()) + timedelta(hours=1),
                page_no=page_no,
                page_size=LARGE_PAGE_ROWS,
            )
            ids = {row.task_id for row in page.tasks}
            rows.update((row.task_id, row) for row in page.tasks)
            moved = moved or not seen.isdisjoint(ids)
            if not ids <= seen:
                seen |= ids
                page_no += 1
            elif len(rows) >= page.total if page.total is not None else not moved:
                return page.answered_at - self._now() if page.answered_at else timedelta(0)
            else:
                # Rows move between pages while these are read: some may have been missed.
                page_no, seen, moved = 1, set(), False
                known, without_news = len(rows), 0 if len(rows) > known else without_news + 1
                if without_news == READINGS_WITHOUT_NEWS:
                    break
        raise ProviderError("it does not show as many rows as it should have.")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), tz=UTC)
