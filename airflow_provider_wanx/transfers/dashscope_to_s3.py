"""Copy the results of DashScope tasks to S3 before the service deletes them."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_wanx.dashscope.errors import DashScopeError, TaskNotSucceededError
from airflow_provider_wanx.dashscope.models import ResultFile, Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import check_outcome
from airflow_provider_wanx.deferral.operator import DashScopeWaitingOperator
from airflow_provider_wanx.deferral.wait import task_ids
from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log
from airflow_provider_wanx.storage.destination import TASK_ID, Replace, S3Destination
from airflow_provider_wanx.storage.keys import KeyTemplate
from airflow_provider_wanx.storage.s3_errors import S3Error

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wanx.dashscope.client.download import ReceivedFile

Manifest = list[dict[str, Any]]

COPY_PAUSES = (1, 4, 10)
"""Seconds between the tries of one copy."""


class DashScopeToS3Operator(DashScopeWaitingOperator):
    """Copy every result of one task, or of a list of tasks, to S3.

    Bytes are streamed, checked against the length and checksum that the service announced, and become an object only when
    they have arrived whole. Doing it again gives the same objects under the same keys. The operator returns a manifest:
    a list of ``{bucket, key, bytes, sha256, content_type, dashscope_task_id, index, style, written}``.

    Of a list, all that succeeded is copied before the operator fails because of the others; the manifest is then still in
    its XCom. Where a model gives no file but, say, an id, its answer becomes the object, as JSON, and the entry has it as
    ``output`` too. With ``wait_for_completion=True`` it waits for tasks that have not ended; else it fails and says so.

    .. seealso:: the guide :doc:`/transfer`.

    :param dashscope_task_id: the service's id, or a list of them.
    :param s3_bucket: the bucket.
    :param s3_key: key with fields in braces: ``{dashscope_task_id}``, ``{index}``, ``{style}``, ``{style_name}``,
        ``{extension}``, ``{run_id}``. One that ends in a slash gets a name by task id and index.
    :param aws_conn_id: AWS connection that may write to the bucket.
    :param replace: what to do when the key exists: True replaces the object, ``"skip"`` keeps it, False fails unless it is
        the same task's result, which an earlier try has copied.
    :param encrypt: whether S3 encrypts the object (SSE-S3).
    :param acl_policy: canned ACL of the object.
    :param extra_args: further arguments of boto3's upload, such as ``ServerSideEncryption``, ``SSEKMSKeyId``,
        ``StorageClass``, ``Tagging``.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param wait_for_completion: whether to wait for tasks that have not ended.
    :param deferrable: whether to wait in the triggerer, holding no worker.
    :param poll_interval: seconds between two looks at a task.
    :param wait_timeout: longest wait, in seconds or as a timedelta.
    :param cancel_on_kill: whether to cancel tasks that are still queued at the service when this one is killed, cleared, marked
        as ended, or out of time. They are not its own, so by default it leaves them alone.
    """

    template_fields: Sequence[str] = (
        "dashscope_task_id",
        "s3_bucket",
        "s3_key",
        "aws_conn_id",
        "extra_args",
        "dashscope_conn_id",
    )
    ui_color = "#dff2e1"

    def __init__(
        self,
        *,
        dashscope_task_id: str | list[str],
        s3_bucket: str,
        s3_key: str,
        aws_conn_id: str | None = "aws_default",
        replace: Replace = True,
        encrypt: bool = False,
        acl_policy: str | None = None,
        extra_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if replace not in (True, False, "skip"):
            raise ValueError(f"replace must be True, False or 'skip', not {replace!r}.")
        self.dashscope_task_id = dashscope_task_id
        self.s3_bucket = s3_bucket
        self.s3_key = s3_key
        self.aws_conn_id = aws_conn_id
        self.replace = replace
        self.encrypt = encrypt
        self.acl_policy = acl_policy
        self.extra_args = extra_args

    def execute(self, context: Context) -> Manifest:
        """Wait if asked to, then copy."""
        with self.airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            ids = task_ids(self.dashscope_task_id)
            KeyTemplate(self.s3_key)
            self._destination().check()
            if self.wait_for_completion:
                self.wait_for(context, hook, ids)
            return self.finish(context, hook, ids)

    def awaited_ids(self, context: Context) -> list[str]:
        """Return the ids that were given."""
        return task_ids(self.dashscope_task_id)

    def finish(self, context: Context, hook: DashScopeHook, ids: Sequence[str]) -> Manifest:
        """Copy what there is; fail afterwards if something is missing."""
        tasks = [hook.get_task(task_id) for task_id in ids]
        if unfinished := [task for task in tasks if not task.status.is_terminal]:
            raise _NotEndedError(
                f"{' '.join(task.describe() for task in unfinished[:5])} Wait for it with DashScopeTaskSensor or "
                "wait_for_completion=True."
            )
        good = [task for task in tasks if task.status is TaskStatus.SUCCEEDED]
        KeyTemplate(self.s3_key).check_distinct(good, run_id=str(context["run_id"]))
        manifest: Manifest = []
        failures: list[DashScopeError] = []
        copier = _Copier(
            hook=hook,
            destination=self._destination(),
            template=KeyTemplate(self.s3_key),
            run_id=str(context["run_id"]),
            log=self.log,
        )
        try:
            for task in good:
                try:
                    manifest.extend(copier.copy(task))
                except S3Error:
                    raise
                except DashScopeError as error:
                    # The others were paid for too, and may be gone by the time of a retry.
                    self.log.warning("%s", error)
                    failures.append(error)
        finally:
            # A failing task's return value is not stored, yet what was copied was paid for and should be found.
            context["ti"].xcom_push(key="return_value", value=manifest)
            self._announce(context, manifest)
        if bad := [task for task in tasks if task.status is not TaskStatus.SUCCEEDED]:
            failures.append(TaskNotSucceededError(bad, succeeded=len(good)))
        if failures:
            raise _CopyError(failures)
        return manifest

    def _destination(self) -> S3Destination:
        return S3Destination(
            aws_conn_id=self.aws_conn_id,
            bucket=self.s3_bucket,
            replace=self.replace,
            encrypt=self.encrypt,
            acl_policy=self.acl_policy,
            extra_args=self.extra_args or {},
        )

    def _announce(self, context: Context, manifest: Manifest) -> None:
        """Attach what was written to the events of the operator's outlets."""
        for outlet in self.outlets:
            if isinstance(outlet, AssetAlias):
                for entry in manifest:
                    uri = f"s3://{entry['bucket']}/{entry['key']}"
                    context["outlet_events"][outlet].add(Asset(uri), extra=entry)
            elif isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra["objects"] = cast("Any", manifest)


