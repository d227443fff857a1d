"""One :class:`Poller` for all that wait on one account in one event loop; who leaves last closes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import httpx

from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.waiting.poller import Account, Poller, Renew, account_of
from airflow_provider_wanx.dashscope.waiting.progress import ALL, Enough, Log, Outcome

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
