from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.waiting import poller
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.service import submit_repaints


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local DashScope does not need the real one's time to find a new task."""
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(poller, "DEFAULT_POLL_INTERVAL_SECONDS", 0.1)


@pytest.fixture
def submit(dashscope: BackgroundSimulator) -> Callable[..., list[str]]:
    """Submit some tasks; return their ids."""
    return lambda count=1: submit_repaints(dashscope, *range(count))
