"""What whoever waits can rely on: troubles, deadlines, keys, cancellation, log; in virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import AuthenticationError, WaitTimeoutError
from airflow_provider_wanx.dashscope.waiting import poller as poller_module
from airflow_provider_wanx.dashscope.waiting.poller import Poller, watch_tasks
from airflow_provider_wanx.dashscope.waiting.progress import Enough, Outcome
from tests.unit.dashscope.waiting.fake_service import FakeService, Habits, Job, Trouble, queue
from tests.unit.dashscope.waiting.virtual_time import NOON, run

CONFIG = ClientConfig(api_key="sk-watch")
FEW, MANY = 3, 60


def service(count: int, *, seconds: float = 4, at_once: int = 10, **settings: Any) -> FakeService:
    return FakeService(queue(count, seconds=seconds, at_once=at_once), **settings)


def endless(count: int, **settings: Any) -> FakeService:
    return service(count, seconds=1e6, at_once=count, **settings)


def ids(fake: FakeService) -> list[str]:
    return [job.task_id for job in fake.jobs]


async def wait(fake: FakeService, *, within: float | None = 600.0, **more: Any) -> Outcome:
    end_time = None if within is None else time.time() + within
    arguments: dict[str, Any] = {"task_ids": ids(fake), "poll_interval": 3.0, "end_time": end_time, **more}
    return await watch_tasks(CONFIG, transport=fake, **arguments)


def watch(fake: FakeService, **more: Any) -> tuple[Outcome, float]:
    """Wait for all jobs; return the outcome and the virtual seconds that it took."""

    async def main() -> tuple[Outcome, float]:
        return await wait(fake, **more), asyncio.get_running_loop().time()

    return run(main())


def succeeded(outcome: Outcome) -> set[str]:
    return {task_id for task_id, task in outcome.ended.items() if str(task.status) == "SUCCEEDED"}


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
    codes = {401: "InvalidApiKey", 403: "AccessDenied", 429: "Throttling.RateQuota"}
    return lambda: httpx.Response(
        status, json={"code": codes.get(status, "InternalError"), "message": "m"}, **more
    )


def breaks() -> httpx.Response:
    raise httpx.ReadError("reset")


BAD_ANSWERS: dict[str, Callable[[], httpx.Response | None]] = {
    "reset": breaks,
    "garbage": lambda: httpx.Response(200, content=b"<html>"),
    "cut off": lambda: httpx.Response(200, content=b'{"data": [{"task_'),
    "no object": lambda: httpx.Response(200, json=[]),
    "no rows": lambda: httpx.Response(200, json={"data": 7}),
    "unauthorized": says(401),
    "forbidden": says(403),
    "throttled": says(429),
    "broken": says(500),
}


class TestTroubles:
    """What goes wrong ends no wait, and is not answered with a storm."""

    @pytest.mark.parametrize("kind", BAD_ANSWERS)
    @pytest.mark.parametrize("every", [1, 2])
    def test_no_task_is_lost_when_the_list_cannot_be_read(self, kind: str, every: int) -> None:
        fake = service(MANY, trouble=on("list", BAD_ANSWERS[kind], every=every))
        assert succeeded(watch(fake)[0]) == set(ids(fake))

    @pytest.mark.parametrize("count", [FEW, MANY])
    @pytest.mark.parametrize("kind", [kind for kind in BAD_ANSWERS if kind != "forbidden"])
    def test_answers_that_are_none_are_asked_for_again(self, kind: str, count: int) -> None:
        fake = service(count, trouble=on("get", BAD_ANSWERS[kind], times=1 if kind == "unauthorized" else 3))
        assert succeeded(watch(fake)[0]) == set(ids(fake))

    def test_a_list_that_can_be_read_again_is_read_again(self) -> None:
        fake = service(MANY, seconds=20, trouble=on("list", says(500), until=20))
        watch(fake)
        assert fake.requests["list"] > 50

    def test_a_list_that_cannot_be_read_is_tried_further_and_further_apart(self) -> None:
        # No more than it takes for the list to be read: ten minutes of looks at each are many.
        fake = endless(13, trouble=on("list", says(500)))
        watch(fake, within=600)
        assert 8 <= fake.requests["list"] <= 11

    def test_a_page_size_that_the_service_does_not_take_is_made_smaller(self) -> None:
        sizes: list[str] = []

        def trouble(endpoint: str, request: httpx.Request, now: float) -> httpx.Response | None:
            if endpoint == "get":
                return None
            sizes.append(request.url.params["page_size"])
            error = {"code": "InvalidParameter", "message": "page_size"}
            return httpx.Response(400, json=error) if int(sizes[-1]) > 20 else None

        fake = service(MANY, trouble=trouble)
        assert succeeded(watch(fake)[0]) == set(ids(fake))
        assert sizes[:2] == ["100", "10"]
        assert set(sizes[1:]) == {"10"}

    def test_a_list_that_never_ends_ends_no_wait(self) -> None:
        pages = iter(range(10**6))

        def trouble(endpoint: str, request: httpx.Request, now: float) -> httpx.Response | None:
            if endpoint == "get":
                return None
            row = {"task_id": f"other-{next(pages)}", "status": "RUNNING"}
            return httpx.Response(200, json={"data": [row]})

        fake = service(MANY, trouble=trouble)
        assert succeeded(watch(fake)[0]) == set(ids(fake))

    @pytest.mark.parametrize("count", [FEW, MANY])
    def test_a_storm_of_refusals_ends_no_wait_and_is_not_answered_with_a_storm(self, count: int) -> None:
        fake = service(count, trouble=on("get", says(429), until=60))
        assert succeeded(watch(fake)[0]) == set(ids(fake))
        assert fake.requests["get"] < 30 + 5 * count

    def test_a_refused_look_waits_as_long_as_the_service_asks(self) -> None:
        headers = {"Retry-After": "20"}
        fake = service(2, seconds=0.1, trouble=on("get", says(429, headers=headers), times=1))
        outcome, seconds = watch(fake)
        assert len(succeeded(outcome)) == 2
        assert seconds >= 20

    @pytest.mark.parametrize("count", [FEW, MANY])
    @pytest.mark.parametrize("asked", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
    def test_what_one_task_asks_to_wait_does_not_stop_the_others(self, count: int, asked: str) -> None:
        refusal = says(429, headers={"Retry-After": asked})
        fake = service(count, trouble=on("get", refusal, task_id="task-0"))
        outcome, _ = watch(fake)
        assert set(outcome.given_up) == {"task-0"}
        assert succeeded(outcome) == set(ids(fake)) - {"task-0"}

    def test_a_task_that_may_not_be_read_ends_its_own_wait_only(self) -> None:
        outcome, _ = watch(service(5, trouble=on("get", says(403), task_id="task-2")))
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

    def test_a_task_that_is_not_found_is_believed_to_be_gone_after_two_minutes(self) -> None:
        outcome, seconds = watch(FakeService([]), task_ids=["gone"])
        assert str(outcome.ended["gone"].status) == "UNKNOWN"
        assert 120 <= seconds < 130

    def test_log_lines_do_not_grow_with_the_number_of_looks(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO):
            watch(service(MANY, seconds=30, trouble=on("list", says(500))))
        ours = [each for each in caplog.records if each.name.startswith("airflow_provider_wanx")]
        assert len(ours) == 1
        assert "cannot be read" in ours[0].getMessage()

    @pytest.mark.parametrize("where", ["_decide", "_report", "_running_tasks"])
    def test_an_error_of_our_own_ends_the_waits_instead_of_hanging_them(
        self, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(Poller, where, broken)
        with pytest.raises(ZeroDivisionError):
            watch(service(MANY))


class TestDeadlines:
    """The end of a wait whose task has not ended."""

    @pytest.mark.parametrize("count", [FEW, MANY])
    def test_a_deadline_ends_the_wait_at_its_time(self, count: int) -> None:
        outcome, seconds = watch(endless(count), within=100)
        assert 100 <= seconds < 106
        assert {type(error) for error in outcome.given_up.values()} == {WaitTimeoutError}
        assert len(outcome.given_up) == count
        assert "last seen RUNNING" in str(outcome.given_up["task-0"])

    def test_of_thousands_those_that_nobody_could_look_at_are_given_up_soon_after(self) -> None:
        outcome, seconds = watch(endless(600), within=10)
        assert len(outcome.given_up) == 600
        assert 10 <= seconds < 30

    @pytest.mark.parametrize("late", [0, 10_000])
    def test_a_task_that_ends_right_before_the_deadline_is_not_given_up(self, late: float) -> None:
        fake = service(40, seconds=98, at_once=40, habits=Habits(late=late))
        assert succeeded(watch(fake, within=100)[0]) == set(ids(fake))

    def test_a_deadline_that_passed_while_nobody_waited_allows_one_look(self) -> None:
        fake = FakeService([Job("task-0", -9.0, -8.0, -7.0), Job("task-1", -9.0, -8.0, 1e6)])
        outcome, seconds = watch(fake, within=-3600)
        assert succeeded(outcome) == {"task-0"}
        assert set(outcome.given_up) == {"task-1"}
        assert seconds < 5

    def test_a_deadline_is_kept_even_if_the_service_cannot_be_reached(self) -> None:
        def refuse() -> httpx.Response:
            raise httpx.ConnectError("refused")

        outcome, seconds = watch(service(2, trouble=on("get", refuse)), within=100)
        assert 100 <= seconds < 120
        assert {type(error) for error in outcome.given_up.values()} == {WaitTimeoutError}
        assert "cannot be reached" in str(outcome.given_up["task-0"])

    def test_two_waits_for_one_task_share_the_questions_and_keep_their_own_deadlines(self) -> None:
        fake = service(1, seconds=30)

        async def main() -> None:
            patient, hasty = await asyncio.gather(wait(fake), wait(fake, within=10))
            assert succeeded(patient) == {"task-0"}
            assert isinstance(hasty.given_up["task-0"], WaitTimeoutError)

        run(main())
        assert fake.requests["get"] <= 15


class TestEnough:
    """A wait that ends before all of its tasks have."""

    @pytest.mark.parametrize("left", [0, 20, 59])
    def test_it_ends_when_few_are_left(self, left: int) -> None:
        outcome, _ = watch(service(MANY), enough=Enough(left=left))
        assert len(outcome.ended) == MANY - left

    def test_it_ends_some_time_after_the_first_end_though_many_are_left(self) -> None:
        outcome, seconds = watch(service(MANY, seconds=30, at_once=1), enough=Enough(within=50))
        assert succeeded(outcome) == {"task-0", "task-1"}
        assert 80 <= seconds < 84

    def test_it_ends_when_it_is_time_whatever_has_ended(self) -> None:
        assert watch(endless(2), enough=Enough(at=NOON + 77)) == (Outcome(), 77)

    def test_without_tasks_it_waits_for_its_time_and_asks_nothing(self) -> None:
        fake = endless(1)
        assert watch(fake, task_ids=[], enough=Enough(at=NOON + 77)) == (Outcome(), 77)
        assert watch(fake, task_ids=[]) == (Outcome(), 0)
        assert sum(fake.requests.values()) == 0


class TestSharing:
    """One poller for each account and event loop."""

    def test_waits_of_one_account_share_a_poller_and_the_last_one_closes_it(self) -> None:
        fake = endless(2)
        made: list[Any] = []

        async def main() -> None:
            tasks_before = len(asyncio.all_tasks())
            waits = [asyncio.create_task(wait(fake)) for _ in range(3)]
            other = ClientConfig(api_key="sk-other")
            waits.append(asyncio.create_task(watch_tasks(other, ["x"], poll_interval=3.0, transport=fake)))
            await asyncio.sleep(10)
            pollers = poller_module._POLLERS[asyncio.get_running_loop()]
            made.extend(pollers.values())
            assert len(made) == 2
            await _cancel(waits[:2])
            assert len(made[0]._queue) == 2
            await _cancel(waits[2:])
            assert not pollers
            assert fake.closed == 2
            assert len(asyncio.all_tasks()) == tasks_before

        run(main())

    def test_a_cancelled_wait_leaves_nothing_behind(self) -> None:
        fake = endless(50)

        async def main() -> None:
            poller = Poller(CONFIG, transport=fake)
            going = [asyncio.create_task(poller.wait([each], poll_interval=3.0)) for each in ids(fake)]
            await asyncio.sleep(10)
            assert len(poller._queue) == 50
            await _cancel(going[1:])
            assert [each.task_id for each in poller._queue] == ["task-0"]
            await _cancel(going[:1])
            assert len(poller._queue) == 0
            seen = dict(fake.requests)
            await asyncio.sleep(600)
            assert dict(fake.requests) == seen
            await poller.close()

        run(main())

    def test_a_wait_that_is_cancelled_while_it_closes_still_closes(self) -> None:
        fake = endless(1)

        async def main() -> None:
            waiting = asyncio.create_task(wait(fake))
            await asyncio.sleep(1)
            waiting.cancel()
            await asyncio.sleep(0)
            await _cancel([waiting])
            await asyncio.sleep(1)
            assert fake.closed == 1

        run(main())

    def test_closing_a_poller_cancels_what_still_waits(self) -> None:
        async def main() -> None:
            poller = Poller(CONFIG, transport=endless(2))
            waiting = asyncio.create_task(poller.wait(["task-0"], poll_interval=3.0))
            await asyncio.sleep(1)
            await poller.close()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        run(main())

    def test_thousands_of_waits_do_not_need_much_memory(self) -> None:
        fake = endless(2_000)

        async def main() -> float:
            poller = Poller(CONFIG, transport=fake)
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            going = [asyncio.create_task(poller.wait([each], poll_interval=3.0)) for each in ids(fake)]
            await asyncio.sleep(0.1)
            assert len(poller._queue) == 2_000
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            await _cancel(going)
            await poller.close()
            return (after - before) / 2_000

        assert run(main()) < 10_000


class TestKeys:
    """A key that the service refuses."""

    @pytest.mark.parametrize("count", [FEW, MANY])
    def test_a_replaced_key_is_read_and_used(self, count: int) -> None:
        fake = service(count, keys=frozenset({"sk-new"}))
        reads = 0

        async def renew() -> ClientConfig:
            nonlocal reads
            reads += 1
            return ClientConfig(api_key="sk-new")

        assert succeeded(watch(fake, renew=renew)[0]) == set(ids(fake))
        assert reads == 1

    @pytest.mark.parametrize("renewal", ["the same key", "an error", "none"])
    def test_a_key_that_stays_refused_ends_all_waits_without_asking_for_each(self, renewal: str) -> None:
        fake = service(50, keys=frozenset({"sk-new"}))

        async def renew() -> ClientConfig:
            if renewal == "an error":
                raise LookupError("no such connection")
            return CONFIG

        chosen: Callable[[], Awaitable[ClientConfig]] | None = None if renewal == "none" else renew
        outcome, seconds = watch(fake, renew=chosen, poll_interval=0.1)
        assert len(outcome.given_up) == 50
        # It may be changing just now: one wait that looks often does not take that time from all.
        assert seconds >= 2
        assert {type(error) for error in outcome.given_up.values()} == {AuthenticationError}
        assert fake.requests["get"] <= 10


class TestLog:
    """What a wait tells the log of its caller."""

    def lines(self, fake: FakeService) -> list[str]:
        said: list[str] = []
        watch(fake, log=lambda message, *args: said.append(message % args))
        return said

    def test_a_task_is_told_when_it_runs_and_when_it_has_ended(self) -> None:
        running, ended = self.lines(FakeService([Job("task-0", -1.0, 10.0, 30.0)]))
        assert running == "DashScope task task-0 is running."
        assert ended.startswith("DashScope task task-0 is SUCCEEDED: queued 11.0 s, ran 20.0 s, noticed ")

    def test_a_wait_that_makes_no_sense_any_more_is_told_with_its_reason(self) -> None:
        (line,) = self.lines(service(1, trouble=on("get", says(403))))
        assert line.startswith("Not waiting for DashScope task task-0 any more: ")
        assert "AccessDenied" in line

    def test_of_many_one_line_a_minute_tells_how_far_they_are(self) -> None:
        said = self.lines(service(200, seconds=10, at_once=10))
        assert 3 <= len(said) <= 4
        assert said[0] == "50 of 200 DashScope tasks have ended, 10 run, 140 are queued."


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
