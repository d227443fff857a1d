"""The pytest fixtures that this package registers: ``dashscope_simulator`` and ``dashscope_simulator_factory``.

Imports nothing heavy: pytest loads it in every run, whether a test asks for a simulator or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_wanx.simulator.server import BackgroundSimulator

# A job of 8 s takes 0.16 s; the limits of 2 and 20 a second are there, but seldom met.
_SPEED = 50.0


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "dashscope_simulator(**settings): settings of the dashscope_simulator fixture, for example speed=1",
    )


@pytest.fixture
def dashscope_simulator_factory() -> Iterator[Callable[..., BackgroundSimulator]]:
    """Start local DashScopes with settings of the test's choice; all stop with the test.

    Call it with the fields of :class:`airflow_provider_wanx.simulator.settings.Settings`; the speed is 50 unless given.
    """
    from airflow_provider_wanx.simulator.server import BackgroundSimulator
    from airflow_provider_wanx.simulator.settings import Settings

    with ExitStack() as running:

        def start(**settings: Any) -> BackgroundSimulator:
            simulator = BackgroundSimulator(settings=Settings(**{"speed": _SPEED, **settings}))
            return running.enter_context(simulator)

        yield start


@pytest.fixture
def dashscope_simulator(
    request: pytest.FixtureRequest, dashscope_simulator_factory: Callable[..., BackgroundSimulator]
) -> BackgroundSimulator:
    """Start a local DashScope for one test; ``@pytest.mark.dashscope_simulator(speed=1)`` changes its settings."""
    marker = request.node.get_closest_marker("dashscope_simulator")
    return dashscope_simulator_factory(**(marker.kwargs if marker is not None else {}))
