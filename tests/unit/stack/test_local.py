from __future__ import annotations

import fcntl
import sys
from pathlib import Path

import pytest

from tests.stack import Installation, LocalStack, SqliteDatabase, StackConfig, StackError
from tests.stack.process import ManagedProcess

# Stands for the interpreter, and is called as "python -m airflow COMMAND".
_AIRFLOW = """#!/bin/sh
case "$3" in
    {part}) echo "it began"; echo "{reason}"; {end};;
    db) touch "${{AIRFLOW__DATABASE__SQL_ALCHEMY_CONN#sqlite:///}}";;
    *) exec sleep 600;;
esac
"""


def test_a_second_stack_on_the_same_folder_is_refused_and_leaves_the_folder_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.touch()
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack = LocalStack(config=StackConfig(data=tmp_path, dag_bundles={}))
        with pytest.raises(StackError, match="Another stack is running"), stack:
            pytest.fail("It was started")
    assert kept.exists()


@pytest.mark.parametrize(
    ("part", "end", "told", "log"),
    [
        ("db", "exit 1", "airflow db migrate ended with status 1 (“in use”)", "migrate.log"),
        ("api-server", "exit 1", "Airflow api-server ended with status 1 (“in use”)", "api-server.log"),
        ("scheduler", "exit 0", "Airflow scheduler ended with status 0 (“in use”)", "scheduler.log"),
        (
            "dag-processor",
            "exit 1",
            "Airflow dag-processor ended with status 1 (“in use”)",
            "dag-processor.log",
        ),
        ("triggerer", "kill -9 $$", "Airflow triggerer was ended by signal 9", "triggerer.log"),
    ],
)
def test_a_stack_that_cannot_start_tells_in_one_sentence_what_and_why_and_where_its_log_is(
    tmp_path: Path, part: str, end: str, told: str, log: str
) -> None:
    python = tmp_path / "python"
    python.write_text(_AIRFLOW.format(part=part, end=end, reason="in use"))
    python.chmod(0o755)
    installation = Installation(python=python, airflow="3.3.2")
    home = tmp_path / "stack" / "airflow"
    database = SqliteDatabase(
        file=home / "airflow.db", templates=tmp_path / "templates", installation=installation
    )
    config = StackConfig(
        data=tmp_path / "stack",
        dag_bundles={},
        with_simulator=False,
        database=database,
        installation=installation,
    )
    stack = LocalStack(config=config)
    with pytest.raises(StackError) as caught, stack:
        pytest.fail("It was started")
    assert str(caught.value) == f"{told}; its log is {home / 'logs' / log}"
    assert not any(process.running for process in [*stack.airflow.processes, stack.s3.process])


def test_a_stack_without_its_s3_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = LocalStack(config=StackConfig(data=tmp_path, dag_bundles={}, with_simulator=False))
    process: ManagedProcess = stack.s3.process
    monkeypatch.setattr(process, "command", [sys.executable, "-c", "raise OSError('no room')"])
    monkeypatch.setattr(stack.airflow, "start", lambda: None)
    with pytest.raises(StackError, match=r"local S3 ended with status 1 \(“OSError: no room”\)"), stack:
        pytest.fail("It was started")
