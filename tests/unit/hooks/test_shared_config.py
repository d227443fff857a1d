from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wanx.dashscope.errors import ConfigurationError
from airflow_provider_wanx.hooks import connection as module
from airflow_provider_wanx.hooks.connection import shared_config

Define = Callable[..., None]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that were read, in order."""
    seen: list[str] = []
    original = vars(module)["get_async_connection"]

    async def counted(conn_id: str, *more: Any, **named: Any) -> Any:
        seen.append(conn_id)
        return await original(conn_id, *more, **named)

    monkeypatch.setattr(module, "get_async_connection", counted)
    return seen


def _connection(key: str, **more: Any) -> dict[str, Any]:
    return {"conn_type": "dashscope", "password": key, **more}


async def test_triggers_that_start_together_read_the_connection_once(
    set_connection: Define, reads: list[str]
) -> None:
    set_connection("mine", _connection("sk-1"))

    configs = await asyncio.gather(*(shared_config("mine") for _ in range(100)))

    assert {config.api_key for config in configs} == {"sk-1"}
    assert reads == ["mine"]


async def test_each_connection_is_read_for_itself(set_connection: Define, reads: list[str]) -> None:
    set_connection("one", _connection("sk-1"))
    set_connection("two", _connection("sk-2"))

    assert (await shared_config("one")).api_key == "sk-1"
    assert (await shared_config("two")).api_key == "sk-2"


async def test_a_changed_connection_is_seen_after_a_while_or_when_asked_for(
    set_connection: Define, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection("mine", _connection("sk-1"))
    await shared_config("mine")
    set_connection("mine", _connection("sk-2"))

    assert (await shared_config("mine")).api_key == "sk-1"
    assert (await shared_config("mine", anew=True)).api_key == "sk-2"

    set_connection("mine", _connection("sk-3"))
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now + 11)
    assert (await shared_config("mine")).api_key == "sk-3"


async def test_who_is_cancelled_while_reading_leaves_it_to_the_next(
    set_connection: Define, reads: list[str]
) -> None:
    set_connection("mine", _connection("sk-1"))
    first = asyncio.create_task(shared_config("mine"))
    second = asyncio.create_task(shared_config("mine"))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).api_key == "sk-1"


async def test_a_wrong_connection_is_read_again_by_everyone(set_connection: Define) -> None:
    set_connection("mine", _connection("sk-1", extra={"nonsense": 1}))
    with pytest.raises(ConfigurationError, match="nonsense"):
        await shared_config("mine")

    set_connection("mine", _connection("sk-1"))
    assert (await shared_config("mine")).api_key == "sk-1"


async def test_of_thousands_of_triggers_that_start_together_one_goes_on_in_a_turn_of_the_loop(
    set_connection: Define,
) -> None:
    set_connection("mine", _connection("sk-1"))
    await shared_config("mine")
    turn = 0

    async def count_turns() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    async def trigger() -> int:
        await shared_config("mine")
        return turn

    counting = asyncio.create_task(count_turns())
    turns = await asyncio.gather(*(trigger() for _ in range(2000)))
    counting.cancel()

    assert max(Counter(turns).values()) == 1
