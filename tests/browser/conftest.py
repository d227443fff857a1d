"""One real Airflow with users, and one Chromium, for all browser tests of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests import demo
from tests.browser.support.chromium import Visit, chromium, visit
from tests.stack import ROOT, LocalStack, StackConfig

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def stack(browser: Browser) -> Iterator[LocalStack]:
    """Airflow with the example DAGs and those of the tests, for an administrator and a viewer."""
    folders = {"examples": ROOT / "dags", "tests": _HERE / "dags"}
    config = StackConfig(
        data=ROOT / ".test" / "browser",
        dag_bundles=folders,
        dag_ids={file.stem for folder in folders.values() for file in folder.glob("[!_]*.py")},
        speed=10,
        # As for users: the API server reads the connection with which a picture was stored from there.
        connections_in_database=True,
        users={"admin": "admin", "viewer": "viewer"},
        settings={
            "AIRFLOW__CORE__AUTH_MANAGER": "tests.browser.support.auth.HidingAuthManager",
            "PYTHONPATH": str(ROOT),
            # Those of the examples, and all that the tests make.
            "AIRFLOW__DASHSCOPE__GALLERY_BUCKETS": f"{demo.BUCKET}, {demo.RESULTS}, attacked, attacked-batch, bulk",
        },
    )
    with LocalStack(config=config) as running:
        yield running


@pytest.fixture
def enter(browser: Browser, stack: LocalStack) -> Iterator[Callable[..., Visit]]:
    """Open a window, logged in as somebody or not."""
    with ExitStack() as windows:

        def open_window(name: str | None = None, **options: Any) -> Visit:
            window = windows.enter_context(visit(browser, stack.airflow.url, **options))
            if name is not None:
                window.log_in(name)
            return window

        yield open_window
