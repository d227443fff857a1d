"""Many waits on an account whose task list may have any habits, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import quantiles
from typing import Any

import httpx
import pytest

from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import TaskWait
from airflow_provider_wanx.dashscope.waiting.schedule import Row, Schedule
from airflow_provider_wanx.dashscope.waiting.watcher import TaskWatcher
from tests.unit.dashscope.waiting.fake_service import FakeService, Habits, Job, Trouble, queue
from tests.unit.dashscope.waiting.virtual_time import NOON, run

HOUR = 3600.0


@dataclass(frozen=True)
class Seen:
    """What came of the waits.

    :param lags: virtual seconds from each end to the moment at which its wait was over.
    """

    service: FakeService
    lags: list[float]

    @property
    def requests(self) -> int:
        return sum(self.service.requests.values())

    @property
    def p95(self) -> float:
        return quantiles(self.lags, n=20)[-1]


def wait_for(jobs: list[Job], habits: Habits, *, watchers: int = 1, trouble: Trouble | None = None) -> Seen:
    """Wait for each job by itself, as triggers do."""
    service = FakeService(jobs, habits, trouble=trouble)

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        config = ClientConfig(api_key="sk-x")
        watching = [TaskWatcher(config, transport=service) for _ in range(watchers)]

        async def one(number: int, job: Job) -> float:
            outcome = await watching[number % watchers].wait([TaskWait(job.task_id, 3.0, None)])
            assert outcome.ended[job.task_id].status == job.result
            return loop.time() - job.ended

        lags = await asyncio.gather(*(one(number, job) for number, job in enumerate(jobs)))
        for watcher in watching:
            await watcher.close()
        return lags

    return Seen(service, run(main()))


HABITS = {
    "as recorded": Habits(),
    "oldest first": Habits(order="oldest"),
    "shuffled": Habits(order="shuffled"),
    "ten rows a page": Habits(page_cap=10),
    "ten rows a page, oldest first": Habits(page_cap=10, order="oldest"),
    "no totals": Habits(totals=False),
    "times in seconds": Habits(times=1),
    "no times": Habits(times=0),
    "times eight hours ahead": Habits(zone=8),
    "times eight hours back": Habits(zone=-8),
    "answers without a date": Habits(dates=False),
    "requests counted by the second": Habits(fixed_windows=True),
}


@pytest.mark.parametrize("name", HABITS)
def test_100_ends_are_noticed_soon_whatever_the_habits_of_the_list_are(name: str) -> None:
    seen = wait_for(queue(100, seconds=4, at_once=10), HABITS[name])
    assert seen.service.refused == 0
    assert seen.requests <= 300
    assert seen.p95 <= 2


def test_the_worst_habits_together_only_cost_more_requests() -> None:
    habits = Habits(totals=False, page_cap=10, order="shuffled", times=0)
    seen = wait_for(queue(200, seconds=4, at_once=10), habits)
    assert seen.service.refused == 0
    assert seen.requests <= 900
    assert seen.p95 <= 3


USELESS = {
    "ten seconds late": Habits(late=10),
    "late without times": Habits(late=10, times=0),
    "late with times eight hours ahead": Habits(late=10, zone=8),
    "a minute late": Habits(late=60),
    "ten minutes late": Habits(late=600),
    "empty": Habits(knows=0),
    "empty, without totals": Habits(knows=0, totals=False),
    "half of the tasks are missing": Habits(knows=0.5),
    "always the first page of five rows": Habits(turns=False, page_cap=5),
    "forbidden": Habits(status=403),
    "broken": Habits(status=500),
    "not filtered": Habits(filters=False),
}


@pytest.mark.parametrize("name", USELESS)
def test_100_ends_are_noticed_in_time_without_the_lists_help(name: str) -> None:
    seen = wait_for(queue(100, seconds=4, at_once=10), USELESS[name])
    assert seen.service.refused == 0
    assert seen.requests <= 700
    assert seen.p95 <= 6


def test_errors_now_and_then_keep_nobody_from_reading_the_list() -> None:
    answers = itertools.count(1)

    def every_tenth_fails(endpoint: str, request: httpx.Request, now: float) -> httpx.Response | None:
        return httpx.Response(500, json={"code": "InternalError"}) if next(answers) % 10 == 0 else None

    seen = wait_for(queue(200, seconds=4, at_once=10), Habits(), trouble=every_tenth_fails)
    assert seen.requests <= 600
    assert seen.p95 <= 4


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_a_long_history_in_a_list_that_does_not_filter_hides_nothing(order: str) -> None:
    habits = Habits(order=order, filters=False, history=1000)
    seen = wait_for(queue(100, seconds=4, at_once=10), habits)
    assert seen.service.refused == 0
    assert seen.requests <= 800
    assert seen.p95 <= 9


@pytest.mark.parametrize(
    ("habits", "p95"), [(Habits(), 2), (Habits(status=403), 25)], ids=["list", "no list"]
)
def test_jobs_need_not_run_in_the_order_of_their_submission(habits: Habits, p95: float) -> None:
    seen = wait_for(queue(100, seconds=4, at_once=10, fifo=False), habits)
    assert seen.service.refused == 0
    assert seen.p95 <= p95


def test_tasks_that_fail_at_once_are_noticed_although_nobody_has_seen_them_run() -> None:
    seen = wait_for(queue(200, seconds=4, at_once=10, failing=frozenset(range(5, 200, 10))), Habits())
    assert seen.requests <= 600
    assert seen.p95 <= 6


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_ends_of_forty_at_once_are_noticed_soon(order: str) -> None:
    seen = wait_for(queue(500, seconds=4, at_once=40), Habits(order=order))
    assert seen.service.refused == 0
    assert seen.requests <= 800
    assert seen.p95 <= 4


def submitted_before(jobs: list[Job]) -> list[Job]:
    """The same jobs, submitted long before: even a list that is late has them."""
    for job in jobs:
        job.created -= HOUR
    return jobs


@pytest.mark.parametrize(
    ("late", "times"), [(60, 1000), (600, 0)], ids=["a minute late", "ten minutes late without times"]
)
def test_a_list_that_still_shows_all_tasks_as_queued_is_found_out(late: float, times: int) -> None:
    jobs = submitted_before(queue(200, seconds=4, at_once=10))
    seen = wait_for(jobs, Habits(late=late, times=times))
    assert seen.service.refused == 0
    # They end over 80 s. Those of the first seconds may be noticed late; a list that is believed would cost 40 s.
    assert seen.p95 <= 20


@pytest.mark.parametrize(("noticed", "asked"), [(3.0, False), (8.0, True)], ids=["on time", "too late"])
def test_an_end_that_the_list_should_have_shown_ends_the_trust_in_it(*, noticed: float, asked: bool) -> None:
    schedule, names = Schedule(limit=20.0, rate=12.0), [f"task-{number}" for number in range(40)]
    for name in names:
        schedule.add(name, interval=3.0, now=0.0, wall=NOON)
    schedule.take_rows([Row(name, TaskStatus.PENDING) for name in names], now=0.5, wall=NOON + 0.5)
    end: Any = datetime.fromtimestamp(NOON + 1, tz=UTC)
    ended = Task(task_id=names[0], status=TaskStatus.SUCCEEDED, end_time=end)
    schedule.ended(names[0], ended, wall=NOON + noticed)
    schedule.remove(names[0])
    due = list(iter(lambda: schedule.next_task(noticed), None))
    assert (len(due) == len(names) - 1) is asked


@pytest.mark.parametrize(("count", "most"), [(100, 5), (1_000, 9)])
def test_while_nothing_happens_the_list_is_taken_to_be_on_time(count: int, most: float) -> None:
    jobs = submitted_before(queue(count, seconds=4, at_once=10))
    for job in jobs:
        job.started, job.ended = job.started + HOUR, job.ended + HOUR
    service = FakeService(jobs)
    assert sum(requests_within(30, service).values()) <= most * 30


def requests_within(seconds: float, service: FakeService) -> Counter[str]:
    """Count what waiting for all jobs of a service asks for in its first seconds."""

    async def main() -> Counter[str]:
        watcher = TaskWatcher(ClientConfig(api_key="sk-x"), transport=service)
        waiting = asyncio.ensure_future(
            watcher.wait([TaskWait(job.task_id, 3.0, None) for job in service.jobs])
        )
        await asyncio.sleep(seconds)
        seen = service.requests.copy()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await watcher.close()
        return seen

    return run(main())
