"""Copy the results of DashScope tasks to S3 before the service deletes them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_wanx.dashscope.errors import DashScopeError, DownloadError, InvalidInputError
from airflow_provider_wanx.dashscope.models import ResultFile, Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import check_outcome
from airflow_provider_wanx.exceptions import airflow_errors
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.object_key import KeyTemplate
from airflow_provider_wanx.operators.base import DashScopeWaitingOperator
from airflow_provider_wanx.s3 import S3Error, s3_errors
from airflow_provider_wanx.waiting import task_ids

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wanx.dashscope.download import ReceivedFile

Manifest = list[dict[str, Any]]

COPY_PAUSES = (1, 4, 10)
"""Seconds between the tries of one copy."""

SMALL_MEMORY = {"max_concurrency": 1, "use_threads": False}
"""boto3's transfer settings: one part of 8 MiB in memory at a time."""


class DashScopeToS3Operator(DashScopeWaitingOperator):
    """Copy every result of one task, or of a list of tasks, to S3.

    Bytes are streamed, checked against the length and checksum that the service announced, and become an object only when
    they have arrived whole. Doing it again gives the same objects under the same keys. The operator returns a manifest:
    a list of ``{bucket, key, bytes, sha256, content_type, dashscope_task_id, index, style, written}``.

    Of a list, all that succeeded is copied before the operator fails because of the others; the manifest is then still in
    its XCom. With ``wait_for_completion=True`` it waits for tasks that have not ended; else it fails and says so.

    .. seealso:: the guide :doc:`/transfer`.

    :param dashscope_task_id: the service's id, or a list of them.
    :param s3_bucket: the bucket.
    :param s3_key: key with fields in braces: ``{dashscope_task_id}``, ``{index}``, ``{style}``, ``{style_name}``,
        ``{extension}``, ``{run_id}``. One that ends in a slash gets a name by task id and index.
    :param aws_conn_id: AWS connection that may write to the bucket.
    :param replace: what to do when the key exists: True replaces the object, False fails, ``"skip"`` keeps it.
    :param encrypt: whether S3 encrypts the object (SSE-S3).
    :param acl_policy: canned ACL of the object.
    :param extra_args: further arguments of boto3's upload, such as ``ServerSideEncryption``, ``SSEKMSKeyId``,
        ``StorageClass``, ``Tagging``.
    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    :param wait_for_completion: whether to wait for tasks that have not ended.
    :param deferrable: whether to wait in the triggerer, holding no worker.
    :param poll_interval: seconds between two looks at a task.
    :param wait_timeout: longest wait, in seconds or as a timedelta.
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
        replace: bool | Literal["skip"] = True,
        encrypt: bool = False,
        acl_policy: str | None = None,
        extra_args: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        with airflow_errors(), DashScopeHook(self.dashscope_conn_id) as hook:
            ids = task_ids(self.dashscope_task_id)
            KeyTemplate(self.s3_key)
            self._check_bucket()
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
        run_id = str(context["run_id"])
        template = KeyTemplate(self.s3_key)
        template.check_distinct(good, run_id=run_id)
        manifest: Manifest = []
        try:
            for task in good:
                manifest.extend(self._copy_task(task, template, run_id, hook))
        finally:
            # A failing task's return value is not stored, yet what was copied was paid for and should be found.
            context["ti"].xcom_push(key="return_value", value=manifest)
            self._announce(context, manifest)
        check_outcome(tasks)
        return manifest

    def _check_bucket(self) -> None:
        with s3_errors(f"use bucket {self.s3_bucket}"):
            self._s3().get_conn().head_bucket(Bucket=self.s3_bucket)

    def _s3(self, extra_args: dict[str, Any] | None = None) -> S3Hook:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # boto3 is heavy, and DAG parsing needs none

        return S3Hook(
            aws_conn_id=self.aws_conn_id, extra_args=extra_args or {}, transfer_config_args=SMALL_MEMORY
        )

    def _copy_task(
        self, task: Task, template: KeyTemplate, run_id: str, hook: DashScopeHook
    ) -> Iterator[dict[str, Any]]:
        for failure in task.failures:
            self.log.warning(
                "Part %s of DashScope task %s failed: %s: %s",
                failure.path,
                task.task_id,
                failure.code,
                failure.message,
            )
        if not task.results:
            raise DownloadError(
                f"DashScope task {task.task_id} has succeeded, yet its answer holds no result URL."
            )
        for file in task.results:
            yield self._copy_file(task, file, template, run_id, hook)

    def _copy_file(
        self, task: Task, file: ResultFile, template: KeyTemplate, run_id: str, hook: DashScopeHook
    ) -> dict[str, Any]:
        """Copy one result; if its URL has expired or the download breaks, ask the task for a URL again and start over."""
        for pause in COPY_PAUSES:
            try:
                return self._copy_once(task, file, template, run_id, hook)
            except S3Error:
                raise
            except DashScopeError as error:
                if not error.retryable:
                    raise
                self.log.warning("%s Asking for its URL again in %s s.", error, pause)
            time.sleep(pause)
            task = hook.get_task(task.task_id)
            check_outcome([task])
            file = next((one for one in task.results if one.index == file.index), file)
        return self._copy_once(task, file, template, run_id, hook)

    def _copy_once(
        self, task: Task, file: ResultFile, template: KeyTemplate, run_id: str, hook: DashScopeHook
    ) -> dict[str, Any]:
        what = f"result {file.index} of DashScope task {task.task_id}"
        with hook.get_conn().download(file.url, what=what) as (received, chunks):
            stream = _ChunkReader(chunks)
            key = template.render(task, file.index, extension=_extension(file, received), run_id=run_id)
            content_type = received.content_type or "application/octet-stream"
            written = self._write(stream, key, content_type, _metadata(task))
        if written:
            size, digest = received.size, received.sha256
        else:
            size, digest = self._existing(key)
        self.log.info(
            "%s %s as s3://%s/%s (%s bytes).",
            "Copied" if written else "Kept",
            what,
            self.s3_bucket,
            key,
            size,
        )
        return {
            "bucket": self.s3_bucket,
            "key": key,
            "bytes": size,
            "sha256": digest,
            "content_type": content_type,
            "dashscope_task_id": task.task_id,
            "index": file.index,
            "style": task.style_index,
            "written": written,
        }

    def _write(self, stream: _ChunkReader, key: str, content_type: str, metadata: dict[str, str]) -> bool:
        s3 = self._s3({"ContentType": content_type, **(self.extra_args or {}), "Metadata": metadata})
        with s3_errors(f"write s3://{self.s3_bucket}/{key}"):
            if self.replace is not True and s3.check_for_key(key, self.s3_bucket):
                if self.replace == "skip":
                    return False
                raise InvalidInputError(
                    f"s3://{self.s3_bucket}/{key} exists. Choose another s3_key, or replace=True or 'skip'."
                )
            s3.load_file_obj(
                cast("Any", stream),
                key=key,
                bucket_name=self.s3_bucket,
                replace=True,
                encrypt=self.encrypt,
                acl_policy=self.acl_policy,
            )
        return True

    def _existing(self, key: str) -> tuple[int, str]:
        with s3_errors(f"read s3://{self.s3_bucket}/{key}"):
            body: BinaryIO = self._s3().get_conn().get_object(Bucket=self.s3_bucket, Key=key)["Body"]
            digest, size = hashlib.sha256(), 0
            while chunk := body.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
        return size, digest.hexdigest()

    def _announce(self, context: Context, manifest: Manifest) -> None:
        """Attach what was written to the events of the operator's outlets."""
        for outlet in self.outlets:
            if isinstance(outlet, AssetAlias):
                for entry in manifest:
                    uri = f"s3://{entry['bucket']}/{entry['key']}"
                    context["outlet_events"][outlet].add(Asset(uri), extra=entry)
            elif isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra["objects"] = cast("Any", manifest)


class _NotEndedError(DashScopeError):
    """A task that was to be copied still runs."""

    retryable = True


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
    return {"dashscope-task-id": task.task_id, "dashscope-request-id": task.request_id or ""}
