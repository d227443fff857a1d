"""A place where the machines of an account find its pace, which the program that uses this package hands in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Seen:
    """A small object as it was read.

    :param body: its bytes; empty if there is none.
    :param version: what tells this content from any other; None if there is none.
    :param time: the place's own clock in seconds since 1970, rounded down to a second; None if it tells none.
    """

    body: bytes = b""
    version: str | None = None
    time: float | None = None


class SharedPlace(Protocol):
    """Small objects that all machines read, and that only who has seen the last version replaces.

    Whatever goes wrong may be raised as it is. :class:`UnconditionalStoreError` says that trying again is of no use.
    """

    @property
    def where(self) -> str:
        """The place, for logs."""

    def read(self, name: str) -> Seen:
        """Read an object."""

    def write(self, name: str, body: bytes, *, replacing: Seen) -> bool:
        """Replace an object.

        :param replacing: what was read.
        :return: False if somebody else has written it since, and so nothing was written.
        """
