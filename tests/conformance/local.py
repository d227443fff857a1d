"""The local DashScope as a target."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_wanx.dashscope import ClientConfig
from airflow_provider_wanx.simulator.server import SimulatorProcess
from tests.conformance.service.pictures import PORTRAIT
from tests.conformance.service.wire import Target

KEY = "sk-conformance-local-0123456789"
WORKSPACE = "ws-conformance"

# In real time, so that the limits are those of the service; only the work on a portrait is quicker.
_ARGUMENTS = ("--api-key", KEY, "--workspace", WORKSPACE, "--duration", "5")


@contextmanager
def local_target() -> Iterator[Target]:
    """Start the local DashScope in a process of its own."""
    with SimulatorProcess(arguments=_ARGUMENTS) as simulator:
        yield Target(
            name="the local DashScope",
            config=ClientConfig(api_key=KEY, base_url=simulator.url),
            portrait=PORTRAIT.read_bytes(),
            poll_interval=0.15,
            patience=60,
            strict=True,
        )
