from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stack import ROOT, ManagedProcess, StackError, stop_all, wait_until
from tests.stack.environment import clean_environment
from tests.stack.guard import session_members
from tests.stack.waiting import PATIENCE

# Takes a process group of its own, as Airflow's tasks do, and will not end on request.
_STUBBORN_CHILD = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
    print("ready", flush=True)
time.sleep(600)
"""

_PARENT = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored signals are inherited, as those of nohup are
from tests.stack import ManagedProcess
from tests.stack.environment import clean_environment

process = ManagedProcess(
    name="child", command=[sys.executable, "-c", sys.argv[1]], env=clean_environment(), log_file=Path(sys.argv[2])
)
process.start()
print(process.pid, flush=True)
time.sleep(600)
"""


def _has_both(session: int, log_file: Path) -> bool:
    return "ready" in log_file.read_text() and len(session_members(session=session)) == 2


def test_no_descendant_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    def outlived(signum: signal.Signals) -> list[int]:
        log_file = tmp_path / signum.name
        parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT, _STUBBORN_CHILD, str(log_file)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        with parent:
            assert parent.stdout is not None
            session = int(parent.stdout.readline())
            wait_until(lambda: _has_both(session, log_file), what="both processes")
            parent.send_signal(signum)
            parent.wait(timeout=PATIENCE)
        wait_until(lambda: not session_members(session=session), what="their end")
        return session_members(session=session)

    # The guard gives each of them some seconds to end by themselves.
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(outlived, [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])) == [[], [], []]


def test_stop_ends_descendants_that_ignore_the_request(tmp_path: Path) -> None:
    process = _child(_STUBBORN_CHILD, tmp_path)
    process.start()
    wait_until(lambda: _has_both(process.pid, process.log_file), what="both processes")
    stop_all([process], grace=0.2)
    assert session_members(session=process.pid) == []


def test_stop_ends_what_an_earlier_start_left_behind(tmp_path: Path) -> None:
    process = _child(_STUBBORN_CHILD, tmp_path)
    process.start()
    first = process.pid
    wait_until(lambda: _has_both(first, process.log_file), what="both processes")
    process.kill(descendants=False)
    process.start()
    assert len(session_members(session=first)) == 1
    stop_all([process], grace=0.2)
    assert session_members(session=first) == []


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("sys.exit(3)", "ended with status 3 (“why it ended”)"),
        ("os.kill(os.getpid(), 9)", "was ended by signal 9"),
    ],
)
def test_of_a_process_that_ends_at_once_one_sentence_tells_why_and_where_its_log_is(
    tmp_path: Path, end: str, told: str
) -> None:
    process = _child(f"import os, sys; print('first\\nwhy it ended', flush=True); {end}", tmp_path)
    process.start()
    with pytest.raises(StackError) as caught:
        process.wait_ready(lambda: False)
    assert str(caught.value) == f"child {told}; its log is {process.log_file}"
    assert "first" in caught.value.__notes__[0]


def test_a_killed_process_can_be_started_again(tmp_path: Path) -> None:
    process = _child("import time; time.sleep(600)", tmp_path)
    process.start()
    first = process.pid
    process.kill()
    assert not process.running
    process.start()
    try:
        assert process.running
        assert process.pid != first
    finally:
        process.stop()


def _child(program: str, folder: Path) -> ManagedProcess:
    return ManagedProcess(
        name="child",
        command=[sys.executable, "-c", program],
        env=clean_environment(),
        log_file=folder / "log",
    )
