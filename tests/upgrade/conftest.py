from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wanx.batch import policy
from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.waiting import poller
from airflow_provider_wanx.jobs.copying import copier
from airflow_provider_wanx.jobs.submitting import lost_submissions
from airflow_provider_wanx.operators import wanx_batch
from airflow_provider_wanx.simulator.painting import painter
from tests.unit.conftest import s3_url, set_connection
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket, connection_json
from tests.upgrade.world import BUCKET, HOST, World, loopback_address

__all__ = ["s3_url", "set_connection"]


@pytest.fixture
def world(
    s3_url: str,
    set_connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[World]:
    """An empty world, in which nobody waits longer than needed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(lost_submissions, "PAUSES_BEFORE_LOOKS_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(poller, "DEFAULT_POLL_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(copier, "COPY_PAUSES_SECONDS", (0, 0))
    monkeypatch.setattr(policy, "RESULTS_WITHIN_SECONDS", 0.1)
    monkeypatch.setattr(wanx_batch, "DEFAULT_POLL_INTERVAL_SECONDS", 0.05)
    painted = picture(64, 64, kind="JPEG")
    monkeypatch.setattr(painter, "repaint", lambda *args, **more: painted)
    address = loopback_address()
    _lead(monkeypatch, HOST, address)
    set_connection("aws_default", connection_json(s3_url))
    bucket = Bucket(url=s3_url, name=BUCKET)
    yield World(
        connect=lambda connection: set_connection(
            "dashscope_default", {"password": "sk-simulator", **connection}
        ),
        bucket=bucket,
        address=address,
    )
    for key in bucket.keys():  # noqa: SIM118 - no dictionary
        bucket.client.delete_object(Bucket=BUCKET, Key=key)
    bucket.client.delete_bucket(Bucket=BUCKET)


def _lead(patch: pytest.MonkeyPatch, name: str, address: str) -> None:
    """Let a host's name lead to an address."""
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        return look_up(address if host in (name, name.encode()) else host, *args, **more)

    patch.setattr(socket, "getaddrinfo", getaddrinfo)
