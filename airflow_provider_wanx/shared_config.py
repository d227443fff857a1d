"""Reading a connection once for all triggers that start together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.connection import get_async_connection

from airflow_provider_wanx.hooks.dashscope import client_config

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.config import ClientConfig

FRESH = 10.0
"""Seconds for which a connection is taken to be as it was read. A replaced key is noticed in any case: it is refused."""


@dataclass
class _Reading:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = float("-inf")
    config: ClientConfig | None = None


_READINGS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Reading]] = WeakKeyDictionary()


async def shared_config(conn_id: str, *, anew: bool = False) -> ClientConfig:
    """Read a connection, or take what another trigger in this event loop has just read.

    A triggerer that starts with thousands of triggers would otherwise do nothing else for seconds.

    :param conn_id: id of a connection of type ``dashscope``.
    :param anew: read it in any case.
    :raises ConfigurationError: something in it is wrong.
    """
    loop = asyncio.get_running_loop()
    reading = _READINGS.setdefault(loop, {}).setdefault(conn_id, _Reading())
    async with reading.lock:
        # One trigger at a turn of the loop: all that start together must not hold it up together.
        await asyncio.sleep(0)
        if anew or reading.config is None or loop.time() - reading.read_at > FRESH:
            reading.config = client_config(await get_async_connection(conn_id))
            reading.read_at = loop.time()
        return reading.config
