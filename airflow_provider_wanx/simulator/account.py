"""The account: everything that a reset makes new; its limits, and the ledger of what it did."""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.clock import Clock
from airflow_provider_wanx.simulator.errors import ServiceError
from airflow_provider_wanx.simulator.faults import Faults
from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting.making import Item, make, transcribe
from airflow_provider_wanx.simulator.queues import Job, JobBoard, Status
from airflow_provider_wanx.simulator.settings import Settings
from airflow_provider_wanx.simulator.storage.inputs import InputReader
from airflow_provider_wanx.simulator.storage.object_store import ResultStore, Signer, UploadStore


@dataclass(kw_only=True)
class Ledger:
    """Counts what the tasks themselves don't tell: POSTs that were worked on, inputs that were read, result files that were
    sent, and the requests to each endpoint.
    """

    clock: Clock
    submissions: int = 0
    fetched_inputs: int = 0
    downloads: int = 0
    endpoints: dict[str, dict[str, int]] = field(default_factory=dict)

    def count(self, endpoint: str, what: str) -> None:
        """Count a request to an endpoint, or what became of it: refused with 429, another error, or hit by a fault."""
        usual = dict.fromkeys(("requests", "refused", "errors", "faults"), 0)
        self.endpoints.setdefault(endpoint, usual)[what] += 1

    def count_input(self) -> None:
        """Count an input that was read."""
        self.fetched_inputs += 1

    def totals(self, board: JobBoard) -> dict[str, int]:
        """Sum everything up."""
        board.refresh()
        return {
            "submissions": self.submissions,
            "accepted": len(board.all),
            "refused": self.submissions - len(board.all),
            **{status.lower(): count for status, count in board.counts.items()},
            "billed": sum(job.billed for job in board.all),
            "fetched_inputs": self.fetched_inputs,
            "downloads": self.downloads,
        }

    def report(self, board: JobBoard, *, since: float | None = None, summary: bool = False) -> dict[str, Any]:
        """Write the whole book, or a summary without tasks, or one with those submitted from a POSIX time on."""
        report: dict[str, Any] = {
            "now": self.clock.epoch(self.clock.now()),
            "totals": self.totals(board),
            "endpoints": self.endpoints,
        }
        if not summary:
            moment = 0.0 if since is None else self.clock.moment(since)
            start = bisect_left(board.all, moment, key=lambda job: job.submitted)
            report["tasks"] = [_entry(job, self.clock) for job in board.all[start:]]
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


class RateLimits:
    """The limits of all endpoints: so many requests in a window of a second, or of longer where the rate is below one.

    A sliding window is the strictest reading of "N per second": whoever passes it passes a laxer one. A fixed window begins
    anew with every second, so that twice as many requests may come around its turn, and none at its end.
    """

    def __init__(self, *, clock: Clock, fixed: bool) -> None:
        self._clock = clock
        self._fixed = fixed
        self._admitted: dict[tuple[str, str], deque[float]] = {}

    def admit(self, endpoint: str, *, rate: float, model: str = "") -> None:
        """Count a request against a limit. A refused request does not count.

        :param endpoint: what is limited.
        :param rate: requests per second; 0 is no limit.
        :param model: where each model has its own limit.
        :raises ServiceError: it is one too many.
        """
        if not rate:
            return
        capacity, now = max(1, int(rate)), self._clock.now()
        period = capacity / rate
        admitted = self._admitted.setdefault((endpoint, model), deque(maxlen=capacity))
        since = now // period * period if self._fixed else now - period
        if len(admitted) == capacity and admitted[0] > since:
            raise ServiceError.of_status(429)
        admitted.append(now)


# Pillow leaves the interpreter lock while it works, so two threads do use two cores.
_PAINTERS = 2

# For whoever lets the clock jump, in real seconds: inputs may be slow to come.
_PATIENCE = 10.0


