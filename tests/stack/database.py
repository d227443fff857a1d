"""Databases that Airflow can run on."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.stack.installation import Installation


class Database(Protocol):
    """A database server, or a file in its place."""

    @property
    def url(self) -> str:
        """SQLAlchemy URL."""

    def start(self) -> None:
        """Start the server where there is one."""

    def prepare(self, *, migrate: Callable[[str], None]) -> None:
        """Make an empty Airflow database of it.

        :param migrate: migrates the database with the given SQLAlchemy URL
        """

    def stop(self) -> None:
        """End the server where there is one."""


class SqliteDatabase:
    """A new SQLite file each time, copied from one that was migrated once for this Airflow and Python.

    :param file: where the database lies
    :param templates: folder that keeps migrated databases
    """

    def __init__(self, *, file: Path, templates: Path, installation: Installation) -> None:
        self._file = file
        self._templates = templates
        self._airflow = installation.airflow

    @property
    def url(self) -> str:
        """SQLAlchemy URL."""
        return f"sqlite:///{self._file}"

    def start(self) -> None:
        """Nothing to start: SQLite has no server."""

    def prepare(self, *, migrate: Callable[[str], None]) -> None:
        """Make an empty Airflow database of it.

        :param migrate: migrates the database with the given SQLAlchemy URL
        """
        for old in self._file.parent.glob(f"{self._file.name}*"):
            old.unlink()
        template = self._templates / f"airflow-{self._airflow}-{sys.implementation.cache_tag}.db"
        template.parent.mkdir(parents=True, exist_ok=True)
        # Several stacks may start at once: one of them migrates.
        with template.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not template.exists():
                self._make(template, migrate=migrate)
        shutil.copyfile(template, self._file)

    def stop(self) -> None:
        """Nothing to end: SQLite has no server."""

    @staticmethod
    def _make(template: Path, *, migrate: Callable[[str], None]) -> None:
        # Under a name of its own until it is whole: a migration may be interrupted.
        unfinished = template.with_suffix(f".{os.getpid()}")
        migrate(f"sqlite:///{unfinished}")
        unfinished.rename(template)
