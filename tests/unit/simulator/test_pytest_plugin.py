from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.simulator.conftest import StandingTime


def test_fixture_is_fresh_and_fast(
    standing_time: StandingTime, dashscope_simulator: BackgroundSimulator
) -> None:
    assert dashscope_simulator.ledger()["totals"]["submissions"] == 0
    headers = {**dashscope_simulator.headers, "X-DashScope-Async": "enable"}
    url = f"{dashscope_simulator.url}/api/v1/services/aigc/image-generation/generation"
    given = {"image_url": dashscope_simulator.portrait_url, "style_index": 0}
    body = {"model": "wanx-style-repaint-v1", "input": given}
    statuses = []
    for seconds in (0, 0, 0, 1 / 50):
        standing_time.passed += seconds
        statuses.append(httpx.post(url, headers=headers, json=body).status_code)
    # Two submissions a second, which pass fifty times as fast.
    assert statuses == [200, 200, 429, 200]


@pytest.mark.dashscope_simulator(api_keys=("sk-mine",), speed=3)
def test_marker_changes_the_settings_of_the_fixture(dashscope_simulator: BackgroundSimulator) -> None:
    assert dashscope_simulator.api_key == "sk-mine"
    assert (
        httpx.get(
            f"{dashscope_simulator.url}/api/v1/tasks", headers={"Authorization": "Bearer sk-other"}
        ).status_code
        == 401
    )


def test_plugin_imports_nothing_that_pytest_has_not() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules);"
        "import airflow_provider_wanx.simulator.pytest_plugin; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    package = "airflow_provider_wanx"
    assert done.stdout.split() == [package, f"{package}.simulator", f"{package}.simulator.pytest_plugin"]
