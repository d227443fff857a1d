"""What was seen of tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conformance.core import NotObservedError
from tests.conformance.service.wire import Exchange

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN")


@dataclass
class Track:
    """A submission, and everything that was seen of its task.

    :param submitted: the answer to the submission; None if the package's client submitted it.
    :param began: when the submission had been answered, by the target's clock.
    :param looks: answers about the task, in their order.
    :param refused: why there is no task; empty if there is one.
    :param listed_after: seconds from the answer until the task was in the list.
    """

    submitted: Exchange | None
    task_id: str
    began: float
    looks: list[Exchange] = field(default_factory=list)
    refused: str = ""
    listed_after: float | None = None

    @property
    def first(self) -> Exchange:
        """The first answer about it.

        :raises NotObservedError: there was none.
        """
        if not self.looks:
            raise NotObservedError(self.refused or "the service has told nothing about the task")
        return self.looks[0]

    @property
    def status(self) -> str:
        """The state that was seen last, empty if none was."""
        return str(self.looks[-1].output["task_status"]) if self.looks else ""

    def look(self, status: str) -> Exchange:
        """The first answer with a state.

        :raises NotObservedError: there was none.
        """
        for seen in self.looks:
            if seen.output["task_status"] == status:
                return seen
        if not self.looks:
            return self.first
        passed = ", ".join(dict.fromkeys(str(seen.output["task_status"]) for seen in self.looks))
        last = self.looks[-1].output
        why = f" ({last['code']}: {last.get('message', '')})" if last.get("code") else ""
        raise NotObservedError(f"the task was never seen {status}, but {passed}{why}")


@dataclass
class Queue:
    """Three tasks at once: the first runs, the second waits for it, the third is canceled while it waits."""

    first: Track
    second: Track
    third: Track
    rows_under_way: Exchange
    canceled: Exchange | None = None
    canceled_again: Exchange | None = None
    canceled_running: Exchange | None = None
    canceled_ended: Exchange | None = None
    ended_listed_after: float | None = None

    @property
    def tracks(self) -> tuple[Track, Track, Track]:
        """All three."""
        return self.first, self.second, self.third
