"""The trigger of a batch, in an event loop of the test's own, against a local DashScope."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.waiting import poller
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.batch import DashScopeBatchTrigger
from tests.unit.support.airflow import events_of, revived
from tests.unit.support.service import states, submit_repaints

FAR = 4_000_000_000.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(poller, "DEFAULT_POLL_INTERVAL_SECONDS", 0.1)


def trigger(*ids: str, **arguments: Any) -> DashScopeBatchTrigger:
    usual: dict[str, Any] = {"wake_when_left": 0, "wake_within": FAR, "wake_at": FAR, "poll_interval": 0.05}
    return DashScopeBatchTrigger(dashscope_task_ids=list(ids), **{**usual, **arguments})


def test_it_can_be_made_again_from_what_is_stored() -> None:
    made = trigger(
        "a",
        "b",
        wake_when_left=3,
        wake_within=7.5,
        wake_at=9.5,
        progress="3 of 4",
        dashscope_conn_id="other",
        cancel_on_kill=True,
    )
    again = revived(made)
    assert isinstance(again, DashScopeBatchTrigger)
    assert again.serialize() == made.serialize()
    assert (again.wake_when_left, again.wake_within, again.wake_at, again.progress) == (3, 7.5, 9.5, "3 of 4")
    assert (again.dashscope_task_ids, again.dashscope_conn_id, again.cancel_on_kill) == (
        ["a", "b"],
        "other",
        True,
    )


def test_what_is_stored_has_ids_and_numbers_and_no_secret(slow: BackgroundSimulator) -> None:
    path, kwargs = trigger("a").serialize()
    assert path == "airflow_provider_wanx.triggers.batch.DashScopeBatchTrigger"
    assert slow.api_key not in str(kwargs)
    assert slow.url not in str(kwargs)
    assert all(value is None or isinstance(value, str | float | int | list) for value in kwargs.values())


async def test_it_sends_one_event_when_few_are_left(slow: BackgroundSimulator) -> None:
    ids = submit_repaints(slow, 0, 1, 2)
    slow.advance(3660)
    assert await events_of(revived(trigger(*ids, wake_when_left=2))) == [{"ended": ids[:1]}]


async def test_it_sends_it_soon_after_the_first_end(slow: BackgroundSimulator) -> None:
    ids = submit_repaints(slow, 0, 1, 2)
    slow.advance(3660)
    assert await events_of(trigger(*ids, wake_within=0.1)) == [{"ended": ids[:1]}]


@pytest.mark.parametrize("count", [0, 2])
async def test_it_sends_it_when_it_is_time(slow: BackgroundSimulator, count: int) -> None:
    until = time.time() + 0.2
    assert await events_of(trigger(*submit_repaints(slow, *range(count)), wake_at=until)) == [{"ended": []}]
    assert time.time() >= until


async def test_after_a_restart_past_its_time_it_sends_it_at_once(slow: BackgroundSimulator) -> None:
    assert await events_of(trigger(*submit_repaints(slow, 0), wake_at=time.time() - 60)) == [{"ended": []}]


async def test_its_event_holds_neither_urls_nor_the_key(dashscope: BackgroundSimulator) -> None:
    ids = submit_repaints(dashscope, 0)
    dashscope.advance(60)
    event = str(await events_of(trigger(*ids)))
    assert "://" not in event
    assert dashscope.api_key not in event


async def test_what_it_cannot_wait_for_is_left_to_the_worker_with_the_reason_in_the_log(
    set_connection: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    set_connection("without_key", {"conn_type": "dashscope", "host": "http://127.0.0.1:9"})
    events = await events_of(trigger("a", "b", dashscope_conn_id="without_key"))
    assert events == [{"ended": ["a", "b"]}]
    assert "Waiting ends: " in capsys.readouterr().out


async def test_a_pause_is_kept_whatever_is_wrong_with_the_connection(
    set_connection: Callable[..., None],
) -> None:
    set_connection("without_key", {"conn_type": "dashscope", "host": "http://127.0.0.1:9"})
    until = time.time() + 0.3
    assert await events_of(trigger(dashscope_conn_id="without_key", wake_at=until)) == [{"ended": []}]
    assert time.time() >= until


@pytest.mark.usefixtures("slow")
async def test_the_progress_is_the_first_line_of_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    await events_of(trigger(wake_at=0, progress="3 of 4 images done"))
    assert "3 of 4 images done" in capsys.readouterr().out


@pytest.mark.parametrize("cancel", [True, False])
async def test_when_a_person_ends_the_task_what_is_queued_is_canceled_if_that_was_asked_for(
    slow: BackgroundSimulator, cancel: bool
) -> None:
    ids = submit_repaints(slow, 0, 1, 2)
    await trigger(*ids, cancel_on_kill=cancel).on_kill()
    expected = ["RUNNING", "CANCELED", "CANCELED"] if cancel else ["RUNNING", "PENDING", "PENDING"]
    assert states(slow) == expected
