"""Small objects of one machine: files that all its processes share."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from airflow_provider_wanx.dashscope.errors import ConflictError
from airflow_provider_wanx.dashscope.store import ABSENT, Version

try:
    import fcntl
except ImportError:  # Windows has none: there, each process paces itself only.
    fcntl = None  # type: ignore[assignment]

LOCK_TRIES, LOCK_PAUSE = 20, 0.005

STALE_AFTER_SECONDS = 24 * 3600.0
"""Seconds after which files of accounts that nobody uses any more are removed."""


class MachineStore:
    """Objects of up to 4 KiB in files of this machine, or in this process where no file can be had.

    It is a :class:`~airflow_provider_wanx.dashscope.store.Store`.
    """

    _here: ClassVar[dict[str, bytes]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def url(self, name: str = "") -> str:
        """Say where the objects are."""
        return "this machine"

    def read(self, name: str) -> Version:
        """Read an object."""
        with contextlib.suppress(OSError), _locked(name) as file:
            return _version(os.pread(file, 4096, 0))
        return _version(self._here.get(name, b""))

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        """Write an object.

        :raises ConflictError: it has another version.
        """
        with contextlib.suppress(OSError), _locked(name) as file:
            _check(os.pread(file, 4096, 0), replacing)
            os.ftruncate(file, 0)
            os.pwrite(file, body, 0)
            return _version(body).etag
        with self._lock:
            _check(self._here.get(name, b""), replacing)
            self._here[name] = body
        return _version(body).etag

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._here.pop(name, None)
        with contextlib.suppress(OSError):
            (private_directory() / name).unlink(missing_ok=True)


def _version(body: bytes) -> Version:
    return Version(body, hashlib.sha256(body).hexdigest() if body else ABSENT)


def _check(body: bytes, replacing: str | None) -> None:
    if replacing not in (None, _version(body).etag):
        raise ConflictError("Somebody else has changed a file of this machine in the meantime.")


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
            if time.time() - path.stat().st_mtime > STALE_AFTER_SECONDS:
                path.unlink()
