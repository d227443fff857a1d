"""Connections to a local DashScope and a local S3."""

from __future__ import annotations

import functools
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.s3 import Bucket, connection_json


@pytest.fixture
def set_connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define Airflow connections the way users do it in a deployment: through the environment."""

    def define(conn_id: str, connection: str | dict[str, Any]) -> None:
        text = connection if isinstance(connection, str) else json.dumps(connection)
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)

    return define


@pytest.fixture
def connect_dashscope(
    dashscope_simulator_factory: Callable[..., BackgroundSimulator], set_connection: Callable[..., None]
) -> Callable[..., BackgroundSimulator]:
    """Start a local DashScope with settings of the test's choice, behind ``dashscope_default``."""

    def start(**settings: Any) -> BackgroundSimulator:
        simulator = dashscope_simulator_factory(**settings)
        # Nothing here is about pacing.
        limits = {"submissions_per_second": 1000, "requests_per_second": 1000}
        set_connection("dashscope_default", simulator.connection_json(retry_for=2, timeout=5, **limits))
        return simulator

    return start


@pytest.fixture
def dashscope(connect_dashscope: Callable[..., BackgroundSimulator]) -> BackgroundSimulator:
    """A local DashScope behind ``dashscope_default`` whose rate limits no test meets by accident."""
    return connect_dashscope(submit_rate=0, task_rate=0)


@pytest.fixture
def at_rest(connect_dashscope: Callable[..., BackgroundSimulator]) -> BackgroundSimulator:
    """A local DashScope whose clock only moves when a test moves it, as far as a test can tell."""
    return connect_dashscope(speed=0.01, submit_rate=0, task_rate=0)


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """Address of a local S3."""
    import botocore.session
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        # Every client of every test would read some megabytes of JSON anew.
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_url: str, set_connection: Callable[..., None]) -> Bucket:
    """An empty bucket behind ``aws_default``."""
    set_connection("aws_default", connection_json(s3_url))
    return Bucket(url=s3_url, name=f"bucket-{uuid.uuid4()}")
