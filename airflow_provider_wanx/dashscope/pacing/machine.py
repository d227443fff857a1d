"""The pace of one machine: a small file that all its processes share."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

from airflow_provider_wanx.dashscope.pacing.state import PaceState

try:
    import fcntl
except ImportError:  # Windows has none: there, each process paces itself only.
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

LOCK_TRIES, LOCK_PAUSE = 20, 0.005

KEPT = 24 * 3600.0
"""Seconds after which files of accounts that nobody uses any more are removed."""


class MachineStore:
    """Keeps a state in a file, or in this process where no file can be had.

    :param name: of the state.
    """

    shared_by, lead = "this machine", 0.0

    _here: ClassVar[dict[str, PaceState]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str) -> None:
        self._name = name

    def update(self, change: Callable[[PaceState, float], T]) -> T:
        """Read, change and write the state, alone."""
        with contextlib.suppress(OSError), _locked(self._name) as file:
            state = PaceState.from_bytes(os.pread(file, 4096, 0))
            result = change(state, time.time())
            text = state.to_bytes()
            os.ftruncate(file, 0)
            os.pwrite(file, text, 0)
            return result
        with self._lock:
            return change(self._here.setdefault(self._name, PaceState()), time.time())

    def accepted(self) -> None:
        """Take the news that a submission was accepted."""
        self.update(lambda state, now: state.accepted())


@contextmanager
def _locked(name: str) -> Iterator[int]:
    """Open an account's file with the lock held.

    :raises OSError: it cannot be had, or not soon: whoever holds the lock may have been stopped.
    """
    if fcntl is None:
        raise OSError("This system has no file locks.")
    path = private_directory() / name
    if not path.exists():
        _remove_old(path.parent)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for left in reversed(range(LOCK_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(LOCK_PAUSE)
            else:
                break
        yield file
    finally:
        os.close(file)


def private_directory() -> Path:
    """The directory of this user's files, which nobody else can read or replace.

    :raises OSError: somebody else has taken its name.
    """
    directory = Path(tempfile.gettempdir()) / f"airflow-provider-wanx-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o40077 != 0o40000:
        raise PermissionError(f"{directory} is not a directory of this user alone.")
    return directory


def _remove_old(directory: Path) -> None:
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT:
                path.unlink()
