from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_wanx.dashscope import sharing
from airflow_provider_wanx.dashscope.config import ClientConfig, Limits
from airflow_provider_wanx.dashscope.errors import AuthenticationError, TransportError, WaitTimeoutError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.polling import TaskWait
from airflow_provider_wanx.dashscope.sharing import shared_watcher, watch_tasks
from airflow_provider_wanx.dashscope.waits import Outcome
from airflow_provider_wanx.dashscope.watched import Tuning
from airflow_provider_wanx.dashscope.watcher import TaskWatcher
from airflow_provider_wanx.simulator.server import BackgroundSimulator

Factory = Callable[..., BackgroundSimulator]
PATH = "/api/v1/services/aigc/text2image/image-synthesis"
PICTURE = {"model": "wanx-v1", "input": {"prompt": "a cat"}, "parameters": {"size": "512*512", "n": 1}}
INTERVAL = 0.2

# As if there were always too many tasks to ask for each.
MANY = Tuning(direct=0.0, shortest_gap=0.02)


@pytest.fixture
def service(dashscope_simulator_factory: Factory) -> Factory:
    """Start a service that is fifty times as fast: a job of 8 s takes 0.16 s, and 20 requests a second become 1,000."""

    def start(**settings: Any) -> BackgroundSimulator:
        return dashscope_simulator_factory(
            **{"submit_rate": 0, "queue_limit": 100_000, "concurrency": 20, **settings}
        )

    return start


def _config(simulator: BackgroundSimulator, *, rate: float = 1000.0, key: str = "sk-watch") -> ClientConfig:
    return ClientConfig(
        api_key=key, base_url=simulator.url, limits=Limits(requests_per_second=rate), timeout=5.0
    )


def _submit(simulator: BackgroundSimulator, count: int, *, model: str = "wanx-v1") -> list[str]:
    headers = simulator.headers | {"X-DashScope-Async": "enable"}
    with httpx.Client(base_url=simulator.url, headers=headers, trust_env=False) as http:
        answers = [http.post(PATH, json=PICTURE | {"model": model}) for _ in range(count)]
    return [answer.json()["output"]["task_id"] for answer in answers]


def _waits(ids: list[str], *, interval: float = INTERVAL, within: float | None = 30.0) -> list[TaskWait]:
    end_time = None if within is None else time.time() + within
    return [TaskWait(task_id, interval, end_time) for task_id in ids]


async def _watch(
    simulator: BackgroundSimulator, ids: list[str], *, tuning: Tuning = MANY, rate: float = 1000.0
) -> Outcome:
    async with shared_watcher(_config(simulator, rate=rate), tuning=tuning) as watcher:
        return await watcher.wait(_waits(ids))


def _requests(simulator: BackgroundSimulator) -> dict[str, dict[str, int]]:
    endpoints: dict[str, dict[str, int]] = simulator.ledger(summary=True)["endpoints"]
    none = {"requests": 0, "refused": 0, "faults": 0}
    return {name: endpoints.get(name, none) for name in ("get_task", "list_tasks")}


def _all_succeeded(outcome: Outcome, ids: list[str]) -> bool:
    return set(outcome.ended) == set(ids) and {task.status for task in outcome.ended.values()} == {
        TaskStatus.SUCCEEDED
    }


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_few_tasks_are_asked_for_one_by_one_without_the_list(service: Factory) -> None:
    simulator = service()
    ids = _submit(simulator, 3)

    outcome = await _watch(simulator, ids, tuning=Tuning())

    assert _all_succeeded(outcome, ids)
    assert _requests(simulator)["list_tasks"]["requests"] == 0


async def test_many_tasks_cost_hardly_more_than_one_question_each(service: Factory) -> None:
    simulator = service()
    ids = _submit(simulator, 150)

    outcome = await _watch(simulator, ids)

    assert _all_succeeded(outcome, ids)
    counts = _requests(simulator)
    assert counts["get_task"]["requests"] < 1.2 * len(ids)
    assert counts["list_tasks"]["requests"] < len(ids)
    assert counts["get_task"]["refused"] == counts["list_tasks"]["refused"] == 0


async def test_nothing_waited_for_is_nothing_asked(service: Factory) -> None:
    simulator = service()

    assert await watch_tasks(_config(simulator), []) == Outcome()
    assert _requests(simulator)["get_task"]["requests"] == 0


