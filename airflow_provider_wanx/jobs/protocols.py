"""What the verbs need besides a client and a store: a clock, and a log."""

from __future__ import annotations

from typing import Any, Protocol


class Clock(Protocol):
    """The part of the module :mod:`time` that is needed."""

    def time(self) -> float:
        """Return the seconds since 1970."""

    def sleep(self, seconds: float, /) -> None:
        """Let some seconds pass."""


class Log(Protocol):
    """The part of a logger that is needed: Airflow's is no ``logging.Logger`` any more."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log what happened."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log what should not have happened."""
