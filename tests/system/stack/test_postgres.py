from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.programs import postgresql
from tests.stack import PostgresDatabase
from tests.stack.ports import free_port


@pytest.fixture
def database(tmp_path: Path) -> Iterator[PostgresDatabase]:
    """A server with an empty database."""
    made = PostgresDatabase(folder=tmp_path / "cluster", port=free_port(), logs=tmp_path)
    try:
        made.start()
        made.prepare(migrate=lambda _: None)
        yield made
    finally:
        made.stop()


def test_what_was_committed_is_there_after_the_server_was_cut_off(database: PostgresDatabase) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('here')")
        with database.cut_off():
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(database.dsn)
    with psycopg.connect(database.dsn) as connection:
        assert connection.execute("SELECT word FROM kept").fetchall() == [("here",)]


def test_a_stopped_server_answers_no_more_and_leaves_nothing_outside_its_folder(
    database: PostgresDatabase,
) -> None:
    assert database.answers()
    with suppress(psycopg.OperationalError), psycopg.connect(database.dsn):
        database.stop()
    assert not database.answers()
    assert database._substitute is None or not database._substitute.exists()


def test_programs_that_only_their_owner_can_reach_serve_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    package = postgresql().parents[1]
    for folder in package.parent.glob(f"{package.name}*"):
        shutil.copytree(folder, private / folder.name, symlinks=True)
    programs = private / postgresql().relative_to(package.parent)
    monkeypatch.setattr("tests.stack.postgres.postgresql", lambda: programs)
    made = PostgresDatabase(folder=tmp_path / "cluster", port=free_port(), logs=tmp_path)
    try:
        made.start()
        made.prepare(migrate=lambda _: None)
        with psycopg.connect(made.dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        made.stop()
