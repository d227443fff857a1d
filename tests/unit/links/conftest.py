from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.service import submit_repaints


@pytest.fixture
def painted(dashscope: BackgroundSimulator) -> Callable[..., list[str]]:
    """Have portraits repainted."""

    def ended(*styles: int) -> list[str]:
        ids = submit_repaints(dashscope, *(styles or (31,)))
        for _ in ids:
            dashscope.advance(9)
        return ids

    return ended


@pytest.fixture
def queued(at_rest: BackgroundSimulator) -> tuple[BackgroundSimulator, str]:
    """A local DashScope that does not get on, and the id of a task in its queue."""
    return at_rest, submit_repaints(at_rest, 0, 1, 2)[-1]
