"""Copy the results of a task from the service to a destination: streamed, checked, and only as a whole."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.errors import DashScopeError, NoFileError
from airflow_provider_wanx.dashscope.measures import COPIED_BYTES, COPIES, COPY_TIME
from airflow_provider_wanx.dashscope.polling import check_outcome
from airflow_provider_wanx.jobs.copying.result_metadata import (
    DASHSCOPE_REQUEST_ID,
    DASHSCOPE_TASK_ID,
    metadata_text,
)
from airflow_provider_wanx.metrics.tracing import span

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.dashscope.models import ResultFile, Task
    from airflow_provider_wanx.jobs.copying.destinations import Destination
    from airflow_provider_wanx.jobs.protocols import Log

COPY_PAUSES_SECONDS = (1, 4, 10)
"""Pauses between the tries of one copy."""

_EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
    "application/json": ".json",
    "application/gzip": ".gz",
    "video/mp4": ".mp4",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
}


@dataclass(frozen=True, kw_only=True)
class CopiedResult:
    """A result as it is in its destination.

    :param index: position among the task's results, from 0.
    :param key: its key there.
    :param url: where it is.
    :param bytes: its size.
    :param sha256: its digest in hexadecimal.
    :param written: whether it was written now; False if what was there was kept.
    """

    index: int
    key: str
    url: str
    bytes: int
    sha256: str
    content_type: str
    written: bool


@dataclass(frozen=True, kw_only=True)
class ResultCopier:
    """Copies results to one destination; may be used by several threads.

    :param client: of the account that the tasks were submitted to.
    :param destination: where results go.
    :param log: is told what was copied.
    """

    client: DashScopeClient
    destination: Destination
    log: Log

    def copy_all(
        self, task: Task, *, key_for: Callable[[int, str], str], metadata: Mapping[str, str] | None = None
    ) -> Iterator[CopiedResult]:
        """Copy the results of a task one by one.

        The answer of a model that makes no file becomes an object itself.

        :param key_for: makes a key from a result's position and the file's extension, which has its dot or is empty.
        :param metadata: of the objects, besides the ids of task and request.
        :raises NoFileError: the task has succeeded without making anything.
        :raises ProviderError: a result cannot be had, or the destination does not take it.
        """
        for failure in task.failures:
            self.log.warning(
                "Part %s of DashScope task %s failed: %s", failure.path, task.task_id, failure.reason
            )
        if task.made_only_data:
            text = json.dumps(dict(task.output), ensure_ascii=False, indent=2).encode()
            key = key_for(0, ".json")
            written = self._write(task, [text], key, "application/json", metadata)
            self.log.info(
                "DashScope task %s made no file; its answer is %s.", task.task_id, self.destination.url(key)
            )
            known = (len(text), hashlib.sha256(text).hexdigest()) if written else None
            yield self._copied(0, key, "application/json", written, known)
        elif not task.results:
            raise NoFileError(task)
        for file in task.results:
            yield self.copy(task, file, key_for=partial(key_for, file.index), metadata=metadata)

    def copy(
        self,
        task: Task,
        file: ResultFile,
        *,
        key_for: Callable[[str], str],
        metadata: Mapping[str, str] | None = None,
    ) -> CopiedResult:
        """Copy one result; if its URL has expired or the download breaks, ask the task for a URL again and start over.

        :param key_for: makes the key from the file's extension, which has its dot or is empty.
        :param metadata: of the object, besides the ids of task and request.
        :raises DashScopeError: the result cannot be had.
        :raises ProviderError: the destination does not take it.
        """
        with span("copy", task_ids=[task.task_id]):
            for pause in COPY_PAUSES_SECONDS:
                try:
                    return self._copy_once(task, file, key_for, metadata)
                except DashScopeError as error:
                    if not error.retryable:
                        raise
                    self.log.warning("%s Asking for its URL again in %s s.", error, pause)
                time.sleep(pause)
                task = self.client.get_task(task.task_id)
                check_outcome([task])
                file = next((one for one in task.results if one.index == file.index), file)
            return self._copy_once(task, file, key_for, metadata)

    def _copy_once(
        self,
        task: Task,
        file: ResultFile,
        key_for: Callable[[str], str],
        metadata: Mapping[str, str] | None,
    ) -> CopiedResult:
        began = time.monotonic()
        what = f"result {file.index} of DashScope task {task.task_id}"
        with self.client.download(file.url, what=what) as (received, chunks):
            key = key_for(file.extension or _EXTENSIONS.get(received.content_type, ""))
            is_type = re.fullmatch(r"[\w.+-]{1,80}/[\w.+-]{1,80}", received.content_type, re.ASCII)
            content_type = received.content_type if is_type else "application/octet-stream"
            written = self._write(task, chunks, key, content_type, metadata)
        seconds = time.monotonic() - began
        if written:
            observe = self.client.config.observe
            observe(COPIES, 1, {})
            observe(COPIED_BYTES, received.size, {})
            observe(COPY_TIME, seconds, {})
        known = (received.size, received.sha256) if written else None
        copied = self._copied(file.index, key, content_type, written, known)
        verb = "Copied" if written else "Kept"
        self.log.info("%s %s as %s (%s bytes, %.1f s).", verb, what, copied.url, copied.bytes, seconds)
        return copied

    def _write(
        self,
        task: Task,
        pieces: Iterable[bytes],
        key: str,
        content_type: str,
        metadata: Mapping[str, str] | None,
    ) -> bool:
        # The service's ids of requests have 36 characters; what is much longer is none.
        ids = {
            DASHSCOPE_TASK_ID: task.task_id,
            DASHSCOPE_REQUEST_ID: metadata_text(task.request_id or "", limit=128),
        }
        return self.destination.write(
            pieces, key, content_type=content_type, metadata={**(metadata or {}), **ids}
        )

    def _copied(
        self, index: int, key: str, content_type: str, written: bool, known: tuple[int, str] | None = None
    ) -> CopiedResult:
        size, digest = known or self.destination.measure(key)
        return CopiedResult(
            index=index,
            key=key,
            url=self.destination.url(key),
            bytes=size,
            sha256=digest,
            content_type=content_type,
            written=written,
        )
