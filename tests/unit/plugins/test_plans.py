"""No query of the gallery reads a table from one end to the other. ``tests/system`` has the same for PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.unit.support.airflow_names import AIRFLOW

pytestmark = pytest.mark.needs_airflow("3.1", "the gallery")

if AIRFLOW >= (3, 1):
    from airflow.models.base import Base

    from tests.unit.plugins.plans import fill, plans


def _scanned(connection: sa.Connection, statement: str, parameters: Any) -> list[str]:
    steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    names = [found[1] for step in steps if (found := re.match(r"SCAN (\w+)", step))]
    return [name for name in names if name in Base.metadata.tables]


def test_sqlite_scans_no_table(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/airflow.db")
    # SQLite looks at how many rows have one value, not at how many there are.
    fill(engine, others=1000)
    found = plans(engine, _scanned)
    assert len(found) >= 8
    assert {statement: tables for statement, tables in found.items() if tables} == {}
    # So that this would be seen.
    with engine.connect() as connection:
        assert _scanned(connection, "SELECT * FROM dag_run WHERE state = ?", ("success",)) == ["dag_run"]
