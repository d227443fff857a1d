"""Looking for secrets in everything that Airflow keeps: each table of its database, each file below its home."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

_SIGNATURE = re.compile(
    r"(?i)\b(?:X-Amz-)?(?:Signature|Security-Token|Credential)(?:=|%3D)[\w%+/=-]{8,}|\bOSSAccessKeyId(?:=|%3D)\w{6,}"
)


class Leaks:
    """Finds secrets.

    :param secrets: API keys and the like, as they are; signatures of URLs are found by their form
    """

    def __init__(self, *, secrets: Iterable[str]) -> None:
        words = "|".join(re.escape(secret) for secret in secrets)
        self._words = re.compile(words or r"(?!)")

    def find(self, places: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Search texts.

        :param places: pairs of a place's name and its text
        :return: what was found, by the place's name
        """
        found: dict[str, str] = {}
        for place, text in places:
            match = self._words.search(text) or _SIGNATURE.search(text)
            if match is not None:
                start, end = max(0, match.start() - 60), match.end() + 20
                found.setdefault(place, text[start:end])
        return found


def tables(dsn: str) -> Iterator[tuple[str, str]]:
    """Every row of every table, as text.

    :param dsn: the database, for libpq
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name"
        ).fetchall()
        for (name,) in names:
            query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(name))
            for (row,) in connection.execute(query):
                yield f"table {name}", row


def trigger_rows(rows: Iterable[str], *, fernet_key: str) -> Iterator[tuple[str, str]]:
    """Rows of the trigger table as they were while somebody waited, with their arguments decrypted where they are encrypted.

    :param rows: class path and arguments, with a blank between
    :param fernet_key: Airflow's
    """
    fernet = Fernet(fernet_key)
    for row in rows:
        path, _, arguments = row.partition(" ")
        plain = arguments if arguments.startswith("{") else fernet.decrypt(arguments).decode()
        yield "table trigger, earlier", f"{path} {plain}"


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield f"file {path.relative_to(folder)}", path.read_text(errors="replace")
