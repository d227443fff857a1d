from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from airflow_provider_wanx.batch import batch, policy
from airflow_provider_wanx.dashscope import polling
from airflow_provider_wanx.dashscope.waiting import poller
from airflow_provider_wanx.jobs.copying import copier
from airflow_provider_wanx.jobs.submitting import lost_submissions, submitter
from airflow_provider_wanx.operators import wanx_batch
from airflow_provider_wanx.simulator.painting import painter
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.repainting import Bulk
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket


@pytest.fixture(autouse=True)
def prompt_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local DashScope's task list does not lag behind."""
    monkeypatch.setattr(lost_submissions, "PAUSES_BEFORE_LOOKS_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(submitter, "LATE_ACCEPTANCE_SECONDS", 0.05)


@pytest.fixture
def bulk(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bulk:
    """A bulk task with three portraits, and no pauses but those that a test is about."""
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(poller, "DEFAULT_POLL_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(copier, "COPY_PAUSES_SECONDS", (0, 0))
    # Every wake makes two clients, which takes longer than all else that it does here.
    monkeypatch.setattr(S3Hook, "get_client_type", lambda self, *args, **more: bucket.client)
    monkeypatch.setattr(policy, "RESULTS_WITHIN_SECONDS", 0.1)
    monkeypatch.setattr(wanx_batch, "DEFAULT_POLL_INTERVAL_SECONDS", 0.05)
    made = Bulk(
        bucket, lambda images: monkeypatch.setattr(batch, "most_in_flight", lambda *given, **more: images)
    )
    made.portraits("ann", "bob", "cleo")
    return made


@pytest.fixture
def service(
    connect_dashscope: Callable[..., BackgroundSimulator],
    set_connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., BackgroundSimulator]:
    """Start a local DashScope that repaints in no time, with settings of the test's choice."""
    painted = picture(64, 64, kind="JPEG")
    monkeypatch.setattr(painter, "repaint", lambda *args, **more: painted)

    def start(**settings: Any) -> BackgroundSimulator:
        simulator = connect_dashscope(**{"submit_rate": 0, "task_rate": 0, "duration": 0.02, **settings})
        limits = {"submissions_per_second": 1000, "requests_per_second": 1000}
        connection = simulator.connection_json(retry_for=0.1, timeout=5, **limits)
        set_connection("dashscope_default", connection)
        return simulator

    return start
