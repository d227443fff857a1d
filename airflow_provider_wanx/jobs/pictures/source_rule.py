"""Where a picture may come from: what data may name, and what only the author of the DAG may."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.picture_address import is_inline
from airflow_provider_wanx.dashscope.redaction import quoted

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://)|(?:file|local)(?=:)", re.IGNORECASE | re.ASCII)

_BY_SERVICE = frozenset({"https", "http", "oss", "data"})
"""What the service reads itself, or is sent."""

_BY_BUCKET = frozenset({"s3", "gs", "gcs", "abfs", "abfss", "adl"})
"""Stores whose URLs begin with a bucket's name; a connection's id may stand before it."""

_LOCAL = frozenset({"", "file", "local"})


def split_scheme(place: str) -> tuple[str, str]:
    """Return a place's scheme, empty for a path, and the place itself; both without what differs in writing only."""
    text = place.strip()
    if is_inline(text):
        return "data", text if text[:5].lower() == "data:" else f"data:;base64,{text}"
    found = _SCHEME.match(text)
    scheme = found.group().lower() if found else ""
    return scheme, scheme + text[len(scheme) :]


def local_path(place: str) -> str | None:
    """Return the path on this machine that a place stands for; None if it stands for something else."""
    scheme, text = split_scheme(place)
    if scheme not in _LOCAL:
        return None
    return str(Path(text[len(scheme) :].removeprefix(":").removeprefix("//") if scheme else text).absolute())


@dataclass(frozen=True, kw_only=True)
class SourceRule:
    """Who may name which source.

    A task runs with the rights of its worker and its connections. Whoever fills in a trigger form, or writes a manifest or a
    ledger, need not have these rights. So what is not written in the DAG may name the picture's URL only.

    :param allow_local_files: whether data may name files of the worker.
    :param allow_conn_ids: whether data may name Airflow connections, and stores that are only reached through one.
    :param written: what the DAG's author has written, for each argument. It may be a folder, with all that is in it.
    """

    allow_local_files: bool = False
    allow_conn_ids: bool = False
    written: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def check(self, place: str, argument: str) -> None:
        """Refuse a place that only the author may name; what is said does not depend on what exists.

        :param place: URL or path of a picture, a manifest or a folder.
        :param argument: whose value it is, also for the message.
        :raises InvalidInputError: it is refused.
        """
        scheme, text = split_scheme(place)
        # S3 is read by its own library. Airflow's object storage may take what follows a "::" for another place.
        is_chain = "::" in text and scheme != "s3"
        is_plain = scheme in _BY_BUCKET and "@" not in text[len(scheme) + 3 :].partition("/")[0]
        if scheme in _BY_SERVICE or (is_plain and not is_chain) or self._is_written(text, argument):
            return
        if scheme in _LOCAL:
            if not self.allow_local_files:
                raise InvalidInputError(
                    f"{argument} is a path on the worker, which only the DAG's author may choose: {quoted(text)}. Give an "
                    "https:// or s3:// URL, or let the author set allow_local_files=True."
                )
        elif is_chain or not self.allow_conn_ids:
            raise InvalidInputError(
                f"{argument} names a connection or a store that only the DAG's author may choose: {quoted(text)}. Give an "
                "https:// or s3://bucket/key URL, or let the author set allow_conn_ids=True."
            )

    def _is_written(self, text: str, argument: str) -> bool:
        written = self._places.get(argument, frozenset())
        return bool(written) and not written.isdisjoint(_place_and_folders(text))

    @cached_property
    def _places(self) -> dict[str, frozenset[str]]:
        return {
            argument: frozenset(_place_and_folders(split_scheme(each)[1])[0] for each in texts)
            for argument, texts in self.written.items()
        }


ANYWHERE = SourceRule(allow_local_files=True, allow_conn_ids=True)
"""For whoever reads with their own rights, as on the command line."""


def _place_and_folders(text: str) -> list[str]:
    """Return a place, and the folders that it is in, each written in one way only."""
    path = local_path(text)
    if path is None:
        place = text.rstrip("/")
        parts = place.split("/")
        # Scheme and bucket are the first three. What leads upwards is in no folder.
        ends = () if ".." in parts else range(len(parts) - 1, 2, -1)
        return [place, *("/".join(parts[:end]) for end in ends)]
    try:
        # Whoever may write into a folder could lay a link to elsewhere.
        real = Path(path).resolve()
    except (OSError, RuntimeError, ValueError):  # a circle of links, or no path at all
        return [text]
    return [str(real), *map(str, real.parents)]
