"""One process of the stack, with everything that it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.errors import StackError
from tests.stack import guard
from tests.stack.waiting import PATIENCE, wait_until

_LINES, _WORDS = 40, 200
"""How many lines of a log go into notes, and how many characters of its last line into the message."""


class ManagedProcess:
    """A process in a session of its own, so that Ctrl-C does not reach it and all its descendants can be found.

    It may be started, killed and started again. Whatever happens to this program, the guard ends the session.

    :param command: program and arguments
    :param env: its whole environment
    :param log_file: where its output goes, added to what is there
    """

    def __init__(self, *, name: str, command: Sequence[str], env: Mapping[str, str], log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self.command = list(command)
        self._env = dict(env)
        self._popen: subprocess.Popen[bytes] | None = None
        # More than one where the process was killed and started again, but not what it had started.
        self._sessions: set[int] = set()

    def start(self) -> None:
        """Start it.

        :raises StackError: when it is running already
        """
        if self.running:
            raise StackError(f"{self.name} is running already")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._forget_ended()
        self._sessions.add(self._popen.pid)
        _tell_guard(f"+{self._popen.pid}")

    @property
    def pid(self) -> int:
        """Process id, which is the id of its session as well.

        :raises StackError: when it was never started
        """
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the process itself lives; its descendants don't count."""
        return self._popen is not None and self._popen.poll() is None

    def wait_ready(self, probe: Callable[[], bool], *, timeout: float = PATIENCE) -> None:
        """Wait until the process does its work.

        :param probe: tells whether it does
        :raises StackError: when it ends or the time is over
        """

        def ready_or_dead() -> bool:
            self.raise_if_ended()
            return probe()

        wait_until(
            ready_or_dead,
            timeout=timeout,
            what=f"{self.name} to get ready, whose log is {shown(self.log_file)}",
        )

    def raise_if_ended(self) -> None:
        """Tell that it is not running any more.

        :raises StackError: when it has ended, with its last words and the place of its log
        """
        status = self._started().poll()
        if status is not None:
            raise failure(self.name, status=status, log_file=self.log_file)

    def kill(self, signum: int = signal.SIGKILL, *, descendants: bool = True) -> None:
        """Send a signal, as an operator or the kernel would; SIGKILL waits until the process is gone.

        :param signum: number of the signal
        :param descendants: whether the processes that it started get it too
        """
        if descendants:
            for session in self._sessions:
                guard.signal_session(session=session, signum=signum)
        elif self.running:
            os.kill(self.pid, signum)
        if signum == signal.SIGKILL and self._popen is not None:
            self._popen.wait()

    def stop(self, *, grace: float = 5.0) -> None:
        """End it and all its descendants.

        :param grace: seconds between SIGTERM and SIGKILL
        """
        stop_all([self], grace=grace)

    def restart(self) -> None:
        """End it with all its descendants and start it again."""
        self.stop()
        self.start()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise StackError(f"{self.name} was never started")
        return self._popen

    def _ended(self) -> bool:
        self._forget_ended()
        return not self.running and not self._sessions

    def _forget_ended(self) -> None:
        for session in [each for each in self._sessions if not guard.session_members(session=each)]:
            self._sessions.remove(session)
            # Its number may be given to a stranger from now on.
            _tell_guard(f"-{session}")


def failure(name: str, *, status: int, log_file: Path) -> StackError:
    """Make the error that tells of a program which has ended and should not have.

    :param status: its exit status, or the negative number of the signal that ended it
    :param log_file: where its output went
    """
    lines = [line.rstrip() for line in log_file.read_text(errors="replace").splitlines() if line.strip()]
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    # What it said last has to do with its end only if it ended by itself.
    words = f" (“{lines[-1].strip()[:_WORDS]}”)" if lines and status >= 0 else ""
    error = StackError(f"{name} {how}{words}; its log is {shown(log_file)}")
    error.add_note("\n".join(["--- the end of its log ---", *lines[-_LINES:]]))
    return error


def run_logged(command: Sequence[str], *, name: str, env: Mapping[str, str], log_file: Path) -> None:
    """Run a program to its end.

    :param command: program and arguments
    :param env: its whole environment
    :param log_file: where its output goes, added to what is there
    :raises StackError: when it fails
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as log:
        # Not in a folder that another user, as whom it may run, cannot enter.
        done = subprocess.run(command, env=env, stdout=log, stderr=subprocess.STDOUT, check=False, cwd="/")
    if done.returncode:
        raise failure(name, status=done.returncode, log_file=log_file)


def shown(path: Path) -> str:
    """Write a path as short as it can be opened from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def stop_all(processes: Iterable[ManagedProcess], *, grace: float = 5.0) -> None:
    """End processes with all their descendants, side by side.

    :param processes: those never started are passed over
    :param grace: seconds between SIGTERM to each process itself and SIGKILL to whatever is left
    """
    started = [process for process in processes if process._popen is not None]
    for process in started:
        process.kill(signal.SIGTERM, descendants=False)
    try:
        wait_until(lambda: all(each._ended() for each in started), timeout=grace, what="an orderly end")
    except StackError:
        for process in started:
            process.kill(signal.SIGKILL)
        wait_until(lambda: all(each._ended() for each in started), what="the end after SIGKILL")


@cache
def _guard() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", str(Path(guard.__file__))],
        stdin=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


_GUARD_LOCK = threading.Lock()


def _tell_guard(line: str) -> None:
    with _GUARD_LOCK:
        pipe = _guard().stdin
        if pipe is None:
            raise StackError("The guard has no input")
        pipe.write(f"{line}\n")
        pipe.flush()