_LIST_TROUBLES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "capped at ten rows": ({"max_page_size": 10}, []),
    "capped at one row": ({"max_page_size": 1}, []),
    "late": ({"list_delay": 60.0}, []),
    "later than the tasks take": ({"list_delay": 10_000.0}, []),
    "refused its key": ({}, [{"kind": "status", "status": 401}]),
    "refused for good": ({}, [{"kind": "status", "status": 403}]),
    "gone": ({}, [{"kind": "status", "status": 404}]),
    "throttled all the time": ({}, [{"kind": "status", "status": 429}]),
    "broken": ({}, [{"kind": "status", "status": 500}]),
    "broken now and then": ({}, [{"kind": "status", "status": 502, "rate": 0.5}]),
    "reset": ({}, [{"kind": "reset"}]),
    "garbage": ({}, [{"kind": "garbage"}]),
    "empty": ({}, [{"kind": "empty"}]),
    "cut off": ({}, [{"kind": "truncate"}]),
    "stuck": ({}, [{"kind": "delay", "seconds": 3.0}]),
}


@pytest.mark.parametrize("trouble", _LIST_TROUBLES)
async def test_no_task_is_lost_when_the_list_is(service: Factory, trouble: str) -> None:
    settings, faults = _LIST_TROUBLES[trouble]
    simulator = service(**settings)
    for fault in faults:
        simulator.add_fault(endpoint="list_tasks", **fault)
    ids = _submit(simulator, 60)

    tuning = Tuning(direct=0.0, shortest_gap=0.02, sweep=2.0)
    outcome = await _watch(simulator, ids, tuning=tuning)

    assert _all_succeeded(outcome, ids)


async def test_a_page_size_that_the_service_does_not_take_is_made_smaller() -> None:
    sizes: list[int] = []
    rows = [{"task_id": f"task-{number}", "status": "SUCCEEDED"} for number in range(30)]

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/tasks"):
            output = {"task_id": request.url.path.rpartition("/")[2], "task_status": "SUCCEEDED"}
            return httpx.Response(200, json={"output": output})
        size = int(request.url.params["page_size"])
        sizes.append(size)
        if size > 20:
            return httpx.Response(400, json={"code": "InvalidParameter", "message": "page_size"})
        return httpx.Response(200, json={"data": rows[:size], "total_page": 1})

    watcher = TaskWatcher(ClientConfig(api_key="sk-x", base_url="http://127.0.0.1:1"), tuning=MANY)
    watcher._client._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    outcome = await watcher.wait(_waits([f"task-{number}" for number in range(12)]))
    await watcher.close()

    assert len(outcome.ended) == 12
    assert sizes[:4] == [100, 50, 25, 12]


async def test_foreign_tasks_in_the_list_do_no_harm(service: Factory) -> None:
    simulator = service(concurrency=40)
    _submit(simulator, 150)
    ids = _submit(simulator, 20)
    _submit(simulator, 150, model="wanx2.1-t2i-turbo")

    outcome = await _watch(simulator, ids)

    assert _all_succeeded(outcome, ids)
    assert _requests(simulator)["get_task"]["requests"] < 3 * len(ids)


async def test_every_way_to_end_ends_a_wait(service: Factory) -> None:
    simulator = service()
    for outcome in ("FAILED", "CANCELED", "UNKNOWN", "PARTIAL"):
        simulator.add_fault(endpoint="job", kind="outcome", outcome=outcome, times=3)
    ids = _submit(simulator, 30)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_wanx.dashscope.polling.UNKNOWN_GRACE", 0.2)
        tuning = Tuning(direct=0.0, shortest_gap=0.02, sweep=1.0)
        result = await _watch(simulator, ids, tuning=tuning)

    statuses = [task.status for task in result.ended.values()]
    assert len(statuses) == 30
    assert [statuses.count(status) for status in ("FAILED", "CANCELED", "UNKNOWN")] == [3, 3, 3]


