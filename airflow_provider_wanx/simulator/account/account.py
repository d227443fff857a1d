"""The account: everything that a reset makes new."""

from __future__ import annotations

import asyncio

from airflow_provider_wanx.simulator.account.ledger import Ledger
from airflow_provider_wanx.simulator.account.limits import RateLimits
from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.clock import Clock
from airflow_provider_wanx.simulator.errors import ServiceError
from airflow_provider_wanx.simulator.faults import Faults
from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting.files import Item
from airflow_provider_wanx.simulator.painting.workshop import Workshop
from airflow_provider_wanx.simulator.settings import Settings
from airflow_provider_wanx.simulator.storage.inputs import InputReader
from airflow_provider_wanx.simulator.storage.results import ResultStore
from airflow_provider_wanx.simulator.storage.signing import Signer
from airflow_provider_wanx.simulator.storage.uploads import UploadStore
from airflow_provider_wanx.simulator.tasks.job import Job
from airflow_provider_wanx.simulator.tasks.queues import JobBoard

# For whoever lets the clock jump, in real seconds: inputs may be slow to come.
_PATIENCE = 10.0


class Account:
    """The only account of a service, and all that belongs to it; every key that is accepted is one of its keys.

    :param settings: how the service behaves.
    """

    def __init__(self, *, settings: Settings) -> None:
        self.settings = settings
        self.api_keys = frozenset(settings.api_keys)
        self.clock = Clock(speed=settings.speed)
        self.limits = RateLimits(clock=self.clock, fixed=settings.rate_windows == "fixed")
        self.ledger = Ledger()
        self.faults = Faults(seed=settings.seed)
        self.closing = asyncio.Event()
        signer = Signer()
        self.uploads = UploadStore(settings=settings, clock=self.clock, signer=signer)
        self.results = ResultStore(settings=settings, clock=self.clock, signer=signer)
        self._workshop = Workshop()
        self._inputs = InputReader(
            uploads=self.uploads,
            faults=self.faults,
            workshop=self._workshop,
            settings=settings,
            fetched=self.ledger.count_input,
        )
        self.board = JobBoard(settings=settings, clock=self.clock, faults=self.faults, make=self._make)

    async def close(self) -> None:
        """Stop everything that is under way."""
        self.closing.set()
        self.board.close()
        await self._inputs.close()
        self._workshop.close()

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
        for number, url in enumerate(job.order.sources):
            try:
                source = await self._inputs.read(job.order, url, task_id=job.task_id)
            except ServiceError as error:
                items.append(Item(number=number, source=url, code=error.code, message=error.message))
            else:
                items.append(await self._workshop.transcribe(source, number=number))
        if all(item.blob is None for item in items):
            raise ServiceError(code=items[0].code, message=items[0].message)
        return tuple(items)
