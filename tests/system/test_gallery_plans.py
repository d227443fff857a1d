"""The gallery's queries on PostgreSQL, as ``tests/unit/plugins/test_plans.py`` has them on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.stack.ports import free_port
from tests.stack.postgres import PostgresDatabase
from tests.unit.plugins.plans import fill, plans


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """A server of its own."""
    database = PostgresDatabase(folder=tmp_path / "cluster", port=free_port(), logs=tmp_path)
    database.start()
    try:
        database.prepare(migrate=lambda url: None)
        engine = sa.create_engine(database.url)
        yield engine
        engine.dispose()
    finally:
        database.stop()


def _scanned(connection: sa.Connection, statement: str, parameters: Any) -> list[str]:
    (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    nodes, found = [plan["Plan"]], []
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", ())
        if node["Node Type"] == "Seq Scan":
            found.append(node["Relation Name"])
    return found


def test_postgresql_scans_no_table(engine: sa.Engine) -> None:
    fill(engine)
    found = plans(engine, _scanned)
    assert len(found) >= 8
    # They have no rows: XComs of Airflow before 3.4, and loops.
    empty = {"xcom_v1", "legacy_task_data_owner", "dynamic_region"}
    assert {statement: tables for statement, tables in found.items() if set(tables) - empty} == {}
    with engine.connect() as connection:
        assert _scanned(connection, "SELECT * FROM dag_run WHERE state = 'success'", ()) == ["dag_run"]
