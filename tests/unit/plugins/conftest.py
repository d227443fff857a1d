"""The gallery as the API server has it, over a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from airflow_provider_wanx.plugins.gallery import entries, owned_objects, previews
from tests.unit.plugins.gallery_world import PICTURES, Browser, World
from tests.unit.support.airflow_names import AIRFLOW, make_tables
from tests.unit.support.s3 import Bucket, connection_json


@pytest.fixture(scope="session")
def tables() -> None:
    make_tables()


@pytest.fixture
def world(tables: None) -> Iterator[World]:
    """An empty database."""
    world = World()
    yield world
    world.clear()


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """No test sees what another one has left in a cache."""
    for cache in (owned_objects._clients, previews._thumbnails, entries._bodies, entries._files):
        cache.clear()


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    """The API server."""
    from tests.unit.plugins.gallery_server import make_app

    with TestClient(make_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def as_user(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Browser]:
    """Log somebody in: ``admin`` sees everything, ``viewer`` not the DAG ``secret`` nor what ``quiet`` has left."""
    from airflow.api_fastapi import app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    from tests.unit.plugins.gallery_server import StrictManager

    manager: Any = StrictManager()  # type: ignore[no-untyped-call]
    if AIRFLOW >= (3, 2):
        monkeypatch.setattr(app._AuthManagerState, "instance", manager)
    else:
        monkeypatch.setattr(app, "auth_manager", manager)

    def log_in(name: str) -> Browser:
        if name == "nobody":
            return Browser(client, None)
        teams: dict[str, Any] = {"teams": []} if AIRFLOW >= (3, 2) else {}
        user = SimpleAuthManagerUser(username=name, role=name.upper(), **teams)
        return Browser(client, manager.generate_jwt(user))

    return log_in


@pytest.fixture
def admin(as_user: Callable[[str], Browser]) -> Browser:
    return as_user("admin")


@pytest.fixture
def store(s3_url: str, set_connection: Callable[..., None]) -> Iterator[Any]:
    """S3 behind ``aws_default``, with a bucket for pictures; its client."""
    set_connection("aws_default", connection_json(s3_url))
    bucket = Bucket(url=s3_url, name=PICTURES)
    yield bucket.client
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=PICTURES)
    for row in (row for page in pages for row in page.get("Contents", [])):
        bucket.client.delete_object(Bucket=PICTURES, Key=row["Key"])
