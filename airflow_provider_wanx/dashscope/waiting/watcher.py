"""Many waits, one poller: all tasks that one event loop waits for on one account share a client, a budget and a poller.

:mod:`polling` decides what follows from a look at a task, :mod:`schedule` whom to look at next, :mod:`task_list` which pages of
the list to read, :mod:`budget` how often. This module does the input and output.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import httpx

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import AuthenticationError, ProviderError, ThrottledError
from airflow_provider_wanx.dashscope.observing import WAITS
from airflow_provider_wanx.dashscope.polling import TaskWait
from airflow_provider_wanx.dashscope.waiting.budget import GET_SHARES, LIST_SHARES, Budget
from airflow_provider_wanx.dashscope.waiting.schedule import Schedule
from airflow_provider_wanx.dashscope.waiting.task_list import ListPlan, Query
from airflow_provider_wanx.dashscope.waiting.waits import Group, Log, Outcome, Waits

logger = logging.getLogger(__name__)

Renew = Callable[[], Awaitable[ClientConfig]]
Account = tuple[str, str, str | None]

LOOK_TIMEOUT = 20.0
"""Seconds without a byte after which a look is given up: it is repeated anyway."""

SECOND_OPINION = 2.0
"""Seconds after which a refused key is tried once more before all waits are given up."""

STALL = 0.2
"""Seconds by which this may wake too late before the event loop counts as held up by someone."""

IDLE = 60.0
"""Seconds after which this looks around although nothing is planned."""

AT_A_TIME = 500
"""Tasks that are taken in before the event loop gets its turn."""

SELDOM = 300.0
"""Seconds between two log lines about the same trouble."""

WAITS_EVERY = 5.0
"""Seconds between two measurements of how many tasks are waited for, while that changes."""


@dataclass(frozen=True)
class Budgets:
    """The budgets of the two endpoints that tell how tasks are; each has a limit of its own."""

    get: Budget
    list: Budget

    @classmethod
    def of(cls, limit: float, *, now: float) -> Budgets:
        """Make them for a limit in requests per second."""
        return cls(
            get=Budget(limit=limit, shares=GET_SHARES, now=now),
            list=Budget(limit=limit, shares=LIST_SHARES, now=now),
        )


class TaskWatcher:
    """Waits for any number of tasks of one account. Make it inside an event loop, and close it there.

    :param config: how to reach the service.
    :param renew: reads the configuration anew; called when the service refuses the key, which may have been replaced.
    :param budgets: the requests that may be sent.
    :param transport: sends the requests instead of httpx's own, for example in tests.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        renew: Renew | None = None,
        budgets: Budgets | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        limit = config.limits.requests_per_second
        self.config = config
        self._renew = renew
        self._loop = asyncio.get_running_loop()
        self._budgets = budgets or Budgets.of(limit, now=self._loop.time())
        self._schedule = Schedule(limit=limit, rate=self._budgets.get.usual_rate)
        self._plan = ListPlan(self._schedule)
        self._transport = transport
        self._client = self._make_client()
        self._waits = Waits(self._schedule, observe=config.observe)
        self._wake = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._key_refused: ProviderError | None = None
        self._asking_for_key = False
        self._told: dict[str, float] = {}
        self._told_waits = (0, float("-inf"))

    def __len__(self) -> int:
        """Return the number of tasks waited for."""
        return len(self._waits)

    async def wait(self, waits: Iterable[TaskWait], *, log: Log | None = None) -> Outcome:
        """Wait until every task has ended or its wait is given up.

        :param waits: what to wait for; cancelling this call leaves nothing of them behind.
        :param log: is told how the tasks are getting on.
        """
        mine = list(waits)
        group = Group(size=len(mine), done=self._loop.create_future(), log=log)
        if not mine:
            return group.outcome
        taken = 0
        try:
            for wait in mine:
                self._waits.add(wait, group, now=self._loop.time(), wall=time.time())
                taken += 1
                if taken % AT_A_TIME == 0:
                    await asyncio.sleep(0)
            self._begin()
            await group.done
        finally:
            if group.left:
                self._waits.leave(mine[:taken], group)
        return group.outcome

    async def close(self) -> None:
        """Stop looking and close all connections; waits under way are cancelled."""
        stopping = [task for task in (self._poller, *self._requests) if task is not None]
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)
        self._waits.break_off()
        self.config.observe(WAITS, 0, {})
        await self._client.close()

    def _begin(self) -> None:
        self._wake.set()
        if self._poller is None:
            # In a context of its own: what the first caller has bound there, such as where its logs go, ends with it.
            self._poller = self._loop.create_task(self._poll(), context=Context())
            self._poller.add_done_callback(self._poller_ended)

    def _poller_ended(self, poller: asyncio.Task[None]) -> None:
        """Let nobody wait for a poller that is no more."""
        if not poller.cancelled() and (error := poller.exception()) is not None:
            self._waits.break_off(error)

    async def _poll(self) -> None:
        while True:
            self._wake.clear()
            now = self._loop.time()
            self._waits.expire(time.time())
            self._waits.report(
                time.time(),
                requests=self._budgets.get.sent + self._budgets.list.sent,
                refused=self._budgets.get.refusals + self._budgets.list.refusals,
            )
            self._watch_health(now)
            self._tell_waits(now)
            if not self._asking_for_key:
                self._start_looks(now)
                self._start_query(now)
            await self._sleep_until(self._next_step(self._loop.time()))

    async def _sleep_until(self, moment: float) -> None:
        """Sleep until there is something to do, or an answer or another wait comes."""
        try:
            async with asyncio.timeout(max(0.0, min(moment - self._loop.time(), IDLE))):
                await self._wake.wait()
        except TimeoutError:
            late = self._loop.time() - moment
            if late > STALL:
                self._budgets.get.stalled(now=self._loop.time(), seconds=late)
                self._budgets.list.stalled(now=self._loop.time(), seconds=late)

    def _next_step(self, now: float) -> float:
        """The moment at which there is something to do, infinite if only an answer can bring it."""
        moments = [now + max(0.05, self._waits.deadline - time.time())]
        if not self._asking_for_key:
            moments.append(max(self._schedule.next_task_at(now), self._budgets.get.next_at(now)))
            if not self._schedule.few:
                plan_at = self._plan.next_at(now)
                moments.append(plan_at if self._plan.busy else max(plan_at, self._budgets.list.next_at(now)))
        return min(moments)

    def _start_looks(self, now: float) -> None:
        budget = self._budgets.get
        while budget.next_at(now) <= now:
            task_id = self._schedule.next_task(now)
            if task_id is None:
                return
            budget.take(now)
            self._start(self._look(task_id, now), budget)

    def _start_query(self, now: float) -> None:
        budget = self._budgets.list
        if self._schedule.few or budget.next_at(now) > now:
            return
        query = self._plan.next_query(now)
        if query is not None:
            budget.take(now)
            self._start(self._read(query, now), budget)

    def _start(self, request: Coroutine[Any, Any, None], budget: Budget | None = None) -> None:
        task = self._loop.create_task(request)
        self._requests.add(task)
        task.add_done_callback(partial(self._request_ended, budget))

    def _request_ended(self, budget: Budget | None, request: asyncio.Task[None]) -> None:
        self._requests.discard(request)
        self._wake.set()
        # Not in the request itself: one that is cancelled before its first step never gets there.
        if request.cancelled() and budget is not None:
            budget.drop()
        if not request.cancelled() and (error := request.exception()) is not None and self._poller:
            # Not an error of the service but of this module: whoever waits must learn of it.
            logger.error("Waiting for DashScope tasks broke down", exc_info=error)
            self._poller.cancel()
            self._waits.break_off(error)

    async def _look(self, task_id: str, sent_at: float) -> None:
        budget, client = self._budgets.get, self._client
        try:
            task = await client.send_once(endpoints.get_task(task_id))
        except ThrottledError as error:
            now = self._loop.time()
            budget.refused(sent_at=sent_at, now=now, retry_after=error.retry_after)
            self._schedule.put_back(task_id, now=now, pause=error.retry_after)
        except AuthenticationError as error:
            budget.answered(sent_at=sent_at, now=self._loop.time())
            self._schedule.put_back(task_id, now=self._loop.time())
            # One that was under way when the key was replaced says nothing about the new one.
            if client is self._client:
                self._doubt_key(error, final=True)
        except ProviderError as error:
            if error.retryable:
                budget.failed(now=self._loop.time(), retry_after=getattr(error, "retry_after", None))
            else:
                budget.answered(sent_at=sent_at, now=self._loop.time())
            self._waits.decide(task_id, error, now=self._loop.time(), wall=time.time())
        else:
            budget.answered(sent_at=sent_at, now=self._loop.time())
            self._key_refused = None
            self._waits.decide(task_id, task, now=self._loop.time(), wall=time.time())

    async def _read(self, query: Query, sent_at: float) -> None:
        budget, client = self._budgets.list, self._client
        try:
            page = await client.send_once(query.call())
        except ThrottledError as error:
            budget.refused(sent_at=sent_at, now=self._loop.time(), retry_after=error.retry_after)
            self._plan.put_back()
        except ProviderError as error:
            budget.answered(sent_at=sent_at, now=self._loop.time())
            self._plan.failed(error, now=self._loop.time())
            if isinstance(error, AuthenticationError) and client is self._client:
                self._doubt_key(error, final=False)
        else:
            budget.answered(sent_at=sent_at, now=self._loop.time())
            for task_id, queued in self._plan.read(page, now=self._loop.time(), wall=time.time()):
                self._waits.running(task_id, queued=queued)

    def _doubt_key(self, error: ProviderError, *, final: bool) -> None:
        if not self._asking_for_key:
            self._asking_for_key = True
            self._start(self._ask_for_key(error, final=final))

    async def _ask_for_key(self, error: ProviderError, *, final: bool) -> None:
        """Go on with the connection as it reads now, or give up: no other task would fare better with this key.

        :param final: whether a second refusal in a row is the end; of the task list alone it is not.
        """
        config = await self._renewed()
        if config is not None and account_of(config) != account_of(self.config):
            logger.info("The DashScope connection has changed; %s tasks go on with it.", len(self))
            self.config = config
            self._client, old = self._make_client(), self._client
            self._plan.try_again()
            await old.close()
        elif final and self._key_refused is None:
            self._key_refused = error
            await asyncio.sleep(SECOND_OPINION)
        elif final:
            for task_id in self._waits:
                self._waits.decide(task_id, error, now=self._loop.time(), wall=time.time())
        self._asking_for_key = False

    async def _renewed(self) -> ClientConfig | None:
        if self._renew is None:
            return None
        try:
            return await self._renew()
        except Exception as error:  # noqa: BLE001
            # Whatever the host says of its own connections, the service's refusal is the news.
            logger.warning("The DashScope connection could not be read again: %s", type(error).__name__)
            return None

    def _make_client(self) -> AsyncDashScopeClient:
        config = replace(self.config, timeout=min(self.config.timeout, LOOK_TIMEOUT))
        return AsyncDashScopeClient(config, transport=self._transport)

    def _watch_health(self, now: float) -> None:
        works = self._plan.works(now) and not self._budgets.list.in_trouble
        if works != self._schedule.list_works:
            self._schedule.list_works = works
            self._tell(
                "list",
                "The DashScope task list %s; %s waiting tasks.",
                "can be read again" if works else "cannot be read, so that each task is asked for by itself",
                len(self),
            )

    def _tell_waits(self, now: float) -> None:
        """Tell how many tasks are waited for: when that has changed, but not every moment, and now and then in any case."""
        number, told_at = self._told_waits
        if now - told_at >= (WAITS_EVERY if len(self) != number else IDLE):
            self._told_waits = len(self), now
            self.config.observe(WAITS, len(self), {})

    def _tell(self, topic: str, message: str, *values: object) -> None:
        """Log a change, but not every time in a long trouble."""
        now = self._loop.time()
        if now - self._told.get(topic, float("-inf")) >= SELDOM:
            self._told[topic] = now
            logger.warning(message, *values)


def account_of(config: ClientConfig) -> Account:
    """Tell whose limits a configuration falls under, as far as that can be seen."""
    return config.base_url, config.api_key, config.workspace
