from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.unit.dashscope.support.scripted_server import Reply, ScriptedServer
from tests.unit.dashscope.support.shells import SHELLS, Shell, config
from tests.unit.support.skipped_time import SkippedTime


@pytest.fixture
def skipped_time(monkeypatch: pytest.MonkeyPatch) -> SkippedTime:
    """Let pauses take no time."""
    return SkippedTime(monkeypatch)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that listens; give it replies with ``script``."""
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start as many servers as a test needs, each with its replies."""
    with ExitStack() as running:

        def start(*replies: Reply) -> ScriptedServer:
            return running.enter_context(ScriptedServer(*replies))

        yield start


@pytest.fixture(params=list(SHELLS))
def connect(
    request: pytest.FixtureRequest,
    skipped_time: SkippedTime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Shell]]:
    """Open clients, blocking ones in one run of the test and asynchronous ones in the other; they pause for no time."""
    # What clients share on one machine, such as the pace of submissions, they share here within one test.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ExitStack() as opened:

        def open_client(url: str, **settings: Any) -> Shell:
            shell: Shell = opened.enter_context(SHELLS[request.param](config(url, **settings)))
            return shell

        yield open_client
