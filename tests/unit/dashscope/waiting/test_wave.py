"""Waiting for some of many tasks, against a local DashScope."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.waiting import watcher
from airflow_provider_wanx.dashscope.waiting.wave import watch_wave
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.service import submit_repaints

FAR = 4_000_000_000.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE", 0.2)
    monkeypatch.setattr(watcher, "SECOND_OPINION", 0.1)


@pytest.fixture
def config() -> Iterator[Callable[[], ClientConfig]]:
    with DashScopeHook() as hook:
        yield lambda: hook.get_conn().config


class _Lines:
    """A log that can be read."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, /, *args: Any) -> None:
        self.lines.append(message % args)


async def wave(config: ClientConfig, ids: list[str], **conditions: Any) -> list[str]:
    usual: dict[str, Any] = {"wake_when_left": 0, "wake_within": FAR, "wake_at": FAR, "poll_interval": 0.05}
    return await watch_wave(config, ids, **{**usual, **conditions})


async def test_it_ends_when_few_are_left(
    slow: BackgroundSimulator, config: Callable[[], ClientConfig]
) -> None:
    ids = submit_repaints(slow, 0, 1, 2, 3)
    slow.advance(2 * 3600 + 60)
    assert sorted(await wave(config(), ids, wake_when_left=2)) == sorted(ids[:2])


async def test_it_ends_some_time_after_the_first_end_though_many_are_left(
    slow: BackgroundSimulator, config: Callable[[], ClientConfig]
) -> None:
    ids = submit_repaints(slow, 0, 1, 2)
    running = asyncio.create_task(wave(config(), ids, wake_within=0.2))
    done, _ = await asyncio.wait([running], timeout=0.5)
    assert not done  # nothing has ended, so nothing has to be done
    slow.advance(3660)
    assert await running == ids[:1]


async def test_it_ends_when_it_is_time_whatever_has_ended(
    slow: BackgroundSimulator, config: Callable[[], ClientConfig]
) -> None:
    ids = submit_repaints(slow, 0, 1)
    until = time.time() + 0.3
    assert await wave(config(), ids, wake_at=until) == []
    assert time.time() >= until


async def test_without_tasks_it_waits_for_its_time(slow: BackgroundSimulator) -> None:
    until = time.time() + 0.2
    with DashScopeHook() as hook:
        assert await wave(hook.get_conn().config, [], wake_at=until) == []
    assert time.time() >= until
    assert "get_task" not in slow.ledger(summary=True)["endpoints"]


async def test_whatever_end_a_task_has_it_is_told(
    dashscope: BackgroundSimulator, config: Callable[[], ClientConfig]
) -> None:
    for style, outcome in ((1, "FAILED"), (2, "CANCELED"), (3, "UNKNOWN")):
        dashscope.add_fault(endpoint="job", kind="outcome", outcome=outcome, style=style)
    ids = submit_repaints(dashscope, 0, 1, 2, 3)
    dashscope.advance(60)
    assert sorted(await wave(config(), ids)) == sorted(ids)


async def test_a_wait_that_makes_no_sense_any_more_is_told_with_its_reason(
    slow: BackgroundSimulator, config: Callable[[], ClientConfig]
) -> None:
    ids = submit_repaints(slow, 0)
    given = config()
    slow.accept_keys("sk-another")
    log = _Lines()
    assert await wave(given, ids, log=log) == ids
    (line,) = [line for line in log.lines if line.startswith("Not waiting")]
    assert ids[0] in line
    assert "InvalidApiKey" in line


async def test_a_wave_that_is_left_leaves_no_wait_behind(
    slow: BackgroundSimulator, config: Callable[[], ClientConfig]
) -> None:
    ids = submit_repaints(slow, 0, 1)
    before = asyncio.all_tasks()
    running = asyncio.create_task(wave(config(), ids))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.all_tasks() == before
