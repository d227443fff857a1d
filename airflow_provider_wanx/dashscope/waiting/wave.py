"""Wait until only few of many tasks are left, instead of for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.polling import TaskWait
from airflow_provider_wanx.dashscope.waiting.shared import shared_watcher
from airflow_provider_wanx.dashscope.waiting.waits import LINE_EVERY, Log, Outcome
from airflow_provider_wanx.dashscope.waiting.watcher import Renew, TaskWatcher

PATIENCE = 1200.0
"""Poll intervals, an hour by default, for which an end may go unnoticed if the task list does not show it. Images of a batch
are queued for as long as that; asking for each of them once a minute would be a hundred requests for one."""


async def watch_wave(
    config: ClientConfig,
    task_ids: Sequence[str],
    *,
    poll_interval: float,
    wake_when_left: int,
    wake_within: float,
    wake_at: float,
    renew: Renew | None = None,
    log: Log | None = None,
) -> list[str]:
    """Wait until it is worth doing something about the tasks that have ended.

    :param config: how to reach the service.
    :param task_ids: what to wait for; without any, this waits for ``wake_at``.
    :param poll_interval: seconds between two looks at one task.
    :param wake_when_left: how few of them may be unfinished in the end.
    :param wake_within: seconds after the first end at which this returns in any case.
    :param wake_at: when it returns whatever happens, in seconds since 1970.
    :param renew: reads the configuration anew when the service refuses the key.
    :param log: is told once a minute how many have ended.
    :return: ids of the tasks that have ended, and of those whose wait makes no sense any more.
    """
    if not task_ids:
        await asyncio.sleep(max(0.0, wake_at - time.time()))
        return []
    async with shared_watcher(config, renew=renew) as watcher:
        patience = PATIENCE * poll_interval
        waits = [TaskWait(task_id, poll_interval, None, patience=patience) for task_id in task_ids]
        wave = _Wave(watcher, waits, log)
        try:
            await wave.watch(wake_when_left=wake_when_left, wake_within=wake_within, wake_at=wake_at)
        finally:
            await wave.stop()
        return wave.ended


class _Wave:
    """The waits for the tasks of one wave."""

    def __init__(self, watcher: TaskWatcher, waits: Sequence[TaskWait], log: Log | None) -> None:
        self.ended: list[str] = []
        self._pending = {asyncio.ensure_future(watcher.wait([wait])) for wait in waits}
        self._size = len(waits)
        self._log = log
        self._line_at = time.monotonic() + LINE_EVERY

    async def watch(self, *, wake_when_left: int, wake_within: float, wake_at: float) -> None:
        """Return when it is time."""
        while len(self._pending) > wake_when_left and (seconds := wake_at - time.time()) > 0:
            done, self._pending = await asyncio.wait(
                self._pending, timeout=min(seconds, LINE_EVERY), return_when=asyncio.FIRST_COMPLETED
            )
            for each in done:
                outcome = each.result()
                self.ended += [*outcome.ended, *outcome.given_up]
                self._tell_given_up(outcome)
            if done:
                wake_at = min(wake_at, time.time() + wake_within)
            self._tell()

    async def stop(self) -> None:
        """Leave the waits that are not over."""
        for each in self._pending:
            each.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)

    def _tell_given_up(self, outcome: Outcome) -> None:
        if self._log is not None:
            for task_id, error in outcome.given_up.items():
                self._log.info("Not waiting for DashScope task %s any more: %s", task_id, error)

    def _tell(self) -> None:
        if self._log is not None and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_EVERY
            self._log.info(
                "%s of %s DashScope tasks of this wave have ended.",
                self._size - len(self._pending),
                self._size,
            )
