"""Small objects, each replaced only by whoever has seen its last version. Records, pace and ledger live in such stores.

They are in S3, in any other object storage, in Airflow's task state, or in files of this machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from airflow_provider_wanx.dashscope.errors import ConflictError

ABSENT: Final = ""
"""The version of an object that does not exist."""


@dataclass(frozen=True)
class Version:
    """An object as it was read.

    :param body: its bytes; empty if it does not exist.
    :param etag: what tells this content from any other; :data:`ABSENT` if it does not exist.
    :param time: the store's clock in seconds since 1970, rounded down to a second; None if it tells none.
    """

    body: bytes = b""
    etag: str = ABSENT
    time: float | None = field(default=None, compare=False)


class Store(Protocol):
    """Small objects by name, read and written whole."""

    def url(self, name: str = "") -> str:
        """Return where an object is, or all of them are, for messages and logs."""

    def read(self, name: str) -> Version:
        """Read an object; one that does not exist has the version :data:`ABSENT`."""

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        """Write an object whole.

        :param replacing: the version that it has now; :data:`ABSENT` if it must not exist, None to replace any.
        :return: its new version.
        :raises ConflictError: it has another version.
        :raises UnconditionalStoreError: the store knows no conditions.
        """

    def delete(self, name: str) -> None:
        """Delete an object, if it exists."""


def replace(store: Store, name: str, body: bytes, *, seen: str | None, tries: int = 3) -> str:
    """Write an object that nobody else has written since it was seen.

    :param body: nobody else writes the same, or means the same by it: a write whose answer was lost is recognized by it.
    :param seen: the version; None to replace any.
    :param tries: of a write that is refused although nobody else has written, as S3 does when two requests meet.
    :return: the new version.
    :raises ConflictError: somebody else has written it.
    """
    while True:
        try:
            return store.write(name, body, replacing=seen)
        except ConflictError:
            tries -= 1
            now = store.read(name)
            if now.body == body:
                return now.etag
            if now.etag != seen or not tries:
                raise
