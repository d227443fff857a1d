"""Small files of this machine, which all its processes share."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none: there, each process paces itself only.
    fcntl = None  # type: ignore[assignment]

LOCK_SECONDS = 15.0
"""For which the lock of a file is waited for. A slow disk takes seconds to keep what is written, and nothing takes longer."""

LOCK_PAUSE_SECONDS = 0.005

STALE_AFTER_SECONDS = 24 * 3600.0
"""Seconds after which files of accounts that nobody uses any more are removed."""

_HERE: dict[str, bytes] = {}
_LOCK = threading.Lock()


def update(name: str, change: Callable[[bytes], bytes]) -> None:
    """Change a file of up to 4 KiB while nobody else does; where no file can be had, what this process keeps in its place.

    :param change: gets its content, empty if there is none, and returns the new one.
    """
    with contextlib.suppress(OSError), _locked(name) as file:
        body = change(os.pread(file, 4096, 0))
        os.pwrite(file, body, 0)
        os.ftruncate(file, len(body))
        return
    with _LOCK:
        _HERE[name] = change(_HERE.get(name, b""))


@contextmanager
def _locked(name: str) -> Iterator[int]:
    """Open an account's file with the lock held.

    :raises OSError: it cannot be had, or not soon: whoever holds the lock may have been stopped.
    """
    path = private_directory() / name
    if not path.exists():
        remove_old(path.parent.iterdir())
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        take_lock(file)
        yield file
    finally:
        os.close(file)


def take_lock(file: int) -> None:
    """Take the lock of an open file; closing it gives the lock back, and so does the end of the process.

    :raises TimeoutError: others have held it for :data:`LOCK_SECONDS`.
    :raises OSError: this system has no locks.
    """
    if fcntl is None:
        raise OSError("This system has no file locks.")
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(f"Other processes have held its lock for {LOCK_SECONDS:g} s") from None
        time.sleep(LOCK_PAUSE_SECONDS)


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


def remove_old(files: Iterable[Path]) -> None:
    """Remove those files that nobody has written for :data:`STALE_AFTER_SECONDS`."""
    for path in files:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_AFTER_SECONDS:
                path.unlink()
