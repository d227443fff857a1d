"""A plugin of pytest, for the unit tests in a row's environment: the package must be the wheel's, not the checkout's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import airflow_provider_wanx


def pytest_configure(config: pytest.Config) -> None:
    """End at once if the tests would try another package."""
    place = Path(airflow_provider_wanx.__file__)
    if Path(sys.prefix) not in place.parents:
        raise pytest.UsageError(f"The package is not the wheel's but {place}")
