from __future__ import annotations

import pytest

from airflow_provider_wanx.jobs.copying import copier


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copier, "COPY_PAUSES_SECONDS", (0, 0, 0))
