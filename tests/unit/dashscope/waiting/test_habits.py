"""How late ends are noticed, and at what price, on an account whose task list may have any habits; in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median, quantiles

import httpx
import pytest

from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.waiting.poller import Poller
from tests.unit.dashscope.waiting.fake_service import FakeService, Habits, Job, Trouble, queue
from tests.unit.dashscope.waiting.virtual_time import run

HOUR = 3600.0


@dataclass(frozen=True)
class Noticed:
    """What came of the waits.

    :param lags: seconds from each end to the moment at which its wait was over.
    :param seconds: for which there was anything to wait for.
    """

    service: FakeService
    lags: list[float]
    seconds: float

    @property
    def p95(self) -> float:
        return quantiles(self.lags, n=20)[-1]

    @property
    def per_second(self) -> float:
        return sum(self.service.requests.values()) / self.seconds


def wait_for(
    jobs: list[Job], habits: Habits, *, pollers: int = 1, trouble: Trouble | None = None, within: float = HOUR
) -> Noticed:
    """Wait for each job by itself, as triggers do."""
    service = FakeService(jobs, habits, trouble=trouble)

    async def main() -> Noticed:
        loop = asyncio.get_running_loop()
        polling = [Poller(ClientConfig(api_key="sk-x"), transport=service) for _ in range(pollers)]

        async def one(number: int, job: Job) -> float:
            outcome = await polling[number % pollers].wait([job.task_id], poll_interval=3.0)
            assert outcome.ended[job.task_id].status == job.result
            return loop.time() - job.ended

        waits = [asyncio.ensure_future(one(number, job)) for number, job in enumerate(jobs)]
        done, _ = await asyncio.wait(waits, timeout=within)
        lags = [wait.result() for wait in done]
        seconds = loop.time()
        missed = [seconds - job.ended for job, wait in zip(jobs, waits, strict=True) if wait not in done]
        for poller in polling:
            await poller.close()
        await asyncio.gather(*waits, return_exceptions=True)
        return Noticed(service, lags + [lag for lag in missed if lag > 0], seconds)

    return run(main())


def submitted_before(jobs: list[Job]) -> list[Job]:
    """The same jobs, submitted long before: even a list that is late has them."""
    for job in jobs:
        job.created -= HOUR
    return jobs


HABITS = {
    "as recorded": Habits(),
    "oldest first": Habits(order="oldest"),
    "shuffled": Habits(order="shuffled"),
    "ten rows a page": Habits(page_cap=10),
    "no totals": Habits(totals=False),
    "totals of the page only": Habits(totals="page", page_cap=10),
    "all of the worst": Habits(totals=False, page_cap=10, order="shuffled"),
    "requests counted by the second": Habits(fixed_windows=True),
}


@pytest.mark.parametrize("fifo", [True, False], ids=["in order", "in any order"])
@pytest.mark.parametrize("habit", HABITS)
def test_ends_are_noticed_soon_whatever_the_habits_of_the_list_are(habit: str, *, fifo: bool) -> None:
    noticed = wait_for(queue(100, seconds=4, at_once=10, fifo=fifo), HABITS[habit])
    assert noticed.service.refused == 0
    assert noticed.per_second <= 8
    assert median(noticed.lags) <= 1.5
    assert noticed.p95 <= 3


@pytest.mark.parametrize("habit", HABITS)
def test_forty_at_once_are_noticed_within_five_seconds(habit: str) -> None:
    noticed = wait_for(queue(300, seconds=4, at_once=40), HABITS[habit])
    assert noticed.service.refused == 0
    assert noticed.p95 <= 5


LATE = {
    "ten seconds late": (Habits(late=10), 15),
    "a minute late": (Habits(late=60), 60),
    "ten minutes late": (Habits(late=600), 60),
    "empty": (Habits(knows=0), 60),
    "empty, without totals": (Habits(knows=0, totals=False), 60),
    "half of the tasks are missing": (Habits(knows=0.5), 60),
    "always the first page of five rows": (Habits(turns=False, page_cap=5), 60),
    "forbidden": (Habits(status=403), 60),
    "refused": (Habits(status=429), 60),
    "broken": (Habits(status=500), 60),
    "not filtered": (Habits(filters=False), 60),
    "not filtered, with a long history": (Habits(filters=False, history=1000), 60),
}


@pytest.mark.parametrize("fifo", [True, False], ids=["in order", "in any order"])
@pytest.mark.parametrize("habit", LATE)
def test_a_list_that_is_late_or_wrong_delays_ends_and_hides_none(habit: str, *, fifo: bool) -> None:
    habits, most = LATE[habit]
    noticed = wait_for(submitted_before(queue(100, seconds=4, at_once=10, fifo=fifo)), habits)
    assert noticed.service.refused == 0
    assert noticed.p95 <= (5 if fifo else most)


@pytest.mark.parametrize("status", [403, 429, 500])
def test_thousands_without_a_list_are_asked_for_oldest_first_within_the_budget(status: int) -> None:
    noticed = wait_for(queue(2_000, seconds=4, at_once=10), Habits(status=status), within=60)
    assert noticed.service.refused == 0
    assert noticed.service.requests["get"] <= 14.2 * 60
    assert noticed.p95 <= 5


def test_errors_now_and_then_keep_nobody_from_reading_the_list() -> None:
    answers = itertools.count(1)

    def every_tenth_fails(endpoint: str, request: httpx.Request, now: float) -> httpx.Response | None:
        return httpx.Response(500, json={"code": "InternalError"}) if next(answers) % 10 == 0 else None

    noticed = wait_for(queue(200, seconds=4, at_once=10), Habits(), trouble=every_tenth_fails)
    assert noticed.per_second <= 8
    assert noticed.p95 <= 6


def test_tasks_that_fail_at_once_are_noticed_although_the_list_never_shows_them() -> None:
    jobs = queue(200, seconds=4, at_once=10, failing=frozenset(range(5, 200, 10)))
    assert wait_for(jobs, Habits()).p95 <= 5


def test_ends_while_nobody_was_there_are_noticed_as_fast_as_the_budget_allows() -> None:
    jobs = submitted_before(queue(300, seconds=0.001, at_once=300))
    noticed = wait_for(jobs, Habits())
    assert noticed.seconds <= 300 / 14 + 5
    assert noticed.service.requests["get"] <= 310


@pytest.mark.parametrize(("count", "most"), [(1, 0.4), (9, 3.5), (100, 5.5), (3_000, 5.5)])
def test_waiting_alone_costs_a_few_requests_a_second_however_many_wait(count: int, most: float) -> None:
    noticed = wait_for(queue(count, seconds=HOUR, at_once=1), Habits(), within=60)
    assert noticed.per_second <= most
    assert (noticed.service.requests["list"] == 0) is (count < 10)


def test_every_task_is_asked_for_now_and_then_although_the_list_shows_it_as_running() -> None:
    asked: list[str] = []

    def note(endpoint: str, request: httpx.Request, now: float) -> None:
        if endpoint == "get":
            asked.append(request.url.path)

    wait_for(queue(60, seconds=HOUR, at_once=60), Habits(), trouble=note, within=90)
    assert len(set(asked)) == 60


@pytest.mark.parametrize("pollers", [2, 4])
def test_triggerers_that_share_an_account_find_a_common_rate(pollers: int) -> None:
    noticed = wait_for(queue(500, seconds=4, at_once=40), Habits(), pollers=pollers)
    assert noticed.service.refused <= 0.04 * sum(noticed.service.requests.values())
    assert noticed.p95 <= 5


def _ids(jobs: Iterable[Job]) -> list[str]:
    return [job.task_id for job in jobs]


def test_foreign_tasks_in_the_list_do_no_harm() -> None:
    service = FakeService(queue(400, seconds=4, at_once=40))
    mine = _ids(service.jobs[150:170])

    async def main() -> int:
        poller = Poller(ClientConfig(api_key="sk-x"), transport=service)
        outcome = await poller.wait(mine, poll_interval=3.0)
        await poller.close()
        return len(outcome.ended)

    assert run(main()) == len(mine)
    assert service.requests["get"] < 6 * len(mine)
