from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.storage import copying
from tests.unit.support.service import submit_repaints


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "COPY_PAUSES", (0, 0, 0))


@pytest.fixture
def painted(dashscope: BackgroundSimulator) -> Callable[..., list[str]]:
    """Have portraits repainted."""

    def ended(*styles: int) -> list[str]:
        ids = submit_repaints(dashscope, *(styles or (31,)))
        for _ in ids:
            dashscope.advance(9)
        return ids

    return ended
