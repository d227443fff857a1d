from __future__ import annotations

import pytest

from airflow_provider_wanx.jobs import copying


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "COPY_PAUSES_SECONDS", (0, 0, 0))
