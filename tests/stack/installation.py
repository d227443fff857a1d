"""Which Airflow is started: one that is installed beside this program, or an older one in an environment of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.version import Version


@dataclass(frozen=True, kw_only=True)
class Installation:
    """An Airflow in a Python environment, with this package in it.

    :param python: the environment's interpreter
    :param airflow: version of Airflow
    :param postgres_driver: what SQLAlchemy reaches PostgreSQL through there; Airflow before 3.2 knows no ``psycopg``
    """

    python: Path
    airflow: str
    postgres_driver: str = "psycopg"

    @classmethod
    def own(cls) -> Installation:
        """The one that this program could import."""
        try:
            airflow = version("apache-airflow-core")
        except PackageNotFoundError:  # Airflow 2 is in one piece
            airflow = version("apache-airflow")
        return cls(python=Path(sys.executable), airflow=airflow)

    @property
    def is_airflow_2(self) -> bool:
        """Whether it has a webserver with another REST API, and tasks that use the database."""
        return Version(self.airflow).major == 2