@pytest.mark.parametrize("tuning", [MANY, Tuning()], ids=["many", "few"])
async def test_a_storm_of_refusals_ends_no_wait_and_is_not_answered_with_a_storm(
    service: Factory, tuning: Tuning
) -> None:
    simulator = service()
    ids = _submit(simulator, 40)
    for endpoint in ("get_task", "list_tasks"):
        simulator.add_fault(endpoint=endpoint, kind="status", status=429, for_seconds=3.0)

    outcome = await _watch(simulator, ids, tuning=tuning)

    assert _all_succeeded(outcome, ids)
    assert 1 <= _requests(simulator)["get_task"]["faults"] < 20


async def test_a_refused_look_waits_as_long_as_the_service_asks(service: Factory) -> None:
    simulator = service()
    ids = _submit(simulator, 2)
    headers = {"Retry-After": "1"}
    simulator.add_fault(endpoint="get_task", kind="status", status=429, headers=headers, times=1)
    began = time.monotonic()

    outcome = await _watch(simulator, ids, tuning=Tuning())

    assert _all_succeeded(outcome, ids)
    assert time.monotonic() - began >= 1.0
    assert _requests(simulator)["get_task"]["faults"] == 1


@pytest.mark.parametrize("kind", ["reset", "garbage", "empty", "truncate", "lose_answer"])
async def test_answers_that_are_none_are_asked_for_again(service: Factory, kind: str) -> None:
    simulator = service()
    ids = _submit(simulator, 30)
    simulator.add_fault(endpoint="get_task", kind=kind, times=3)

    assert _all_succeeded(await _watch(simulator, ids), ids)


@pytest.mark.parametrize("tuning", [MANY, Tuning()], ids=["many", "few"])
async def test_a_deadline_ends_the_wait_at_its_time(service: Factory, tuning: Tuning) -> None:
    simulator = service(duration=10_000.0)
    ids = _submit(simulator, 12)
    began = time.monotonic()

    async with shared_watcher(_config(simulator), tuning=tuning) as watcher:
        outcome = await watcher.wait(_waits(ids, within=1.0))

    assert 1.0 <= time.monotonic() - began < 3.0
    assert set(outcome.given_up) == set(ids)
    assert {type(error) for error in outcome.given_up.values()} == {WaitTimeoutError}
    assert "last seen" in str(outcome.given_up[ids[0]])


async def test_a_task_that_ends_right_before_the_deadline_is_not_given_up(service: Factory) -> None:
    simulator = service(list_delay=10_000.0, concurrency=100)
    ids = _submit(simulator, 40)

    async with shared_watcher(_config(simulator), tuning=Tuning(direct=0.0)) as watcher:
        outcome = await watcher.wait(_waits(ids, interval=60.0, within=1.5))

    assert _all_succeeded(outcome, ids)


async def test_a_deadline_is_kept_even_if_the_service_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airflow_provider_wanx.dashscope.waits.LAST_LOOK", 0.5)
    config = ClientConfig(api_key="sk-x", base_url="http://127.0.0.1:9")
    began = time.monotonic()

    outcome = await watch_tasks(config, _waits(["a", "b"], within=1.0))

    assert time.monotonic() - began < 4.0
    assert {type(error) for error in outcome.given_up.values()} == {WaitTimeoutError}
    assert "cannot be reached" in str(outcome.given_up["a"])
    assert isinstance(outcome.given_up["a"], WaitTimeoutError)
    assert not isinstance(outcome.given_up["a"], TransportError)


async def test_two_waits_for_one_task_share_the_questions_and_keep_their_own_deadlines(
    service: Factory,
) -> None:
    simulator = service(duration=75.0)
    (task_id,) = _submit(simulator, 1)

    async with shared_watcher(_config(simulator)) as watcher:
        patient, hasty = await asyncio.gather(
            watcher.wait(_waits([task_id])), watcher.wait(_waits([task_id], within=0.5))
        )

    assert _all_succeeded(patient, [task_id])
    assert isinstance(hasty.given_up[task_id], WaitTimeoutError)
    assert _requests(simulator)["get_task"]["requests"] < 16


