"""Many waits, one poller: all tasks that one event loop waits for on one account share a client, a budget and a poller.

What follows from a look at a task is decided in :mod:`polling`, whom to look at next in :mod:`schedule`, which pages of the
task list to read in :mod:`listing`, how often in :mod:`budget`. Here is the input and output.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_wanx.dashscope import endpoints
from airflow_provider_wanx.dashscope.budget import GET_SHARES, LIST_SHARES, Budget
from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import AuthenticationError, DashScopeError, ThrottledError
from airflow_provider_wanx.dashscope.listing import ListPlan, Query
from airflow_provider_wanx.dashscope.models import Task
from airflow_provider_wanx.dashscope.polling import Ended, GiveUp, TaskWait, Wait
from airflow_provider_wanx.dashscope.schedule import Schedule, Tuning

logger = logging.getLogger(__name__)

Renew = Callable[[], Awaitable[ClientConfig]]

LOOK_TIMEOUT = 20.0
"""Seconds without a byte after which a look is given up: it is repeated anyway."""

LAST_LOOK = 15.0
"""Seconds past its deadline for which a task is still to be looked at once, when there are many."""

SECOND_OPINION = 2.0
"""Seconds after which a refused key is tried once more before all waits are given up."""

STALL = 0.2
"""Seconds by which this may wake too late before the event loop counts as held up by someone."""

IDLE = 60.0

AT_A_TIME = 500
"""Tasks that are taken in before the event loop gets its turn."""

SELDOM = 300.0
"""Seconds between two log lines about the same trouble."""


@dataclass(slots=True)
class Outcome:
    """How a wait ended.

    :param ended: task id → the task as it was when it had ended.
    :param given_up: task id → why its wait was given up.
    """

    ended: dict[str, Task] = field(default_factory=dict)
    given_up: dict[str, DashScopeError] = field(default_factory=dict)


class _Group:
    """The tasks of one caller."""

    __slots__ = ("done", "left", "outcome")

    def __init__(self, *, left: int, done: asyncio.Future[None]) -> None:
        self.outcome = Outcome()
        self.left = left
        self.done = done

    def settle(self, task_id: str, decision: Ended | GiveUp) -> None:
        match decision:
            case Ended(task):
                self.outcome.ended[task_id] = task
            case GiveUp(error):
                self.outcome.given_up[task_id] = error
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


@dataclass(frozen=True)
class Budgets:
    """The budgets of the two endpoints that tell how tasks are; each has a limit of its own."""

    get: Budget
    list: Budget

    @classmethod
    def of(cls, limit: float) -> Budgets:
        """Make them for a limit in requests per second."""
        now = time.monotonic()
        return cls(
            get=Budget(limit=limit, shares=GET_SHARES, now=now),
            list=Budget(limit=limit, shares=LIST_SHARES, now=now),
        )


class TaskWatcher:
    """Waits for any number of tasks of one account. Make it inside an event loop, and close it there.

    :param config: how to reach the service.
    :param renew: reads the configuration anew; called when the service refuses the key, which may have been replaced.
    :param tuning: how to divide attention.
    :param budgets: the requests that may be sent.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        renew: Renew | None = None,
        tuning: Tuning | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        limit = config.limits.requests_per_second
        self.config = config
        self._renew = renew
        self._budgets = budgets or Budgets.of(limit)
        self._schedule = Schedule(limit=limit, rate=self._budgets.get.usual_rate, tuning=tuning or Tuning())
        self._plan = ListPlan(self._schedule)
        self._client = _client(config)
        self._waits: dict[str, list[tuple[TaskWait, _Group]]] = {}
        self._deadline = float("inf")
        self._wake = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._key_refused: DashScopeError | None = None
        self._asking_for_key = False
        self._told: dict[str, float] = {}

    def __len__(self) -> int:
        """Return the number of tasks waited for."""
        return len(self._waits)

    async def wait(self, waits: Iterable[TaskWait]) -> Outcome:
        """Wait until every task has ended or its wait is given up.

        :param waits: what to wait for; cancelling this call leaves nothing of them behind.
        """
        mine = list(waits)
        group = _Group(left=len(mine), done=asyncio.get_running_loop().create_future())
        if not mine:
            return group.outcome
        taken = 0
        try:
            for wait in mine:
                self._take_in(wait, group)
                taken += 1
                if taken % AT_A_TIME == 0:
                    await asyncio.sleep(0)
            self._begin()
            await group.done
        finally:
            if group.left:
                self._leave(mine[:taken], group)
        return group.outcome

    async def close(self) -> None:
        """Stop looking and close all connections; waits under way are cancelled."""
        stopping = [task for task in (self._poller, *self._requests) if task is not None]
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)
        for task_id, pairs in list(self._waits.items()):
            for _, group in pairs:
                group.done.cancel()
            self._drop(task_id)
        await self._client.close()

    def _take_in(self, wait: TaskWait, group: _Group) -> None:
        self._waits.setdefault(wait.task_id, []).append((wait, group))
        self._schedule.add(wait.task_id, interval=wait.poll_interval, now=time.monotonic(), wall=time.time())
        if wait.end_time is not None:
            self._deadline = min(self._deadline, wait.end_time)

    def _leave(self, waits: Sequence[TaskWait], group: _Group) -> None:
        for wait in waits:
            pairs = self._waits.get(wait.task_id, [])
            pairs[:] = [pair for pair in pairs if pair[1] is not group]
            if not pairs:
                self._drop(wait.task_id)

    def _drop(self, task_id: str) -> None:
        self._waits.pop(task_id, None)
        self._schedule.remove(task_id)

    def _begin(self) -> None:
        self._wake.set()
        if self._poller is None:
            # In a context of its own: what the first caller has bound there, such as where its logs go, ends with it.
            self._poller = asyncio.get_running_loop().create_task(self._poll(), context=Context())
            self._poller.add_done_callback(self._poller_ended)

    def _poller_ended(self, poller: asyncio.Task[None]) -> None:
        """Let nobody wait for a poller that is no more."""
        if not poller.cancelled() and (error := poller.exception()) is not None:
            for pairs in self._waits.values():
                for _, group in pairs:
                    if not group.done.done():
                        group.done.set_exception(error)

    async def _poll(self) -> None:
        while True:
            self._wake.clear()
            now = time.monotonic()
            self._expire(time.time())
            self._watch_health(now)
            if not self._asking_for_key:
                self._start_looks(now)
                self._start_query(now)
            await self._sleep_until(self._next_step(time.monotonic()))

    async def _sleep_until(self, moment: float) -> None:
        """Sleep until there is something to do, or an answer or another wait comes."""
        try:
            async with asyncio.timeout(max(0.0, min(moment - time.monotonic(), IDLE))):
                await self._wake.wait()
        except TimeoutError:
            late = time.monotonic() - moment
            if late > STALL:
                self._budgets.get.stalled(now=time.monotonic(), seconds=late)
                self._budgets.list.stalled(now=time.monotonic(), seconds=late)

    def _next_step(self, now: float) -> float:
        """The moment at which there is something to do, infinite if only an answer can bring it."""
        moments = [now + max(0.05, self._deadline - time.time())]
        if not self._asking_for_key:
            moments.append(max(self._schedule.next_task_at(now), self._budgets.get.next_at(now)))
            if not self._schedule.direct:
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
            self._start(self._look(task_id, now))

    def _start_query(self, now: float) -> None:
        budget = self._budgets.list
        if self._schedule.direct or budget.next_at(now) > now:
            return
        query = self._plan.next_query(now)
        if query is not None:
            budget.take(now)
            self._start(self._read(query, now))

    def _start(self, request: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(request)
        self._requests.add(task)
        task.add_done_callback(self._request_ended)

    def _request_ended(self, request: asyncio.Task[None]) -> None:
        self._requests.discard(request)
        self._wake.set()
        if not request.cancelled() and (error := request.exception()) is not None and self._poller:
            # Not an error of the service but of this module: whoever waits must learn of it.
            logger.error("Waiting for DashScope tasks broke down", exc_info=error)
            self._poller.cancel()
            for pairs in self._waits.values():
                for _, group in pairs:
                    if not group.done.done():
                        group.done.set_exception(error)

    async def _look(self, task_id: str, sent_at: float) -> None:
        budget = self._budgets.get
        try:
            task = await self._client.send_once(endpoints.get_task(task_id))
        except asyncio.CancelledError:
            budget.drop()
            raise
        except ThrottledError as error:
            now = time.monotonic()
            budget.refused(sent_at=sent_at, now=now, retry_after=error.retry_after)
            self._schedule.put_back(task_id, now=now)
        except AuthenticationError as error:
            budget.answered(sent_at=sent_at, now=time.monotonic())
            self._schedule.put_back(task_id, now=time.monotonic())
            self._doubt_key(error)
        except DashScopeError as error:
            if error.retryable:
                budget.failed(now=time.monotonic(), retry_after=getattr(error, "retry_after", None))
            else:
                budget.answered(sent_at=sent_at, now=time.monotonic())
            self._decide(task_id, error)
        else:
            budget.answered(sent_at=sent_at, now=time.monotonic())
            self._key_refused = None
            self._decide(task_id, task)

    async def _read(self, query: Query, sent_at: float) -> None:
        budget = self._budgets.list
        try:
            page = await self._client.send_once(query.call())
        except asyncio.CancelledError:
            budget.drop()
            raise
        except ThrottledError as error:
            budget.refused(sent_at=sent_at, now=time.monotonic(), retry_after=error.retry_after)
            self._plan.put_back()
        except AuthenticationError as error:
            budget.answered(sent_at=sent_at, now=time.monotonic())
            self._plan.put_back()
            self._doubt_key(error)
        except DashScopeError as error:
            budget.answered(sent_at=sent_at, now=time.monotonic())
            self._plan.failed(error, now=time.monotonic())
        else:
            budget.answered(sent_at=sent_at, now=time.monotonic())
            self._plan.read(page, now=time.monotonic(), wall=time.time())

    def _decide(self, task_id: str, seen: Task | DashScopeError) -> None:
        """Let every wait for a task decide what the look at it means."""
        pairs = self._waits.get(task_id)
        if not pairs:
            return
        now, wall = time.monotonic(), time.time()
        pause = float("inf")
        going_on: list[tuple[TaskWait, _Group]] = []
        for wait, group in pairs:
            decision = (
                wait.after_task(seen, now=wall)
                if isinstance(seen, Task)
                else wait.after_error(seen, now=wall)
            )
            if isinstance(decision, Wait):
                pause = min(pause, decision.seconds)
                going_on.append((wait, group))
            else:
                group.settle(task_id, decision)
        pairs[:] = going_on
        task = seen if isinstance(seen, Task) else None
        if going_on:
            self._schedule.asked(task_id, task, pause=pause, now=now, wall=wall)
            return
        if task is not None:
            self._schedule.ended(task_id, task, now=now, wall=wall)
        self._drop(task_id)

    def _expire(self, wall: float) -> None:
        """Look at tasks whose deadline has come, and give up those for which there was no time to."""
        if wall < self._deadline:
            return
        following = float("inf")
        for task_id, pairs in list(self._waits.items()):
            for pair in list(pairs):
                wait, group = pair
                if wait.end_time is None:
                    continue
                if wall < wait.end_time + LAST_LOOK:
                    following = min(following, max(wait.end_time, wall + 1))
                    if wall >= wait.end_time:
                        self._schedule.urge(task_id)
                    continue
                pairs.remove(pair)
                group.settle(task_id, GiveUp(wait.timeout()))
            if not pairs:
                self._drop(task_id)
        self._deadline = following

    def _doubt_key(self, error: DashScopeError) -> None:
        if not self._asking_for_key:
            self._asking_for_key = True
            self._start(self._ask_for_key(error))

    async def _ask_for_key(self, error: DashScopeError) -> None:
        """Go on with the connection as it reads now, or give up: no other task would fare better with this key."""
        config = await self._renewed()
        if config is not None and _account(config) != _account(self.config):
            logger.info("The DashScope connection has changed; %s tasks go on with it.", len(self))
            self._client, old = _client(config), self._client
            self.config = config
            await old.close()
        elif self._key_refused is None:
            self._key_refused = error
            await asyncio.sleep(SECOND_OPINION)
        else:
            for task_id in list(self._waits):
                self._decide(task_id, error)
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

    def _tell(self, topic: str, message: str, *values: object) -> None:
        """Log a change, but not every time in a long trouble."""
        now = time.monotonic()
        if now - self._told.get(topic, float("-inf")) >= SELDOM:
            self._told[topic] = now
            logger.warning(message, *values)


def _client(config: ClientConfig) -> AsyncDashScopeClient:
    return AsyncDashScopeClient(replace(config, timeout=min(config.timeout, LOOK_TIMEOUT)))


Account = tuple[str, str, str | None]


def _account(config: ClientConfig) -> Account:
    return config.base_url, config.api_key, config.workspace


@dataclass
class _Shared:
    watcher: TaskWatcher
    users: int = 0


@dataclass
class _Loop:
    """What one event loop shares; budgets outlive watchers, or each new one would spend anew what the last has spent."""

    watchers: dict[Account, _Shared] = field(default_factory=dict)
    budgets: dict[Account, tuple[float, Budgets]] = field(default_factory=dict)


_LOOPS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()

BUDGET_MEMORY = 600.0
"""Seconds for which the budgets of an account are kept after its last wait."""


@asynccontextmanager
async def shared_watcher(
    config: ClientConfig, *, renew: Renew | None = None, tuning: Tuning | None = None
) -> AsyncIterator[TaskWatcher]:
    """Use the running event loop's watcher for an account; the last to leave closes it.

    :param config: how to reach the service; whoever comes first decides about limits and timeouts.
    :param renew: see :class:`TaskWatcher`.
    :param tuning: likewise.
    """
    loop = _LOOPS.setdefault(asyncio.get_running_loop(), _Loop())
    account = _account(config)
    shared = loop.watchers.get(account)
    if shared is None:
        budgets = _budgets(loop, account, config.limits.requests_per_second)
        shared = loop.watchers[account] = _Shared(
            TaskWatcher(config, renew=renew, tuning=tuning, budgets=budgets)
        )
    shared.users += 1
    try:
        yield shared.watcher
    finally:
        shared.users -= 1
        if not shared.users:
            del loop.watchers[account]
            # Whoever is cancelled once more while leaving must not leave connections open.
            await asyncio.shield(asyncio.ensure_future(shared.watcher.close()))


def _budgets(loop: _Loop, account: Account, limit: float) -> Budgets:
    now = time.monotonic()
    for key, (used_at, _) in list(loop.budgets.items()):
        if now - used_at > BUDGET_MEMORY and key not in loop.watchers:
            del loop.budgets[key]
    _, budgets = loop.budgets.get(account, (now, None))
    if budgets is None or budgets.get.limit != limit:
        budgets = Budgets.of(limit)
    loop.budgets[account] = now, budgets
    return budgets


async def watch_tasks(
    config: ClientConfig, waits: Iterable[TaskWait], *, renew: Renew | None = None
) -> Outcome:
    """Wait until every task has ended or its wait is given up, together with all others in this event loop.

    :param config: how to reach the service.
    :param waits: what to wait for.
    :param renew: reads the configuration anew when the service refuses the key.
    """
    async with shared_watcher(config, renew=renew) as watcher:
        return await watcher.wait(waits)
