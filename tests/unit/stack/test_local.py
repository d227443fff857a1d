from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.stack import LocalStack, StackConfig, StackError


def test_a_second_stack_on_the_same_folder_is_refused_and_leaves_the_folder_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.touch()
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack = LocalStack(config=StackConfig(data=tmp_path, dag_bundles={}))
        with pytest.raises(StackError, match="Another stack is running"), stack:
            pytest.fail("It was started")
    assert kept.exists()
