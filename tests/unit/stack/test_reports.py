from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

_TESTS = """
import pytest
from tests.errors import StackError

@pytest.fixture(scope="session")
def stack():
    error = StackError("The scheduler has ended; its log is here.log")
    error.add_note("the end of its log")
    raise error

@pytest.mark.parametrize("number", range(3))
def test_something(stack, number):
    pass

def test_something_else():
    raise StackError("This is what is tested")
"""


def test_tests_whose_stack_did_not_come_up_tell_it_in_one_sentence_and_the_log_once(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(_TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    report, _, rest = done.stdout.partition("FAILURES")
    assert report.count("The scheduler has ended; its log is here.log") == 3
    assert report.count("the end of its log") == 1
    assert "def stack" not in report
    # What a test finds keeps its traceback.
    assert "def test_something_else" in rest