class Account:
    """The only account of a service, and all that belongs to it; every key that is accepted is one of its keys."""

    def __init__(self, *, settings: Settings) -> None:
        self.settings = settings
        self.api_keys = frozenset(settings.api_keys)
        self.clock = Clock(speed=settings.speed)
        self.limits = RateLimits(clock=self.clock, fixed=settings.rate_windows == "fixed")
        self.ledger = Ledger(clock=self.clock)
        self.faults = Faults(seed=settings.seed)
        self.closing = asyncio.Event()
        signer = Signer()
        self.uploads = UploadStore(settings=settings, clock=self.clock, signer=signer)
        self.results = ResultStore(settings=settings, clock=self.clock, signer=signer)
        self._painters = ThreadPoolExecutor(_PAINTERS, thread_name_prefix="dashscope-painter")
        self._inputs = InputReader(
            uploads=self.uploads,
            faults=self.faults,
            painters=self._painters,
            settings=settings,
            fetched=self.ledger.count_input,
        )
        self.board = JobBoard(settings=settings, clock=self.clock, faults=self.faults, make=self._make)

    async def close(self) -> None:
        """Stop everything that is under way."""
        self.closing.set()
        self.board.close()
        await self._inputs.close()
        self._painters.shutdown(wait=False, cancel_futures=True)

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Check key and workspace of a request.

        Keys beginning with ``sk-ws-`` belong to sub-accounts: where the simulator was given workspaces, such a key has to
        name one of them; any other key may.

        :raises ServiceError: 401 or 403.
        """
        key = _key(headers)
        if not key:
            raise ServiceError.of_status(401, message="No API-key provided.")
        if key not in self.api_keys if self.api_keys else not key.startswith("sk-"):
            raise ServiceError.of_status(401)
        known, named = self.settings.workspaces, headers.get("x-dashscope-workspace", "")
        if not known or named in known:
            return
        if named:
            raise ServiceError("NOT AUTHORIZED", "Workspace is not authorized.", status=401)
        if key.startswith("sk-ws-"):
            raise ServiceError("Workspace.AccessDenied", "Workspace access denied.", status=403)

    def key_number(self, headers: Mapping[str, str]) -> str:
        """Return the number by which the task list names a key, which tells nothing about the key itself."""
        return str(int(hashlib.sha256(_key(headers).encode()).hexdigest()[:8], 16) % 1_000_000)

    async def inspect(self, order: Order) -> None:
        """Read an order's inputs without doing anything with them; ServiceError says that one is refused."""
        for url in order.sources:
            await self._inputs.read(order, url, task_id=None)

    async def settle(self) -> None:
        """Wait until everything has happened that is due, as after a jump of the clock, but not for ever."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.board.caught_up(), _PATIENCE)

    async def _make(self, job: Job) -> tuple[Item, ...]:
        if job.order.service.family is Family.TRANSCRIPTIONS:
            return await self._transcribe_each(job)
        sources = [await self._inputs.read(job.order, url, task_id=job.task_id) for url in job.order.sources]
        return await asyncio.get_running_loop().run_in_executor(self._painters, make, job.order, sources)

    async def _transcribe_each(self, job: Job) -> tuple[Item, ...]:
        """Let a file that cannot be read fail alone; only when none can does the task fail."""
        items: list[Item] = []
        for number, url in enumerate(job.order.sources):
            try:
                source = await self._inputs.read(job.order, url, task_id=job.task_id)
            except ServiceError as error:
                items.append(Item(number=number, source=url, code=error.code, message=error.message))
            else:
                items.append(transcribe(source, number=number))
        if all(item.data is None for item in items):
            raise ServiceError(items[0].code, items[0].message)
        return tuple(items)


def _key(headers: Mapping[str, str]) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


class Site:
    """One running server: its present account, which a reset replaces."""

    def __init__(self, *, settings: Settings) -> None:
        self.settings = settings
        self.account = Account(settings=settings)

    async def reset(self) -> None:
        """Forget everything."""
        old, self.account = self.account, Account(settings=self.settings)
        await old.close()
