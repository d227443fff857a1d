"""One poller for all tasks of an account that one event loop waits for: one client, and one budget for each endpoint.

:mod:`polling` decides what follows from an answer about a task, :mod:`queue` whom to ask next, :mod:`budget` how often. This
module does the input and output.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from typing import TypeVar
from weakref import WeakKeyDictionary

import httpx

from airflow_provider_wanx.dashscope.api import endpoints
from airflow_provider_wanx.dashscope.api.endpoints import DEFAULT_PAGE_ROWS, LARGE_PAGE_ROWS, Call
from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import ApiError, AuthenticationError, ProviderError
from airflow_provider_wanx.dashscope.measures import GIVEN_UP, WAITS
from airflow_provider_wanx.dashscope.models import Task, TaskPage, TaskStatus
from airflow_provider_wanx.dashscope.polling import (
    DEFAULT_POLL_INTERVAL_SECONDS,
    Ended,
    GiveUp,
    TaskWait,
    Wait,
)
from airflow_provider_wanx.dashscope.waiting.budget import LIST_SHARE, TASK_SHARE, Budget
from airflow_provider_wanx.dashscope.waiting.progress import (
    ALL,
    NEVER,
    Enough,
    Group,
    Log,
    Outcome,
    observe_end,
)
from airflow_provider_wanx.dashscope.waiting.queue import TaskQueue, Watched

logger = logging.getLogger(__name__)

T = TypeVar("T")
Renew = Callable[[], Awaitable[ClientConfig]]
Account = tuple[str, str, str | None]


class Poller:
    """Waits for any number of tasks of one account. Make it inside an event loop, and close it there.

    :param config: how to reach the service.
    :param renew: reads the configuration anew; called when the service refuses the key, which may have been replaced.
    :param transport: sends the requests instead of httpx's own, for example in tests.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        renew: Renew | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        limit = config.limits.requests_per_second
        self.config = config
        self.groups: set[Group] = set()
        self._renew = renew
        self._transport = transport
        self._client = self._make_client()
        self._loop = asyncio.get_running_loop()
        self._queue = TaskQueue(limit=limit)
        self._task_budget = Budget(limit=limit, share=TASK_SHARE)
        self._list_budget = Budget(limit=limit, share=LIST_SHARE)
        self._wake = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._looks, self._report_at = 0, 0.0
        self._reading, self._read_at, self._page_size, self._failed_readings = False, 0.0, LARGE_PAGE_ROWS, 0
        self._asking_for_key = False
        self._key_refused: ProviderError | None = None

    async def wait(
        self,
        task_ids: Iterable[str],
        *,
        poll_interval: float,
        end_time: float | None = None,
        enough: Enough = ALL,
        log: Log | None = None,
    ) -> Outcome:
        """Wait for tasks; see :func:`watch_tasks`."""
        waits = (TaskWait(task_id, poll_interval, end_time) for task_id in task_ids)
        group = Group(waits, enough=enough, log=log)
        deadline = NEVER if end_time is None else end_time
        self.groups.add(group)
        try:
            self._queue.add(group, now=self._loop.time())
            self._wake.set()
            if self._polling is None or self._polling.done():
                # In a context of its own: what the first caller has bound there, such as where its logs go, ends with it.
                self._polling = self._loop.create_task(self._poll(), context=Context())
            await group.until(deadline)
            if time.time() >= deadline:
                for task_id in group.pending:
                    self._queue.urge(task_id, self._loop.time())
                self._wake.set()
                # A deadline that passed while nobody could look, as with no triggerer alive, still allows one look.
                await group.until(time.time() + 15)
                for task_id, wait in list(group.pending.items()):
                    self._settle(task_id, group, GiveUp(wait.timeout()))
        finally:
            self.groups.discard(group)
            for task_id in group.pending:
                self._queue.leave(task_id, group)
        return group.outcome

    async def close(self) -> None:
        """Stop looking and close all connections; waits under way are cancelled."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        self._fail(asyncio.CancelledError())
        self.config.observe(WAITS, 0, {})
        await self._client.close()

    async def _poll(self) -> None:
        try:
            async with asyncio.TaskGroup() as requests:
                while True:
                    self._wake.clear()
                    self._report(self._loop.time())
                    next_at = self._start_requests(requests, self._loop.time())
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(min(next_at, self._report_at)):
                            await self._wake.wait()
        except BaseExceptionGroup as errors:
            # Not an error of the service but of this package: whoever waits must learn of it.
            logger.error("Waiting for DashScope tasks broke down", exc_info=errors)
            self._fail(errors.exceptions[0])

    def _fail(self, error: BaseException) -> None:
        for group in self.groups:
            group.fail(error)

    def _report(self, now: float) -> None:
        if now >= self._report_at:
            self._report_at = now + 5
            self.config.observe(WAITS, len(self._queue), {})
            for group in self.groups:
                group.report()

    def _start_requests(self, requests: asyncio.TaskGroup, now: float) -> float:
        """Send what may be sent now.

        :return: the moment of the next request, infinite if an answer must come before.
        """
        if self._asking_for_key:
            return NEVER
        read_at = self._read_at if self._queue.reads_list and not self._reading else NEVER
        if read_at <= now:
            self._reading, read_at = True, NEVER
            requests.create_task(self._read_list())
        budget = self._task_budget
        while self._looks < budget.at_once:
            if budget.next_at > now or (watched := self._queue.next(now)) is None:
                return min(read_at, max(budget.next_at, self._queue.next_at(now)))
            budget.take(now)
            self._looks += 1
            requests.create_task(self._look(watched, now))
        return read_at

    async def _look(self, watched: Watched, sent_at: float) -> None:
        client = self._client
        seen = await self._send(endpoints.get_task(watched.task_id), self._task_budget, sent_at)
        self._looks -= 1
        self._wake.set()
        if isinstance(seen, AuthenticationError):
            self._queue.asked(watched, due=self._loop.time() + self._queue.interval, answered=False)
            # One that was under way when the key was replaced says nothing about the new one.
            if client is self._client and not self._asking_for_key:
                await self._ask_for_key(seen)
        else:
            self._key_refused = None
            self._decide(watched, seen)

    async def _send(self, call: Call[T], budget: Budget, sent_at: float) -> T | ProviderError:
        try:
            answer: T | ProviderError = await self._client.send_once(call)
        except ProviderError as error:
            answer = error
        budget.answered(answer, sent_at=sent_at, now=self._loop.time())
        return answer

    def _decide(self, watched: Watched, seen: Task | ProviderError) -> None:
        """Let every wait for a task decide what an answer about it means."""
        if isinstance(seen, Task) and seen.status is TaskStatus.RUNNING:
            self._queue.runs(watched.task_id)
        pause, wall = NEVER, time.time()
        for group in list(watched.groups):
            decision = group.pending[watched.task_id].after(seen, now=wall)
            if isinstance(decision, Wait):
                pause = min(pause, decision.seconds)
                continue
            if isinstance(decision, Ended) and group is watched.groups[-1]:
                self._queue.ended(watched)
                observe_end(decision.task, wall, self.config.observe)
            self._settle(watched.task_id, group, decision)
        if watched.groups:
            self._queue.asked(watched, due=self._loop.time() + pause, answered=isinstance(seen, Task))

    def _settle(self, task_id: str, group: Group, decision: Ended | GiveUp) -> None:
        self._queue.leave(task_id, group)
        group.settle(task_id, decision)
        if isinstance(decision, GiveUp):
            self.config.observe(GIVEN_UP, 1, {})

    async def _read_list(self) -> None:
        began = self._loop.time()
        try:
            listed = await self._running_tasks()
        except ProviderError as error:
            if (
                isinstance(error, ApiError)
                and error.http_status == 400
                and self._page_size > DEFAULT_PAGE_ROWS
            ):
                # It allows no page so large.
                self._page_size = DEFAULT_PAGE_ROWS
                return
            pause = min(2.0 ** min(self._failed_readings, 10), 300.0)
            self._failed_readings, self._read_at = self._failed_readings + 1, self._loop.time() + pause
            # Not after the first: if every tenth answer is an error, that would cost twice as many requests.
            if self._failed_readings > 1 and self._queue.list_works:
                self._queue.unreadable()
                text = (
                    "The DashScope task list cannot be read, so that each of %s tasks is asked for by itself."
                )
                logger.warning(text, len(self._queue))
        else:
            if not self._queue.list_works:
                logger.warning(
                    "The DashScope task list can be read again; %s waiting tasks.", len(self._queue)
                )
            self._failed_readings = 0
            # Once a second, at the default interval.
            self._read_at = began + self._queue.interval / 3
            self._queue.read(listed, now=self._loop.time())
        finally:
            self._reading = False
            self._wake.set()

    async def _running_tasks(self) -> set[str]:
        """Read the list of the running tasks, page by page. Nothing depends on its order, its page size or its totals."""
        seen: set[str] = set()
        listed: set[str] = set()
        # A list that never ends must not fill the memory.
        for page_no in range(1, 501):
            page = await self._read_page(page_no)
            ids = {row.task_id for row in page.tasks}
            nothing_new = ids <= seen
            seen |= ids
            # A list that does not filter has others too.
            listed |= {row.task_id for row in page.tasks if row.status is TaskStatus.RUNNING}
            if nothing_new or (page.total is not None and len(seen) >= page.total):
                break
        for task_id in listed:
            self._queue.runs(task_id)
        return listed

    async def _read_page(self, page_no: int) -> TaskPage:
        budget = self._list_budget
        await asyncio.sleep(max(0.0, budget.next_at - self._loop.time()))
        sent_at = self._loop.time()
        budget.take(sent_at)
        query = endpoints.list_tasks(status=TaskStatus.RUNNING, page_no=page_no, page_size=self._page_size)
        page = await self._send(query, budget, sent_at)
        if isinstance(page, ProviderError):
            raise page
        return page

    async def _ask_for_key(self, error: ProviderError) -> None:
        """Go on with the connection as it reads now, or give up: no other task would fare better with this key."""
        self._asking_for_key = True
        config = self.config
        try:
            config = await self._renew() if self._renew else config
        except Exception as failure:  # noqa: BLE001
            # Whatever the host says of its own connections, the service's refusal is the news.
            logger.warning("The DashScope connection could not be read again: %s", type(failure).__name__)
        if account_of(config) != account_of(self.config):
            logger.info("The DashScope connection has changed; %s tasks go on with it.", len(self._queue))
            self.config = config
            self._client, old = self._make_client(), self._client
            self._read_at = self._loop.time()
            await old.close()
        elif self._key_refused is None:
            self._key_refused = error
            # The key is tried once more before all waits are given up, after a pause that no single wait shortens.
            await asyncio.sleep(DEFAULT_POLL_INTERVAL_SECONDS)
        else:
            for watched in self._queue:
                self._decide(watched, error)
        self._asking_for_key = False
        self._wake.set()

    def _make_client(self) -> AsyncDashScopeClient:
        # A look that gets no byte in 20 seconds is given up: it is repeated anyway.
        config = replace(self.config, timeout=min(self.config.timeout, 20.0))
        return AsyncDashScopeClient(config, transport=self._transport)


def account_of(config: ClientConfig) -> Account:
    """Tell whose limits a configuration falls under, as far as that can be seen."""
    return config.base_url, config.api_key, config.workspace


_POLLERS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Account, Poller]] = WeakKeyDictionary()


async def watch_tasks(
    config: ClientConfig,
    task_ids: Iterable[str],
    *,
    poll_interval: float,
    end_time: float | None = None,
    enough: Enough = ALL,
    renew: Renew | None = None,
    log: Log | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Outcome:
    """Wait until every task has ended or its wait is given up, together with all others in this event loop.

    :param config: how to reach the service; whoever comes first for an account decides about limits and timeouts.
    :param task_ids: what to wait for.
    :param poll_interval: seconds between two looks at one task.
    :param end_time: deadline in seconds since 1970, None for none.
    :param enough: when not to wait for all of them; without any tasks, its moment is waited for.
    :param renew: reads the configuration anew when the service refuses the key.
    :param log: is told how the tasks are getting on.
    :param transport: sends the requests instead of httpx's own, for example in tests.
    """
    if not (ids := list(task_ids)):
        await asyncio.sleep(0.0 if enough == ALL else max(0.0, enough.at - time.time()))
        return Outcome()
    pollers, account = _POLLERS.setdefault(asyncio.get_running_loop(), {}), account_of(config)
    poller = pollers.get(account) or Poller(config, renew=renew, transport=transport)
    pollers[account] = poller
    try:
        return await poller.wait(ids, poll_interval=poll_interval, end_time=end_time, enough=enough, log=log)
    finally:
        if not poller.groups:
            del pollers[account]
            # Whoever is cancelled once more while leaving must not leave connections open.
            await asyncio.shield(asyncio.ensure_future(poller.close()))
