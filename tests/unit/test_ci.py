"""What runs the checks by itself calls what people call."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack import ROOT

RUN = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
STEPS = re.findall(r"^step make (\S+)", RUN, re.MULTILINE)
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_workflow_has_every_step_once() -> None:
    job = _yaml(".github/workflows/ci.yml")["jobs"]["check"]
    assert sorted(job["strategy"]["matrix"]["step"]) == sorted(STEPS)
    assert job["steps"][-1]["run"] == ".ci/run ${{ matrix.step }}"


def test_every_hook_and_step_is_a_target() -> None:
    (repository,) = _yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = [hook["entry"].removeprefix("make ") for hook in repository["hooks"]]
    assert {*hooks, *STEPS} <= {*TARGETS}


@pytest.mark.parametrize(
    ("arguments", "called", "status"),
    [
        ((), STEPS, 0),
        (("lint", "test"), ["lint", "test"], 0),
        (("lint", "tset"), ["lint"], 1),
    ],
)
def test_the_named_steps_run_and_no_other(
    tmp_path: Path, arguments: tuple[str, ...], called: list[str], status: int
) -> None:
    make = tmp_path / "make"
    make.write_text(f"#!/bin/sh\necho $1 >>{tmp_path}/called\n", encoding="utf-8")
    make.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "run", *arguments],
        env={"PYTHON": sys.executable, "PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert (tmp_path / "called").read_text(encoding="utf-8").split() == ["install", *called]
