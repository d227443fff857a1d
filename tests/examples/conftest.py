"""An Airflow, an S3 and a local DashScope for tests of DAGs: all on this machine, all gone afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from airflow_provider_wanx.simulator.server import BackgroundSimulator

# [START airflow]
DAGS = Path(__file__).parent / "dags"
HOME = tempfile.TemporaryDirectory()
# Airflow reads its settings when it is first imported, so they come before any import of it.
os.environ["AIRFLOW_HOME"] = HOME.name
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(DAGS)
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
sys.path.insert(0, str(DAGS))


@pytest.fixture(scope="session", autouse=True)
def airflow_database() -> None:
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty local S3, which the connection ``aws_default`` leads to."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    # All servers of a process share their buckets.
    httpx.post(f"{url}/moto-api/reset", trust_env=False)
    where = {"endpoint_url": url, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "local-id", "password": "local-secret", "extra": where}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    client = boto3.client("s3", aws_access_key_id="local-id", aws_secret_access_key="local-secret", **where)
    yield client
    client.close()
    server.stop()


@pytest.fixture
def dashscope(
    dashscope_simulator: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> BackgroundSimulator:
    """A local DashScope, which the connection ``dashscope_default`` leads to."""
    monkeypatch.setenv("AIRFLOW_CONN_DASHSCOPE_DEFAULT", dashscope_simulator.connection_json())
    return dashscope_simulator


# [END airflow]
