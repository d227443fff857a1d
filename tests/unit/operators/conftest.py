from __future__ import annotations

import pytest

from airflow_provider_wanx.submission import search


@pytest.fixture(autouse=True)
def prompt_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local DashScope's task list does not lag behind."""
    monkeypatch.setattr(search, "LOOKS", (0.0, 0.0))
