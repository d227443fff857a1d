"""Wait for tasks: look at each, ask :mod:`polling` what follows, until all have ended or been given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from airflow_provider_wanx.dashscope import endpoints
from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient
from airflow_provider_wanx.dashscope.errors import AuthenticationError, DashScopeError
from airflow_provider_wanx.dashscope.models import Task
from airflow_provider_wanx.dashscope.polling import Decision, Ended, GiveUp, TaskWait, Wait

SHARE_OF_LIMIT = 0.5
"""Part of the account's request rate that one wait for many tasks takes; the rest is for everyone else."""


@dataclass
class Outcome:
    """How a wait ended.

    :param ended: task id → the task as it was when it had ended.
    :param given_up: task id → why its wait was given up.
    """

    ended: dict[str, Task] = field(default_factory=dict)
    given_up: dict[str, DashScopeError] = field(default_factory=dict)

    def add(self, later: Outcome) -> None:
        """Take in the outcome of a later wait; what ended there was not given up after all."""
        self.ended.update(later.ended)
        self.given_up.update(later.given_up)
        for task_id in later.ended:
            self.given_up.pop(task_id, None)


def key_refused(outcome: Outcome, waits: Iterable[TaskWait]) -> list[TaskWait]:
    """Return those waits that were given up because the service refused the API key."""
    return [wait for wait in waits if isinstance(outcome.given_up.get(wait.task_id), AuthenticationError)]


async def watch_tasks(client: AsyncDashScopeClient, waits: Iterable[TaskWait]) -> Outcome:
    """Wait until every task has ended or its wait is given up.

    :param client: the client to look with.
    :param waits: the waits; looks are spread so that many of them stay within the account's rate.
    """
    outcome = Outcome()
    pending = list(waits)
    rate = client.config.limits.requests_per_second * SHARE_OF_LIMIT
    async with asyncio.TaskGroup() as group:
        for number, wait in enumerate(pending):
            wait.poll_interval = max(wait.poll_interval, len(pending) / rate)
            group.create_task(_watch_one(client, wait, number / rate, outcome))
    return outcome


async def _watch_one(
    client: AsyncDashScopeClient, wait: TaskWait, start_after: float, outcome: Outcome
) -> None:
    await asyncio.sleep(start_after)
    while True:
        match await look(client, wait):
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Ended(task):
                outcome.ended[wait.task_id] = task
                return
            case GiveUp(error):
                outcome.given_up[wait.task_id] = error
                return


async def look(client: AsyncDashScopeClient, wait: TaskWait) -> Decision:
    """Look at one task once and decide."""
    try:
        task = await client.send_once(endpoints.get_task(wait.task_id))
    except DashScopeError as error:
        return wait.after_error(error, now=time.time())
    return wait.after_task(task, now=time.time())
