"""The service's clock, which tests move."""

from __future__ import annotations

import asyncio

from airflow_provider_wanx.simulator.clock import Clock


async def test_a_jump_wakes_whoever_has_just_begun_to_sleep() -> None:
    clock = Clock(speed=0.01)
    sleeping = asyncio.create_task(clock.sleep_until(8.0))
    await asyncio.sleep(0)
    clock.advance(9.0)
    async with asyncio.timeout(60):
        await sleeping
    assert clock.now() >= 8.0
