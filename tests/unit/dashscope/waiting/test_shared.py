"""Waiting over real connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import pytest

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.waiting.poller import watch_tasks
from airflow_provider_wanx.dashscope.waiting.progress import Outcome
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.unit.dashscope.support.answers import TASK_ID
from tests.unit.dashscope.support.scripted_server import Raw, Reset, Say, ScriptedServer, say_error, say_json
from tests.unit.dashscope.support.shells import REPAINT, Shell, SyncShell, config

_SUCCEEDED = say_json({"output": {"task_id": TASK_ID, "task_status": "SUCCEEDED", "results": []}})


def _watch(
    url: str, ids: Iterable[str], *, seconds: float | None = 120, every: float = 0.1, **settings: Any
) -> Outcome:
    end_time = None if seconds is None else time.time() + seconds
    return asyncio.run(watch_tasks(config(url, **settings), ids, poll_interval=every, end_time=end_time))


@pytest.fixture
def shell(dashscope_simulator: SimulatorHandle) -> Iterable[Any]:
    with SyncShell(config(dashscope_simulator.url)) as opened:
        yield opened


def _submit(shell: Shell, simulator: SimulatorHandle, *, style: int = 3) -> str:
    content = {"image_url": simulator.portrait_url, "style_index": style}
    return shell.submit_task(**{**REPAINT, "input": content}).task_id


@pytest.mark.dashscope_simulator(speed=50, submit_rate=0, task_rate=0)
def test_every_task_that_ends_is_told_with_how_it_ended(
    dashscope_simulator: SimulatorHandle, shell: Shell
) -> None:
    ends = {0: "SUCCEEDED", 1: "FAILED", 2: "CANCELED", 3: "SUCCEEDED"}
    for style, end in ends.items():
        dashscope_simulator.add_fault(endpoint="job", kind="outcome", outcome=end, style=style)
    ids = {_submit(shell, dashscope_simulator, style=style): end for style, end in ends.items()}

    outcome = _watch(dashscope_simulator.url, ids)

    assert outcome.given_up == {}
    assert {task_id: str(task.status) for task_id, task in outcome.ended.items()} == ids
    good = [task for task in outcome.ended.values() if task.status is TaskStatus.SUCCEEDED]
    assert all(task.results for task in good)


@pytest.mark.dashscope_simulator(speed=1, duration=600, concurrency=4, submit_rate=0, task_rate=0)
def test_one_task_that_does_not_end_does_not_hide_those_that_do(
    dashscope_simulator: SimulatorHandle, shell: Shell
) -> None:
    dashscope_simulator.add_fault(endpoint="job", kind="outcome", runs_for=0.1, style=1)
    quick, slow = (_submit(shell, dashscope_simulator, style=style) for style in (1, 2))
    dashscope_simulator.advance(1)

    outcome = _watch(dashscope_simulator.url, [slow, quick], seconds=0.2)

    assert list(outcome.ended) == [quick]
    assert list(outcome.given_up) == [slow]


def test_a_task_that_is_unknown_for_a_moment_is_waited_for(
    dashscope_simulator: SimulatorHandle, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.4)
    dashscope_simulator.add_fault(endpoint="get_task", kind="unknown", times=1)
    task_id = _submit(shell, dashscope_simulator)

    outcome = _watch(dashscope_simulator.url, [task_id])

    assert outcome.ended[task_id].status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize(
    "trouble",
    [
        say_error(500, "InternalError"),
        say_error(503, "ServiceUnavailable"),
        Say(status=502, body=b"<html>Bad gateway</html>"),
        Say(body=b"<html>Welcome</html>"),
        Say(),
        Reset(),
        Raw(data=b"nonsense\r\n\r\n"),
        say_json({"output": {"task_id": "another", "task_status": "FAILED"}}),
        say_json({"output": {"task_id": TASK_ID, "task_status": "NEW"}}),
    ],
    ids=["500", "503", "502", "html", "empty", "reset", "garbage", "another task", "new status"],
)
def test_a_look_that_fails_does_not_end_the_wait(server: ScriptedServer, trouble: Any) -> None:
    server.script(trouble, _SUCCEEDED)

    outcome = _watch(server.url, [TASK_ID], seconds=60)

    assert outcome.given_up == {}
    assert outcome.ended[TASK_ID].status is TaskStatus.SUCCEEDED


def test_a_wait_leaves_neither_tasks_nor_connections_behind(server: ScriptedServer) -> None:
    server.script(_SUCCEEDED)

    async def wait() -> set[asyncio.Task[Any]]:
        await watch_tasks(config(server.url), [TASK_ID], poll_interval=0.1)
        return asyncio.all_tasks() - {asyncio.current_task()}

    left = asyncio.run(wait())

    assert left == set()
    server.wait_until_idle(timeout=60)


def test_a_wait_that_is_canceled_stops_asking_and_closes_its_connections(server: ScriptedServer) -> None:
    server.script(*[say_json({"output": {"task_id": TASK_ID, "task_status": "RUNNING"}})] * 500)

    async def cancel() -> None:
        waiting = asyncio.create_task(watch_tasks(config(server.url), [TASK_ID], poll_interval=0.1))
        await asyncio.to_thread(server.wait_until_asked, timeout=60)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancel())

    server.wait_until_idle(timeout=60)
    asked = len(server.seen)
    assert asked < 500
