"""One simulated service: everything that a reset makes new."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_wanx.simulator import shapes
from airflow_provider_wanx.simulator.catalogue import Family, Order
from airflow_provider_wanx.simulator.clock import Clock
from airflow_provider_wanx.simulator.errors import ServiceError
from airflow_provider_wanx.simulator.faults import Faults
from airflow_provider_wanx.simulator.inputs import InputReader
from airflow_provider_wanx.simulator.jobs import Job, JobBoard
from airflow_provider_wanx.simulator.ledger import Ledger
from airflow_provider_wanx.simulator.limits import RateWindow
from airflow_provider_wanx.simulator.products import Item, Workshop
from airflow_provider_wanx.simulator.results import ResultStore
from airflow_provider_wanx.simulator.settings import Settings
from airflow_provider_wanx.simulator.signing import Signer
from airflow_provider_wanx.simulator.uploads import UploadStore

# Pillow leaves the interpreter lock while it works, so two threads do use two cores.
_PAINTERS = 2

# For whoever lets the clock jump, in real seconds: inputs may be slow to come.
_PATIENCE = 10.0


class World:
    """The state of one service with one account: every key that is accepted belongs to it.

    :param settings: how it behaves.
    """

    def __init__(self, *, settings: Settings) -> None:
        self.settings = settings
        self.api_keys = frozenset(settings.api_keys)
        self.clock = Clock(speed=settings.speed)
        self.ledger = Ledger()
        self.faults = Faults(seed=settings.seed)
        self.closing = asyncio.Event()
        signer = Signer()
        self.uploads = UploadStore(settings=settings, clock=self.clock, signer=signer)
        self.results = ResultStore(settings=settings, clock=self.clock, signer=signer)
        self._executor = ThreadPoolExecutor(max_workers=_PAINTERS, thread_name_prefix="dashscope-painter")
        self._workshop = Workshop(executor=self._executor)
        self._inputs = InputReader(
            uploads=self.uploads,
            faults=self.faults,
            executor=self._executor,
            timeout=settings.fetch_timeout,
            fetched=self.ledger.count_input,
        )
        self.board = JobBoard(
            settings=settings,
            clock=self.clock,
            faults=self.faults,
            make=self._make,
            describe=lambda job: shapes.list_row(job, clock=self.clock),
        )
        self._windows: dict[tuple[str, str], RateWindow] = {}

    async def close(self) -> None:
        """Stop everything that is under way."""
        self.closing.set()
        self.board.close()
        await self._inputs.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def admit(self, endpoint: str, *, rate: float, model: str = "") -> None:
        """Count a request against a limit.

        :param endpoint: what is limited.
        :param rate: requests per second; 0 is no limit.
        :param model: where each model has its own limit.
        :raises ServiceError: it is one too many.
        """
        window = self._windows.get((endpoint, model))
        if window is None:
            fixed = self.settings.rate_windows == "fixed"
            window = self._windows[endpoint, model] = RateWindow(clock=self.clock, rate=rate, fixed=fixed)
        if not window.admit():
            raise ServiceError.of_status(429)

    async def inspect(self, order: Order) -> None:
        """Read an order's inputs without doing anything with them.

        :raises ServiceError: one of them is refused.
        """
        for url in order.sources:
            await self._inputs.read(order, url, task_id=None)

    async def settle(self) -> None:
        """Wait until everything has happened that is due, as after a jump of the clock, but not for ever."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.board.caught_up()
        except TimeoutError:
            return

    async def _make(self, job: Job) -> tuple[Item, ...]:
        if job.order.service.family is Family.TRANSCRIPTIONS:
            return await self._transcribe_each(job)
        sources = [await self._inputs.read(job.order, url, task_id=job.task_id) for url in job.order.sources]
        if sources:
            job.thumbnail = sources[0].thumbnail
        return await self._workshop.make(job.order, sources)

    async def _transcribe_each(self, job: Job) -> tuple[Item, ...]:
        """Let a file that cannot be read fail alone; only when none can does the task fail."""
        items: list[Item] = []
        for url in job.order.sources:
            try:
                source = await self._inputs.read(job.order, url, task_id=job.task_id)
            except ServiceError as error:
                items.append(Item(source=url, code=error.code, message=error.message))
            else:
                items.append(await self._workshop.transcribe(source))
        if all(item.blob is None for item in items):
            raise ServiceError(code=items[0].code, message=items[0].message)
        return tuple(items)
