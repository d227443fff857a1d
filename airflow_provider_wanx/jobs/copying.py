"""Copy one result from the service to S3: streamed, checked, and only as a whole."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.errors import DashScopeError, NoFileError
from airflow_provider_wanx.dashscope.measures import COPIED_BYTES, COPIES, COPY_TIME
from airflow_provider_wanx.dashscope.origin import metadata_text
from airflow_provider_wanx.dashscope.polling import check_outcome
from airflow_provider_wanx.jobs.destination import TASK_ID
from airflow_provider_wanx.metrics.tracing import span

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.models import ResultFile, Task
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log
    from airflow_provider_wanx.jobs.destination import S3Destination

_MAX_ID = 128
"""Characters of a request's id that are kept with an object; the service's have 36."""

COPY_PAUSES = (1, 4, 10)
"""Seconds between the tries of one copy."""


@dataclass(frozen=True, kw_only=True)
class CopiedResult:
    """A result as it is in S3.

    :param index: position among the task's results, from 0.
    :param bytes: its size.
    :param sha256: its digest in hexadecimal.
    :param written: whether it was written now; False if what was there was kept.
    """

    index: int
    bucket: str
    key: str
    bytes: int
    sha256: str
    content_type: str
    written: bool


@dataclass(frozen=True, kw_only=True)
class ResultCopier:
    """Copies results to one destination; may be used by several threads.

    :param hook: the connection that the tasks were submitted with.
    :param destination: where results go.
    :param log: the task's log.
    """

    hook: DashScopeHook
    destination: S3Destination
    log: Log

    def copy_all(
        self, task: Task, *, key_for: Callable[[int, str], str], metadata: dict[str, str] | None = None
    ) -> Iterator[CopiedResult]:
        """Copy the results of a task one by one.

        The answer of a model that makes no file becomes an object itself.

        :param key_for: makes a key from a result's position and the file's extension, which has its dot or is empty.
        :param metadata: of the objects, besides the ids of task and request.
        :raises NoFileError: the task has succeeded without making anything.
        :raises ProviderError: a result cannot be had.
        :raises S3Error: S3 does not take it.
        """
        for failure in task.failures:
            self.log.warning(
                "Part %s of DashScope task %s failed: %s", failure.path, task.task_id, failure.reason
            )
        if task.made_only_data:
            yield self._keep_output(task, key_for(0, ".json"), metadata or {})
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
        metadata: dict[str, str] | None = None,
    ) -> CopiedResult:
        """Copy one result; if its URL has expired or the download breaks, ask the task for a URL again and start over.

        :param key_for: makes the key from the file's extension, which has its dot or is empty.
        :param metadata: of the object, besides the ids of task and request.
        :raises DashScopeError: the result cannot be had.
        :raises S3Error: S3 does not take it.
        """
        with span("copy", task_ids=[task.task_id]):
            return self._copy(task, file, key_for, metadata or {})

    def _copy(
        self, task: Task, file: ResultFile, key_for: Callable[[str], str], metadata: dict[str, str]
    ) -> CopiedResult:
        for pause in COPY_PAUSES:
            try:
                return self._copy_once(task, file, key_for, metadata)
            except DashScopeError as error:
                if not error.retryable:
                    raise
                self.log.warning("%s Asking for its URL again in %s s.", error, pause)
            time.sleep(pause)
            task = self.hook.get_task(task.task_id)
            check_outcome([task])
            file = next((one for one in task.results if one.index == file.index), file)
        return self._copy_once(task, file, key_for, metadata)

    def _copy_once(
        self, task: Task, file: ResultFile, key_for: Callable[[str], str], metadata: dict[str, str]
    ) -> CopiedResult:
        began = time.monotonic()
        what = f"result {file.index} of DashScope task {task.task_id}"
        with self.hook.get_conn().download(file.url, what=what) as (received, chunks):
            key = key_for(file.extension or _EXTENSIONS.get(received.content_type, ""))
            content_type = _content_type(received.content_type)
            written = self.destination.write(
                chunks, key, content_type=content_type, metadata={**metadata, **_ids(task)}
            )
        if written:
            observe = self.hook.get_conn().config.observe
            observe(COPIES, 1, {})
            observe(COPIED_BYTES, received.size, {})
            observe(COPY_TIME, time.monotonic() - began, {})
        size, digest = (received.size, received.sha256) if written else self.destination.measure(key)
        self.log.info(
            "%s %s as s3://%s/%s (%s bytes, %.1f s).",
            "Copied" if written else "Kept",
            what,
            self.destination.bucket,
            key,
            size,
            time.monotonic() - began,
        )
        return CopiedResult(
            index=file.index,
            bucket=self.destination.bucket,
            key=key,
            bytes=size,
            sha256=digest,
            content_type=content_type,
            written=written,
        )

    def _keep_output(self, task: Task, key: str, metadata: dict[str, str]) -> CopiedResult:
        text = json.dumps(dict(task.output), ensure_ascii=False, indent=2).encode()
        content_type = "application/json"
        written = self.destination.write(
            [text], key, content_type=content_type, metadata={**metadata, **_ids(task)}
        )
        size, digest = len(text), hashlib.sha256(text).hexdigest()
        if not written:
            size, digest = self.destination.measure(key)
        self.log.info(
            "DashScope task %s made no file; its answer is s3://%s/%s.",
            task.task_id,
            self.destination.bucket,
            key,
        )
        return CopiedResult(
            index=0,
            bucket=self.destination.bucket,
            key=key,
            bytes=size,
            sha256=digest,
            content_type=content_type,
            written=written,
        )


def _content_type(announced: str) -> str:
    is_one = re.fullmatch(r"[\w.+-]{1,80}/[\w.+-]{1,80}", announced, re.ASCII)
    return announced if is_one else "application/octet-stream"


def _ids(task: Task) -> dict[str, str]:
    return {
        TASK_ID: task.task_id,
        "dashscope-request-id": metadata_text(task.request_id or "", limit=_MAX_ID),
    }


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