@dataclass(frozen=True, kw_only=True)
class _Copier:
    """Copies tasks' results to one destination."""

    hook: DashScopeHook
    destination: S3Destination
    template: KeyTemplate
    run_id: str
    log: Log

    def copy(self, task: Task) -> Iterator[dict[str, Any]]:
        """Copy the results of a task one by one; yield an entry of the manifest for each."""
        for failure in task.failures:
            self.log.warning(
                "Part %s of DashScope task %s failed: %s", failure.path, task.task_id, failure.reason
            )
        if task.made_only_data:
            yield self._keep_output(task)
        elif not task.results:
            raise _NoFileError(task)
        for file in task.results:
            yield self._copy_file(task, file)

    def _keep_output(self, task: Task) -> dict[str, Any]:
        """Store the answer of a model that makes no file, and hand it on in the manifest."""
        text = json.dumps(dict(task.output), ensure_ascii=False, indent=2).encode()
        key = self.template.render(task, 0, extension=".json", run_id=self.run_id)
        content_type = "application/json"
        written = self.destination.write(
            io.BytesIO(text), key, content_type=content_type, metadata=_metadata(task)
        )
        size, digest = (
            (len(text), hashlib.sha256(text).hexdigest()) if written else self.destination.measure(key)
        )
        self.log.info(
            "DashScope task %s made no file; its answer is s3://%s/%s.",
            task.task_id,
            self.destination.bucket,
            key,
        )
        entry = self._entry(
            task, 0, key, size=size, sha256=digest, content_type=content_type, written=written
        )
        return {**entry, "output": dict(task.output)}

    def _entry(
        self, task: Task, index: int, key: str, *, size: int, sha256: str, content_type: str, written: bool
    ) -> dict[str, Any]:
        """Make the entry of one object in the manifest."""
        return {
            "bucket": self.destination.bucket,
            "key": key,
            "bytes": size,
            "sha256": sha256,
            "content_type": content_type,
            "dashscope_task_id": task.task_id,
            "index": index,
            "style": task.style_index,
            "written": written,
        }

    def _copy_file(self, task: Task, file: ResultFile) -> dict[str, Any]:
        """Copy one result; if its URL has expired or the download breaks, ask the task for a URL again and start over."""
        for pause in COPY_PAUSES:
            try:
                return self._copy_once(task, file)
            except S3Error:
                raise
            except DashScopeError as error:
                if not error.retryable:
                    raise
                self.log.warning("%s Asking for its URL again in %s s.", error, pause)
            time.sleep(pause)
            task = self.hook.get_task(task.task_id)
            check_outcome([task])
            file = next((one for one in task.results if one.index == file.index), file)
        return self._copy_once(task, file)

    def _copy_once(self, task: Task, file: ResultFile) -> dict[str, Any]:
        began = time.monotonic()
        what = f"result {file.index} of DashScope task {task.task_id}"
        with self.hook.get_conn().download(file.url, what=what) as (received, chunks):
            key = self.template.render(
                task, file.index, extension=_extension(file, received), run_id=self.run_id
            )
            content_type = received.content_type or "application/octet-stream"
            written = self.destination.write(
                _ChunkReader(chunks), key, content_type=content_type, metadata=_metadata(task)
            )
        size, digest = (received.size, received.sha256) if written else self.destination.measure(key)
        bucket = self.destination.bucket
        self.log.info(
            "%s %s as s3://%s/%s (%s bytes, %.1f s).",
            "Copied" if written else "Kept",
            what,
            bucket,
            key,
            size,
            time.monotonic() - began,
        )
        return self._entry(
            task, file.index, key, size=size, sha256=digest, content_type=content_type, written=written
        )


