"""One :class:`TaskWatcher` for all that wait on one account in one event loop; who leaves last closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import httpx

from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.polling import TaskWait
from airflow_provider_wanx.dashscope.waiting.waits import Log, Outcome
from airflow_provider_wanx.dashscope.waiting.watcher import Account, Budgets, Renew, TaskWatcher, account_of


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
    config: ClientConfig, *, renew: Renew | None = None, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[TaskWatcher]:
    """Use the running event loop's watcher for an account; the last to leave closes it.

    :param config: how to reach the service; whoever comes first decides about limits and timeouts.
    :param renew: see :class:`TaskWatcher`.
    :param transport: likewise.
    """
    loop = _LOOPS.setdefault(asyncio.get_running_loop(), _Loop())
    account = account_of(config)
    shared = loop.watchers.get(account)
    if shared is None:
        budgets = _budgets(loop, account, config.limits.requests_per_second)
        shared = loop.watchers[account] = _Shared(
            TaskWatcher(config, renew=renew, budgets=budgets, transport=transport)
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
    now = asyncio.get_running_loop().time()
    for key, (used_at, _) in list(loop.budgets.items()):
        if now - used_at > BUDGET_MEMORY and key not in loop.watchers:
            del loop.budgets[key]
    _, budgets = loop.budgets.get(account, (now, None))
    if budgets is None or budgets.get.limit != limit:
        budgets = Budgets.of(limit, now=now)
    loop.budgets[account] = now, budgets
    return budgets


async def watch_tasks(
    config: ClientConfig, waits: Iterable[TaskWait], *, renew: Renew | None = None, log: Log | None = None
) -> Outcome:
    """Wait until every task has ended or its wait is given up, together with all others in this event loop.

    :param config: how to reach the service.
    :param waits: what to wait for.
    :param renew: reads the configuration anew when the service refuses the key.
    :param log: is told how the tasks are getting on.
    """
    async with shared_watcher(config, renew=renew) as watcher:
        return await watcher.wait(waits, log=log)
