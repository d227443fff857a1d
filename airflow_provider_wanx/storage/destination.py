"""Where results go: a bucket, and what is to hold for every object that is put there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.storage.s3_errors import s3_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

Replace = bool | Literal["skip"]

TASK_ID = "dashscope-task-id"
"""Metadata by which an object is recognized as the result of a task."""

SMALL_MEMORY = {"max_concurrency": 1, "use_threads": False}
"""boto3's transfer settings: one part of 8 MiB in memory at a time."""


@dataclass(kw_only=True)
class S3Destination:
    """A bucket to write results to; made for one run of an operator, which then needs one client only.

    :param aws_conn_id: AWS connection that may write to the bucket.
    :param bucket: its name.
    :param replace: what to do when a key exists: True replaces the object, ``"skip"`` keeps it, False fails unless it is the
        same task's result.
    :param encrypt: whether S3 encrypts the objects (SSE-S3).
    :param acl_policy: canned ACL of the objects.
    :param extra_args: further arguments of boto3's upload.
    """

    aws_conn_id: str | None
    bucket: str
    replace: Replace = True
    encrypt: bool = False
    acl_policy: str | None = None
    extra_args: Mapping[str, Any] = field(default_factory=dict)
    _connected: S3Hook | None = field(default=None, init=False, repr=False)

    @property
    def client(self) -> Any:
        """boto3's S3 client; may be used by several threads once it was made."""
        return self._hook().get_conn()

    def check(self) -> None:
        """Find out what can be wrong before anything is waited for or written.

        :raises InvalidInputError: boto3 takes no such argument.
        :raises S3Error: the bucket cannot be used.
        """
        from boto3.s3.transfer import S3Transfer  # heavy, see _hook

        if unknown := sorted(set(self.extra_args) - set(S3Transfer.ALLOWED_UPLOAD_ARGS)):
            known = ", ".join(S3Transfer.ALLOWED_UPLOAD_ARGS)
            raise InvalidInputError(
                f"extra_args has {', '.join(unknown)}, which boto3 does not know. Known are {known}."
            )
        with s3_errors(f"use bucket {self.bucket}"):
            self._hook().get_conn().head_bucket(Bucket=self.bucket)

    def exists(self, key: str) -> bool:
        """Tell whether there is an object under a key.

        :raises S3Error: S3 does not tell.
        """
        with s3_errors(f"look for s3://{self.bucket}/{key}"):
            return self._hook().head_object(key, self.bucket) is not None

    def write(self, stream: object, key: str, *, content_type: str, metadata: dict[str, str]) -> bool:
        """Put an object under a key, all of it or nothing.

        :param stream: has ``read``.
        :param metadata: with :data:`TASK_ID`.
        :return: whether it was written; False if what is there was kept.
        :raises InvalidInputError: the key exists, is another task's, and must not be replaced.
        """
        own = {"ContentType": content_type, **self.extra_args}
        own["Metadata"] = {**own.get("Metadata", {}), **metadata}
        with s3_errors(f"write s3://{self.bucket}/{key}"):
            s3 = self._hook(own)
            if self.replace is not True and (there := s3.head_object(key, self.bucket)) is not None:
                # An earlier try of the same Airflow task may have written it, and must not keep this one from the rest.
                if self.replace == "skip" or there.get("Metadata", {}).get(TASK_ID) == metadata[TASK_ID]:
                    return False
                raise InvalidInputError(
                    f"The key exists: s3://{self.bucket}/{key}. Choose another s3_key, or replace=True or 'skip'."
                )
            s3.load_file_obj(
                cast("Any", stream),
                key=key,
                bucket_name=self.bucket,
                replace=True,
                encrypt=self.encrypt,
                acl_policy=self.acl_policy,
            )
        return True

    def measure(self, key: str) -> tuple[int, str]:
        """Read an object; return its size in bytes and its SHA-256 in hexadecimal."""
        with s3_errors(f"read s3://{self.bucket}/{key}"):
            body: BinaryIO = self._hook().get_conn().get_object(Bucket=self.bucket, Key=key)["Body"]
            digest, size = hashlib.sha256(), 0
            while chunk := body.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
        return size, digest.hexdigest()

    def _hook(self, extra_args: dict[str, Any] | None = None) -> S3Hook:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # boto3 is heavy, and DAG parsing needs none

        hook = S3Hook(
            aws_conn_id=self.aws_conn_id, extra_args=extra_args or {}, transfer_config_args=SMALL_MEMORY
        )
        # A hook carries the arguments of one upload. Reading the connection and making a client takes longer than most of them.
        if self._connected is not None:
            hook.conn, hook.conn_config = self._connected.conn, self._connected.conn_config
        else:
            hook.get_conn()
            self._connected = hook
        return hook