class _NotEndedError(DashScopeError):
    """A task that was to be copied still runs."""

    retryable = True


class _NoFileError(DashScopeError):
    """A task has succeeded without making anything; reading it again would not change that."""

    def __init__(self, task: Task) -> None:
        said = (
            task.message
            or " ".join(failure.reason for failure in task.failures)
            or "nothing about the reason"
        )
        super().__init__(
            f"DashScope task {task.task_id} has succeeded, yet its answer holds no result URL. The service says: {said}"
        )


class _CopyError(DashScopeError):
    """One or more results could not be copied."""

    def __init__(self, failures: Sequence[DashScopeError]) -> None:
        self.retryable = any(failure.retryable for failure in failures)
        self.final = any(failure.final for failure in failures)
        more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
        super().__init__(" ".join(str(failure) for failure in failures[:5]) + more)


class _ChunkReader:
    """The part of a file's interface that boto3's upload needs, over chunks as they arrive."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes, all that remain for -1, empty at the end."""
        parts, missing = [self._rest], size - len(self._rest)
        while size < 0 or missing > 0:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            missing -= len(chunk)
        data = b"".join(parts)
        self._rest = data[size:] if size >= 0 else b""
        return data[:size] if size >= 0 else data


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


def _extension(file: ResultFile, received: ReceivedFile) -> str:
    return file.extension or _EXTENSIONS.get(received.content_type, "")


def _metadata(task: Task) -> dict[str, str]:
    return {TASK_ID: task.task_id, "dashscope-request-id": task.request_id or ""}
