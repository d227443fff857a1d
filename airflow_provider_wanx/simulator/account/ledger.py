"""The account book: what was asked, what was refused, what was billed."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_wanx.simulator.clock import Clock
from airflow_provider_wanx.simulator.tasks.job import Job, Status
from airflow_provider_wanx.simulator.tasks.queues import JobBoard


@dataclass(kw_only=True)
class Tally:
    """Requests to one endpoint.

    :param requests: all that arrived.
    :param refused: answered with 429.
    :param errors: answered with another error.
    :param faults: hit by a fault.
    """

    requests: int = 0
    refused: int = 0
    errors: int = 0
    faults: int = 0


@dataclass(kw_only=True)
class Ledger:
    """Counts what the tasks themselves don't tell.

    :param submissions: POSTs that reached the service and were worked on.
    :param fetched_inputs: inputs that were read.
    :param downloads: result files that were sent, whole or in part.
    :param endpoints: requests by endpoint.
    """

    submissions: int = 0
    fetched_inputs: int = 0
    downloads: int = 0
    endpoints: dict[str, Tally] = field(default_factory=dict)

    def tally(self, endpoint: str) -> Tally:
        """Return the counts of one endpoint."""
        return self.endpoints.setdefault(endpoint, Tally())

    def count_input(self) -> None:
        """Count an input that was read."""
        self.fetched_inputs += 1

    def totals(self, board: JobBoard) -> dict[str, int]:
        """Sum everything up."""
        counts = board.counts
        return {
            "submissions": self.submissions,
            "accepted": len(board.all),
            "refused": self.submissions - len(board.all),
            "pending": counts[Status.PENDING],
            "running": counts[Status.RUNNING],
            "succeeded": counts[Status.SUCCEEDED],
            "failed": counts[Status.FAILED],
            "canceled": counts[Status.CANCELED],
            "unknown": counts[Status.UNKNOWN],
            "billed": sum(job.billed for job in board.all),
            "fetched_inputs": self.fetched_inputs,
            "downloads": self.downloads,
        }

    def report(
        self, board: JobBoard, *, clock: Clock, since: float | None = None, summary: bool = False
    ) -> dict[str, Any]:
        """Write the whole book.

        :param board: the tasks.
        :param clock: translates times.
        :param since: only tasks submitted from this POSIX time on.
        :param summary: leave the tasks out.
        """
        report: dict[str, Any] = {
            "now": clock.epoch(clock.now()),
            "totals": self.totals(board),
            "endpoints": {name: asdict(tally) for name, tally in self.endpoints.items()},
        }
        if not summary:
            start = (
                0
                if since is None
                else bisect_left(board.all, clock.moment(since), key=lambda job: job.submitted)
            )
            report["tasks"] = [_entry(job, clock) for job in board.all[start:]]
        return report


def _entry(job: Job, clock: Clock) -> dict[str, Any]:
    return {
        "task_id": job.task_id,
        "request_id": job.request_id,
        "model": job.order.model,
        "service": job.order.service.path,
        "input_fingerprint": job.fingerprint,
        "image_url": shown_url(job.order.sources[0]) if job.order.sources else "",
        "style_index": job.order.style,
        "status": str(job.status),
        "code": job.code,
        "submit_time": clock.epoch(job.submitted),
        "start_time": None if job.started is None else clock.epoch(job.started),
        "end_time": None if job.ended is None else clock.epoch(job.ended),
        "billed": job.billed,
        "polls": job.polls,
        "downloads": job.downloads,
        "canceled": job.status is Status.CANCELED,
    }


def shown_url(url: str) -> str:
    """Shorten a URL to what may be shown: without its query, which can be a secret, and without inlined bytes."""
    if url.startswith("data:"):
        return f"{url.partition(',')[0]},… ({len(url)} characters)"
    return url.partition("?")[0]
