from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wanx.simulator.settings import Settings, is_loopback


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("0.0.0.0", False), ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_only_loopback_counts_as_local(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": 0},
        {"duration": -1},
        {"concurrency": 0},
        {"submit_rate": -1},
        {"max_page_size": 0},
        {"retention": 0},
        {"url_lifetime": 0},
        {"list_order": "random"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)