async def test_waits_of_one_account_share_one_watcher_and_the_last_one_closes_it(service: Factory) -> None:
    simulator = service(duration=50.0)
    config = _config(simulator)
    ids = _submit(simulator, 2)

    async with shared_watcher(config) as first:
        async with shared_watcher(_config(simulator)) as second:
            assert second is first
        assert not first._client._http.is_closed
        await first.wait(_waits(ids))
    async with shared_watcher(_config(simulator, key="sk-other")) as other:
        assert other is not first

    assert first._client._http.is_closed
    loop = sharing._LOOPS[asyncio.get_running_loop()]
    assert not loop.watchers
    assert first._poller is not None
    assert first._poller.done()


async def test_a_cancelled_wait_leaves_nothing_behind(service: Factory) -> None:
    simulator = service(duration=100_000.0)
    ids = _submit(simulator, 50)
    tasks_before = len(asyncio.all_tasks())

    async with shared_watcher(_config(simulator), tuning=MANY) as watcher:
        stays = asyncio.create_task(watcher.wait(_waits(ids[:1])))
        goes = [asyncio.create_task(watcher.wait(_waits([task_id]))) for task_id in ids]
        await asyncio.sleep(0.3)
        assert len(watcher) == 50
        for task in goes:
            task.cancel()
        await asyncio.gather(*goes, return_exceptions=True)

        assert list(watcher._waits) == [ids[0]]
        assert len(watcher._schedule) == 1
        stays.cancel()
        await asyncio.gather(stays, return_exceptions=True)
        assert len(watcher) == 0
        seen = _requests(simulator)
        await asyncio.sleep(0.5)
        assert _requests(simulator)["get_task"] == seen["get_task"]

    assert len(asyncio.all_tasks()) == tasks_before


async def test_a_trigger_that_is_cancelled_while_it_closes_still_closes(service: Factory) -> None:
    simulator = service(duration=100_000.0)
    ids = _submit(simulator, 1)
    watchers: list[TaskWatcher] = []

    async def wait() -> None:
        async with shared_watcher(_config(simulator)) as watcher:
            watchers.append(watcher)
            await watcher.wait(_waits(ids))

    task = asyncio.create_task(wait())
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await _until(lambda: watchers[0]._client._http.is_closed)

    assert not sharing._LOOPS[asyncio.get_running_loop()].watchers


async def test_a_watcher_that_follows_another_goes_on_with_its_budget(service: Factory) -> None:
    simulator = service()
    simulator.add_fault(endpoint="get_task", kind="status", status=429, times=2)

    await watch_tasks(_config(simulator), _waits(_submit(simulator, 1)))
    async with shared_watcher(_config(simulator)) as watcher:
        assert watcher._budgets.get.rate < 1000 * 0.8


async def test_waits_that_come_and_go_do_not_use_up_the_budget_of_those_that_follow(service: Factory) -> None:
    simulator = service(duration=100_000.0)
    ids = _submit(simulator, 1)
    for steps in range(12):
        waiting = asyncio.create_task(watch_tasks(_config(simulator), _waits(ids)))
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    async with shared_watcher(_config(simulator)) as watcher:
        assert watcher._budgets.get.next_at(time.monotonic()) < float("inf")
        assert watcher._budgets.get._under_way == 0


async def test_a_replaced_key_is_read_and_used(service: Factory) -> None:
    simulator = service(duration=25.0)
    ids = _submit(simulator, 20)
    simulator.accept_keys("sk-new")
    reads = 0

    async def renew() -> ClientConfig:
        nonlocal reads
        reads += 1
        return _config(simulator, key="sk-new")

    outcome = await watch_tasks(_config(simulator, key="sk-old"), _waits(ids), renew=renew)

    assert _all_succeeded(outcome, ids)
    assert reads == 1


@pytest.mark.parametrize("renewal", ["the same key", "an error", "none"])
async def test_a_key_that_stays_refused_ends_all_waits_without_asking_for_each(
    service: Factory, monkeypatch: pytest.MonkeyPatch, renewal: str
) -> None:
    monkeypatch.setattr("airflow_provider_wanx.dashscope.watcher.SECOND_OPINION", 0.2)
    simulator = service()
    ids = _submit(simulator, 50)
    simulator.accept_keys("sk-new")

    async def renew() -> ClientConfig:
        if renewal == "an error":
            raise LookupError("no such connection")
        return _config(simulator)

    async with shared_watcher(
        _config(simulator), renew=None if renewal == "none" else renew, tuning=MANY
    ) as watcher:
        outcome = await watcher.wait(_waits(ids))

    assert set(outcome.given_up) == set(ids)
    assert {type(error) for error in outcome.given_up.values()} == {AuthenticationError}
    assert _requests(simulator)["get_task"]["requests"] <= 10


