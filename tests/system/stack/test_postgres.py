from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.stack import PostgresDatabase, StackError
from tests.stack.ports import free_port


@pytest.fixture
def database(tmp_path: Path) -> Iterator[PostgresDatabase]:
    """A server with an empty database, where Debian's programs are installed."""
    try:
        made = PostgresDatabase(folder=tmp_path / "cluster", port=free_port(), logs=tmp_path)
    except StackError as error:
        pytest.skip(str(error))
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


def test_without_the_server_programs_the_message_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tests.stack.postgres._DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StackError, match="apt install postgresql"):
        PostgresDatabase(folder=tmp_path / "cluster", port=free_port(), logs=tmp_path)
