"""One poller for all waits of an account, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx
import pytest

from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import AuthenticationError, TransportError, WaitTimeoutError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.polling import TaskWait
from airflow_provider_wanx.dashscope.waiting import shared
from airflow_provider_wanx.dashscope.waiting.shared import shared_watcher
from airflow_provider_wanx.dashscope.waiting.waits import Outcome
from airflow_provider_wanx.dashscope.waiting.watcher import TaskWatcher
from tests.unit.dashscope.waiting.fake_service import FakeService, Habits, Job, Trouble, queue
from tests.unit.dashscope.waiting.virtual_time import run

CONFIG = ClientConfig(api_key="sk-watch")
FEW, MANY = 3, 60


def service(count: int, *, seconds: float = 4, at_once: int = 10, **settings: Any) -> FakeService:
    return FakeService(queue(count, seconds=seconds, at_once=at_once), **settings)


def endless(count: int, **settings: Any) -> FakeService:
    return service(count, seconds=1e6, at_once=count, **settings)


def waits(jobs: Iterable[Job], *, within: float | None = 600.0) -> list[TaskWait]:
    end_time = None if within is None else time.time() + within
    return [TaskWait(job.task_id, 3.0, end_time) for job in jobs]


def watch(
    fake: FakeService, *, jobs: list[Job] | None = None, within: float | None = 600.0, **more: Any
) -> tuple[Outcome, float]:
    """Wait for jobs, by default all; return the outcome and the virtual seconds that it took."""

    async def main() -> tuple[Outcome, float]:
        async with shared_watcher(CONFIG, transport=fake, **more) as watcher:
            outcome = await watcher.wait(waits(fake.jobs if jobs is None else jobs, within=within))
        return outcome, asyncio.get_running_loop().time()

    return run(main())


def all_succeeded(outcome: Outcome, jobs: list[Job]) -> bool:
    return {task_id: str(task.status) for task_id, task in outcome.ended.items()} == {
        job.task_id: "SUCCEEDED" for job in jobs
    }


def on(endpoint: str, answer: Callable[[], httpx.Response | None], **when: Any) -> Trouble:
    """Make a trouble of one endpoint.

    :param when: ``until``: only before this time; ``times``: so often; ``every``: each so many requests; ``task_id``: one task.
    """
    asked = struck = 0

    def trouble(where: str, request: httpx.Request, now: float) -> httpx.Response | None:
        nonlocal asked, struck
        if where != endpoint or ("task_id" in when and not request.url.path.endswith(when["task_id"])):
            return None
        asked += 1
        if now >= when.get("until", 1e9) or struck >= when.get("times", 1e9) or asked % when.get("every", 1):
            return None
        struck += 1
        return answer()

    return trouble


def says(status: int, **more: Any) -> Callable[[], httpx.Response]:
    code = {401: "InvalidApiKey", 403: "AccessDenied", 429: "Throttling.RateQuota"}.get(
        status, "InternalError"
    )
    return lambda: httpx.Response(status, json={"code": code, "message": "m"}, **more)


def breaks() -> httpx.Response:
    raise httpx.ReadError("reset")


BAD_ANSWERS: dict[str, Callable[[], httpx.Response | None]] = {
    "reset": breaks,
    "garbage": lambda: httpx.Response(200, content=b"<html>"),
    "empty": lambda: httpx.Response(200),
    "cut off": lambda: httpx.Response(200, content=b'{"data": [{"task_'),
    "no object": lambda: httpx.Response(200, json=[]),
    "broken": says(500),
    "bad gateway": says(502),
}


class TestAsking:
    """Who is asked for, and how often."""

    def test_few_tasks_are_asked_for_one_by_one_without_the_list(self) -> None:
        fake = service(FEW)
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)
        assert fake.requests["list"] == 0

    def test_many_tasks_cost_hardly_more_than_one_question_each(self) -> None:
        fake = service(150, seconds=30, at_once=150)
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)
        assert fake.requests["get"] < 1.5 * len(fake.jobs)
        assert fake.refused == 0

    def test_nothing_waited_for_is_nothing_asked(self) -> None:
        fake = service(FEW)
        outcome, _ = watch(fake, jobs=[])
        assert (outcome, sum(fake.requests.values())) == (Outcome(), 0)

    def test_hundreds_of_tasks_that_do_not_end_are_asked_for_seldom_and_each_of_them_now_and_then(
        self,
    ) -> None:
        fake = service(500, seconds=1e6, at_once=10)
        outcome, _ = watch(fake, within=300)
        assert len(outcome.given_up) == 500
        assert sum(fake.requests.values()) < 300 * 6
        assert fake.refused == 0

    def test_foreign_tasks_in_the_list_do_no_harm(self) -> None:
        fake = service(400, at_once=40)
        mine = fake.jobs[150:170]
        outcome, _ = watch(fake, jobs=mine)
        assert all_succeeded(outcome, mine)
        assert fake.requests["get"] < 4 * len(mine)

    def test_tasks_that_ended_long_ago_are_found_at_once(self) -> None:
        fake = service(500, seconds=0.01, at_once=500)

        async def main() -> float:
            await asyncio.sleep(100)
            async with shared_watcher(CONFIG, transport=fake) as watcher:
                assert all_succeeded(await watcher.wait(waits(fake.jobs)), fake.jobs)
            return asyncio.get_running_loop().time() - 100

        # A triggerer that comes back asks for each once, at no more than the rate that is its share.
        assert run(main()) < 500 / 12 + 5
        assert fake.requests["get"] == 500

    def test_two_waits_for_one_task_share_the_questions_and_keep_their_own_deadlines(self) -> None:
        fake = service(1, seconds=30)

        async def main() -> None:
            async with shared_watcher(CONFIG, transport=fake) as watcher:
                patient, hasty = await asyncio.gather(
                    watcher.wait(waits(fake.jobs)), watcher.wait(waits(fake.jobs, within=10))
                )
            assert all_succeeded(patient, fake.jobs)
            assert isinstance(hasty.given_up["task-0"], WaitTimeoutError)

        run(main())
        assert fake.requests["get"] <= 14

    def test_a_page_size_that_the_service_does_not_take_is_made_smaller(self) -> None:
        sizes: list[int] = []

        def trouble(endpoint: str, request: httpx.Request, now: float) -> httpx.Response | None:
            if endpoint == "get":
                return None
            sizes.append(int(request.url.params["page_size"]))
            error = {"code": "InvalidParameter", "message": "page_size"}
            return httpx.Response(400, json=error) if sizes[-1] > 20 else None

        fake = service(MANY, trouble=trouble)
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)
        assert sizes[:4] == [100, 50, 25, 12]
        assert set(sizes[4:]) == {12}


class TestTroubles:
    """What goes wrong ends no wait, and is not answered with a storm."""

    @pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
    def test_no_task_is_lost_when_the_list_is_refused(self, status: int) -> None:
        fake = service(MANY, trouble=on("list", says(status)))
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)

    @pytest.mark.parametrize("kind", BAD_ANSWERS)
    @pytest.mark.parametrize("every", [1, 2])
    def test_no_task_is_lost_when_the_list_cannot_be_read(self, kind: str, every: int) -> None:
        fake = service(MANY, trouble=on("list", BAD_ANSWERS[kind], every=every))
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)

    @pytest.mark.parametrize("late", [60.0, 10_000.0])
    def test_no_task_is_lost_when_the_list_is_very_late(self, late: float) -> None:
        fake = service(MANY, habits=Habits(late=late))
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)

    @pytest.mark.parametrize("count", [FEW, MANY])
    @pytest.mark.parametrize("kind", BAD_ANSWERS)
    def test_answers_that_are_none_are_asked_for_again(self, kind: str, count: int) -> None:
        fake = service(count, trouble=on("get", BAD_ANSWERS[kind], times=3))
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)

    @pytest.mark.parametrize("count", [FEW, MANY])
    def test_a_storm_of_refusals_ends_no_wait_and_is_not_answered_with_a_storm(self, count: int) -> None:
        fake = service(count, trouble=on("get", says(429), until=60))
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)
        assert fake.requests["get"] < 30 + 4 * count

    def test_a_refused_look_waits_as_long_as_the_service_asks(self) -> None:
        headers = {"Retry-After": "20"}
        fake = service(2, seconds=0.1, trouble=on("get", says(429, headers=headers), times=1))
        outcome, seconds = watch(fake)
        assert all_succeeded(outcome, fake.jobs)
        assert seconds >= 20

    def test_a_task_that_may_not_be_read_ends_its_own_wait_only(self) -> None:
        fake = service(5, trouble=on("get", says(403), task_id="task-2"))
        outcome, _ = watch(fake)
        assert set(outcome.given_up) == {"task-2"}
        assert len(outcome.ended) == 4

    @pytest.mark.parametrize("count", [8, MANY])
    def test_every_way_to_end_ends_a_wait(self, count: int) -> None:
        fake = service(count)
        ends = ("FAILED", "CANCELED", "UNKNOWN", "SUCCEEDED")
        for number, job in enumerate(fake.jobs):
            job.result = ends[number % 4]
        outcome, _ = watch(fake)
        assert {str(task.status) for task in outcome.ended.values()} == set(ends)
        assert len(outcome.ended) == count

    def test_two_watchers_on_one_account_share_its_limit_without_being_refused_often(self) -> None:
        fake = service(500, at_once=40)

        async def main() -> None:
            watchers = [TaskWatcher(CONFIG, transport=fake) for _ in range(2)]
            ended = await asyncio.gather(
                *(watcher.wait(waits(fake.jobs[number::2])) for number, watcher in enumerate(watchers))
            )
            assert sum(len(outcome.ended) for outcome in ended) == 500
            for watcher in watchers:
                await watcher.close()

        run(main())
        assert fake.refused < 0.02 * sum(fake.requests.values())

    def test_log_lines_do_not_grow_with_the_number_of_looks(self, caplog: pytest.LogCaptureFixture) -> None:
        fake = service(MANY, seconds=30, trouble=on("list", says(500), every=2))
        with caplog.at_level(logging.DEBUG):
            watch(fake)
        ours = [each for each in caplog.records if each.name.startswith(("airflow_provider_wanx", "httpx"))]
        assert len(ours) <= 3

    @pytest.mark.parametrize("where", ["_waits.decide", "_schedule.next_task"])
    def test_an_error_of_our_own_ends_the_waits_instead_of_hanging_them(
        self, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        fake = service(FEW)

        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        async def main() -> None:
            async with shared_watcher(CONFIG, transport=fake) as watcher:
                owner, _, name = where.partition(".")
                monkeypatch.setattr(getattr(watcher, owner), name, broken)
                with pytest.raises(ZeroDivisionError):
                    await watcher.wait(waits(fake.jobs))

        run(main())


class TestDeadlines:
    """The end of a wait whose task has not ended."""

    @pytest.mark.parametrize("count", [FEW, MANY])
    def test_a_deadline_ends_the_wait_at_its_time(self, count: int) -> None:
        outcome, seconds = watch(endless(count), within=100)
        assert 100 <= seconds < 106
        assert {type(error) for error in outcome.given_up.values()} == {WaitTimeoutError}
        assert len(outcome.given_up) == count
        assert "last seen RUNNING" in str(outcome.given_up["task-0"])

    def test_a_task_that_ends_right_before_the_deadline_is_not_given_up(self) -> None:
        fake = service(40, seconds=98, at_once=40, habits=Habits(late=10_000))
        outcome, _ = watch(fake, within=100)
        assert all_succeeded(outcome, fake.jobs)

    def test_a_deadline_is_kept_even_if_the_service_cannot_be_reached(self) -> None:
        def refuse() -> httpx.Response:
            raise httpx.ConnectError("refused")

        outcome, seconds = watch(service(2, trouble=on("get", refuse)), within=100)
        assert 100 <= seconds < 120
        assert {type(error) for error in outcome.given_up.values()} == {WaitTimeoutError}
        assert "cannot be reached" in str(outcome.given_up["task-0"])
        assert not isinstance(outcome.given_up["task-0"], TransportError)


class TestSharing:
    """One watcher for each account and event loop."""

    def test_waits_of_one_account_share_one_watcher_and_the_last_one_closes_it(self) -> None:
        fake = service(2)

        async def main() -> None:
            async with shared_watcher(CONFIG, transport=fake) as first:
                async with shared_watcher(CONFIG) as second:
                    assert second is first
                assert not first._client._http.is_closed
                await first.wait(waits(fake.jobs))
            async with shared_watcher(ClientConfig(api_key="sk-other"), transport=fake) as other:
                assert other is not first
            assert first._client._http.is_closed
            assert not shared._LOOPS[asyncio.get_running_loop()].watchers
            assert first._poller is not None
            assert first._poller.done()

        run(main())

    def test_a_cancelled_wait_leaves_nothing_behind(self) -> None:
        fake = endless(50)

        async def main() -> None:
            tasks_before = len(asyncio.all_tasks())
            async with shared_watcher(CONFIG, transport=fake) as watcher:
                stays = asyncio.create_task(watcher.wait(waits(fake.jobs[:1])))
                goes = [asyncio.create_task(watcher.wait(waits([job]))) for job in fake.jobs]
                await asyncio.sleep(10)
                assert len(watcher) == 50
                await _cancel(goes)
                assert list(watcher._waits) == ["task-0"]
                assert len(watcher._schedule) == 1
                await _cancel([stays])
                assert len(watcher) == 0
                seen = dict(fake.requests)
                await asyncio.sleep(600)
                assert dict(fake.requests) == seen
            assert len(asyncio.all_tasks()) == tasks_before

        run(main())

    def test_a_trigger_that_is_cancelled_while_it_closes_still_closes(self) -> None:
        fake = endless(1)

        async def main() -> None:
            watchers: list[TaskWatcher] = []

            async def wait() -> None:
                async with shared_watcher(CONFIG, transport=fake) as watcher:
                    watchers.append(watcher)
                    await watcher.wait(waits(fake.jobs))

            task = asyncio.create_task(wait())
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.sleep(0)
            await _cancel([task])
            await asyncio.sleep(1)
            assert watchers[0]._client._http.is_closed
            assert not shared._LOOPS[asyncio.get_running_loop()].watchers

        run(main())

    def test_a_watcher_that_follows_another_goes_on_with_its_budget(self) -> None:
        fake = service(1, trouble=on("get", says(429), times=2))

        async def main() -> None:
            for _ in range(2):
                async with shared_watcher(CONFIG, transport=fake) as watcher:
                    await watcher.wait(waits(fake.jobs))
            assert watcher._budgets.get.rate < 20 * 0.8

        run(main())

    def test_waits_that_come_and_go_do_not_use_up_the_budget_of_those_that_follow(self) -> None:
        fake = endless(1)

        async def main() -> None:
            for steps in range(12):
                async with shared_watcher(CONFIG, transport=fake) as watcher:
                    waiting = asyncio.create_task(watcher.wait(waits(fake.jobs)))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    await _cancel([waiting])
            async with shared_watcher(CONFIG, transport=fake) as watcher:
                assert watcher._budgets.get.next_at(asyncio.get_running_loop().time()) < float("inf")
                assert watcher._budgets.get._under_way == 0

        run(main())

    def test_closing_a_watcher_cancels_what_still_waits(self) -> None:
        fake = endless(2)

        async def main() -> None:
            watcher = TaskWatcher(CONFIG, transport=fake)
            waiting = asyncio.create_task(watcher.wait(waits(fake.jobs)))
            await asyncio.sleep(1)
            await watcher.close()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        run(main())

    def test_thousands_of_waits_do_not_need_much_memory(self) -> None:
        fake = endless(2_000)

        async def main() -> float:
            async with shared_watcher(CONFIG, transport=fake) as watcher:
                await asyncio.sleep(0.1)
                gc.collect()
                tracemalloc.start()
                before, _ = tracemalloc.get_traced_memory()
                going = [asyncio.create_task(watcher.wait(waits([job], within=None))) for job in fake.jobs]
                await asyncio.sleep(0.1)
                assert len(watcher) == 2_000
                after, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                await _cancel(going)
            return (after - before) / 2_000

        assert run(main()) < 10_000


class TestKeys:
    """A key that the service refuses."""

    def test_a_replaced_key_is_read_and_used(self) -> None:
        fake = service(20, keys=frozenset({"sk-new"}))
        reads = 0

        async def renew() -> ClientConfig:
            nonlocal reads
            reads += 1
            return ClientConfig(api_key="sk-new")

        outcome, _ = watch(fake, renew=renew)
        assert all_succeeded(outcome, fake.jobs)
        assert reads == 1

    @pytest.mark.parametrize("renewal", ["the same key", "an error", "none"])
    def test_a_key_that_stays_refused_ends_all_waits_without_asking_for_each(self, renewal: str) -> None:
        fake = service(50, keys=frozenset({"sk-new"}))

        async def renew() -> ClientConfig:
            if renewal == "an error":
                raise LookupError("no such connection")
            return CONFIG

        chosen: Callable[[], Awaitable[ClientConfig]] | None = None if renewal == "none" else renew
        outcome, _ = watch(fake, renew=chosen)
        assert len(outcome.given_up) == 50
        assert {type(error) for error in outcome.given_up.values()} == {AuthenticationError}
        assert fake.requests["get"] <= 10

    def test_a_key_that_is_refused_once_by_mistake_ends_no_wait(self) -> None:
        fake = service(2, trouble=on("get", says(401), times=1))
        outcome, _ = watch(fake)
        assert all_succeeded(outcome, fake.jobs)


class TestLog:
    """What a wait tells the log of its caller."""

    def lines(self, fake: FakeService) -> list[str]:
        said: list[str] = []

        class Log:
            def info(self, message: str, /, *args: Any) -> None:
                said.append(message % args)

        async def main() -> None:
            async with shared_watcher(CONFIG, transport=fake) as watcher:
                await watcher.wait(waits(fake.jobs), log=Log())

        run(main())
        return said

    def test_a_task_is_told_when_it_runs_and_when_it_has_ended(self) -> None:
        running, ended = self.lines(FakeService([Job("task-0", -1.0, 10.0, 30.0)]))
        assert running == "DashScope task task-0 is running, after 11.0 s in the queue."
        assert ended.startswith("DashScope task task-0 is SUCCEEDED: queued 11.0 s, ran 20.0 s, noticed ")

    def test_of_many_one_line_a_minute_tells_how_far_they_are(self) -> None:
        said = self.lines(service(200, seconds=10, at_once=10))
        assert 3 <= len(said) <= 4
        assert said[0].startswith("50 of 200 DashScope tasks have ended, 10 run, 140 are queued; ")
        assert said[0].endswith(" requests by all waits of this process, 0 refused.")


def test_statuses_of_the_fake_service_are_those_of_the_real_one() -> None:
    assert {Job("x", 0, 1, 2).status(moment) for moment in (0.5, 1.5, 2.5)} <= set(TaskStatus)


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("asked", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_what_one_task_asks_to_wait_does_not_stop_the_others(count: int, asked: str) -> None:
    headers = {"Retry-After": asked}
    trouble = on("get", says(429, headers=headers), task_id="task-0")
    fake = service(count, trouble=trouble)
    outcome, _ = watch(fake, within=600)
    assert set(outcome.given_up) == {"task-0"}
    assert all_succeeded(outcome, [job for job in fake.jobs if job.task_id != "task-0"])