async def test_a_key_that_is_refused_once_by_mistake_ends_no_wait(
    service: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_wanx.dashscope.watcher.SECOND_OPINION", 0.1)
    simulator = service()
    ids = _submit(simulator, 2)
    simulator.add_fault(endpoint="get_task", kind="status", status=401, times=1)

    assert _all_succeeded(await _watch(simulator, ids, tuning=Tuning()), ids)


async def test_a_task_that_may_not_be_read_ends_its_own_wait_only(service: Factory) -> None:
    simulator = service()
    ids = _submit(simulator, 5)
    simulator.add_fault(endpoint="get_task", kind="status", status=403, task_id=ids[2])

    outcome = await _watch(simulator, ids, tuning=Tuning())

    assert set(outcome.given_up) == {ids[2]}
    assert len(outcome.ended) == 4


async def test_two_watchers_on_one_account_share_its_limit_without_being_refused_often(
    service: Factory,
) -> None:
    simulator = service(speed=10.0, duration=20.0, concurrency=80)
    ids = _submit(simulator, 400)
    config = _config(simulator, rate=200.0)
    watchers = [TaskWatcher(config, tuning=Tuning(direct=0.0)) for _ in range(2)]

    outcomes = await asyncio.gather(watchers[0].wait(_waits(ids[::2])), watchers[1].wait(_waits(ids[1::2])))
    for watcher in watchers:
        await watcher.close()

    assert sum(len(outcome.ended) for outcome in outcomes) == 400
    counts = _requests(simulator)
    total = sum(count["requests"] for count in counts.values())
    assert sum(count["refused"] for count in counts.values()) < 0.05 * total


async def test_log_lines_do_not_grow_with_the_number_of_looks(
    service: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    simulator = service(duration=50.0)
    simulator.add_fault(endpoint="list_tasks", kind="status", status=500, rate=0.5)
    simulator.add_fault(endpoint="get_task", kind="status", status=500, rate=0.2)
    ids = _submit(simulator, 100)

    with caplog.at_level(logging.DEBUG):
        await _watch(simulator, ids)

    ours = [
        record
        for record in caplog.records
        if record.name.startswith(("airflow_provider_wanx.dashscope", "httpx"))
    ]
    assert len(ours) <= 3


async def test_an_error_of_our_own_ends_the_waits_instead_of_hanging_them(
    service: Factory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    simulator = service()
    ids = _submit(simulator, 3)

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    async with shared_watcher(_config(simulator)) as watcher:
        monkeypatch.setattr(watcher._waits, "decide", broken)
        with pytest.raises(ZeroDivisionError):
            await watcher.wait(_waits(ids))

    async with shared_watcher(_config(simulator)) as watcher:
        monkeypatch.setattr(watcher._schedule, "next_task", broken)
        with pytest.raises(ZeroDivisionError):
            await watcher.wait(_waits(ids))


async def test_closing_a_watcher_cancels_what_still_waits(service: Factory) -> None:
    simulator = service(duration=100_000.0)
    watcher = TaskWatcher(_config(simulator))
    waiting = asyncio.create_task(watcher.wait(_waits(_submit(simulator, 2))))
    await asyncio.sleep(0.1)

    await watcher.close()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_ten_thousand_waits_neither_block_the_loop_nor_need_much_memory() -> None:
    import tracemalloc

    config = ClientConfig(api_key="sk-x", base_url="http://127.0.0.1:9")
    async with shared_watcher(config) as watcher:
        longest = 0.0

        async def feel() -> None:
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.005)
                longest = max(longest, time.perf_counter() - before)

        feeling = asyncio.create_task(feel())
        await asyncio.sleep(0.1)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        waits = []
        for number in range(10_000):
            waits.append(asyncio.create_task(watcher.wait(_waits([f"task-{number}"], within=None))))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await _until(lambda: len(watcher) == 10_000)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        longest = 0.0
        await asyncio.sleep(1.0)
        gc.enable()
        feeling.cancel()
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    assert (after - before) / 10_000 < 10_000
    assert longest < 0.2
