"""The trigger of a batch: waits until a worker has something to do for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.waiting.progress import Enough
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger


class DashScopeBatchTrigger(DashScopeTaskTrigger):
    """Wait until enough of some DashScope tasks have ended, or it is time, and send one event.

    :param dashscope_task_ids: the service's ids of all tasks that are in flight; may be empty.
    :param wake_when_left: how few of them may be unfinished when the event is sent.
    :param wake_within: seconds after the first end at which it is sent in any case.
    :param wake_at: when it is sent whatever happens, in seconds since 1970.
    :param progress: one line for the log: how far the batch had come when this wait began.
    :param arguments: see :class:`DashScopeTaskTrigger`.
    """

    arguments = (*DashScopeTaskTrigger.arguments, "wake_when_left", "wake_within", "wake_at", "progress")

    def __init__(
        self,
        *,
        wake_when_left: int,
        wake_within: float,
        wake_at: float,
        progress: str = "",
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.wake_when_left = wake_when_left
        self.wake_within = wake_within
        self.wake_at = wake_at
        self.progress = progress

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then yield one event: ``ended``: ids of the tasks that have ended, or whose wait makes no sense any more."""
        if self.progress:
            self.log.info("%s", self.progress)
        enough = Enough(left=self.wake_when_left, within=self.wake_within, at=self.wake_at)
        try:
            outcome = await self.watch(enough=enough)
            ended = [*outcome.ended, *outcome.given_up]
        except ProviderError as error:
            # The worker will meet it too, and can end the Airflow task because of it.
            self.log.warning("Waiting ends: %s", error)
            if not self.dashscope_task_ids:
                # It was a pause, after which the worker tries again.
                await asyncio.sleep(max(0.0, self.wake_at - time.time()))
            ended = self.dashscope_task_ids
        yield TriggerEvent({"ended": ended})
