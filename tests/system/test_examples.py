from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT
from tests.stack.environment import clean_environment
from tests.stack.waiting import PATIENCE

EXAMPLES = ROOT / "tests" / "examples"


def test_the_tests_that_the_documentation_shows_pass_in_an_airflow_of_their_own() -> None:
    """In a process of its own, as in a user's project: without this project's settings and fixtures."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "--rootdir",
        EXAMPLES,
        "--confcutdir",
        EXAMPLES,
        "-c",
        "/dev/null",
    ]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", EXAMPLES],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
