"""A command line that is run in this process."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_provider_wanx.cli.definition import make_parser
from airflow_provider_wanx.dashscope import polling
from tests.unit.operators.conftest import bulk, prompt_list, service

__all__ = ["bulk", "prompt_list", "service"]


class Done(NamedTuple):
    """What a command has left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line."""
    monkeypatch.chdir(tmp_path)
    # The local DashScope does not need the real one's time to find a new task.
    monkeypatch.setattr(polling, "UNKNOWN_GRACE_SECONDS", 0.2)
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # Airflow 2 logs to stdout, also what the local DashScope fetches in a thread of this process.
    main = threading.main_thread().ident
    logger = logging.getLogger("httpx")
    monkeypatch.setattr(logger, "filters", [*logger.filters, lambda record: record.thread == main])

    def started(*words: str) -> Done:
        options = make_parser().parse_args(words)
        # Airflow 2 has its log of what the test itself has done there.
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            options.func(options)
        out, err = capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, out, err)

    return started
