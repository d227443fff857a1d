"""Where results go: a bucket, and what is to hold for every object that is put there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_wanx.dashscope.errors import InvalidInputError, S3Error
from airflow_provider_wanx.jobs.keys import check_no_ledger
from airflow_provider_wanx.jobs.marks import ownership
from airflow_provider_wanx.jobs.upload import probe, upload
from airflow_provider_wanx.s3.addresses import bucket_name
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import ObjectStream, user_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from airflow_provider_wanx.identity import Identity

Replace = bool | Literal["skip"]

TASK_ID = "dashscope-task-id"
"""Metadata by which an object is recognized as the result of a task."""

_PROBE = "airflow-provider-wanx-probe"
"""Name of an object that is begun and never made."""


@dataclass(kw_only=True)
class S3Destination:
    """A bucket to write results to; made for one run of an operator, which then needs one client only.

    :param aws_conn_id: AWS connection that may write to the bucket.
    :param bucket: its name.
    :param owner: the task instance that writes, which every object names in its metadata; None outside of Airflow.
    :param replace: what to do when a key exists: True replaces the object, ``"skip"`` keeps it, False fails unless it is the
        same task's result.
    :param extra_args: further arguments of boto3's upload.
    """

    aws_conn_id: str | None
    bucket: str
    owner: Identity | None = None
    replace: Replace = True
    extra_args: Mapping[str, Any] = field(default_factory=dict)
    _connected: S3Hook | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.bucket = bucket_name(self.bucket)

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata of every object that is written here."""
        return {} if self.owner is None else ownership(self.owner)

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

    def try_writing(self, prefix: str | None = None) -> None:
        """Find out whether the store takes what will be written, before that is paid for.

        An object is begun in parts and given up, so nobody is told of one and nothing has to be deleted.

        :param prefix: where it will be written; None if that is not known, and a refusal to write elsewhere tells nothing.
        :raises S3Error: it does not.
        """
        key = f"{prefix or ''}{_PROBE}"
        try:
            with s3_errors(f"write to s3://{self.bucket}/{prefix or ''}"):
                probe(
                    self._hook().get_conn(),
                    bucket=self.bucket,
                    key=key,
                    arguments=self._arguments(metadata={}),
                )
        except S3Error as error:
            if prefix is not None or error.code not in ("AccessDenied", "403"):
                raise

    def exists(self, key: str) -> bool:
        """Tell whether there is an object under a key.

        :raises S3Error: S3 does not tell.
        """
        with s3_errors(f"look for s3://{self.bucket}/{key}"):
            return self._hook().head_object(key, self.bucket) is not None

    def write(
        self, pieces: Iterable[bytes], key: str, *, content_type: str, metadata: dict[str, str]
    ) -> bool:
        """Put an object under a key, all of it or nothing.

        :param pieces: its bytes; an error in their midst leaves nothing behind.
        :param metadata: with :data:`TASK_ID`.
        :return: whether it was written; False if what is there was kept.
        :raises InvalidInputError: the key lies in a batch's ledger, or exists, is another task's, and must not be replaced.
        """
        check_no_ledger(key)
        arguments = {"ContentType": content_type, **self._arguments(metadata=metadata)}
        with s3_errors(f"write s3://{self.bucket}/{key}"):
            s3 = self._hook()
            if self.replace is not True and (there := s3.head_object(key, self.bucket)) is not None:
                # An earlier try of the same Airflow task may have written it, and must not keep this one from the rest.
                if self.replace == "skip" or user_metadata(there).get(TASK_ID) == metadata[TASK_ID]:
                    return False
                raise InvalidInputError(
                    f"The key exists: s3://{self.bucket}/{key}. Choose another s3_key, or replace=True or 'skip'."
                )
            upload(s3.get_conn(), pieces, bucket=self.bucket, key=key, arguments=arguments)
        self._tell_lineage(s3, key)
        return True

    def _arguments(self, *, metadata: Mapping[str, str]) -> dict[str, Any]:
        arguments = dict(self.extra_args)
        arguments["Metadata"] = {**arguments.get("Metadata", {}), **metadata, **self.metadata}
        return arguments

    def measure(self, key: str) -> tuple[int, str]:
        """Read an object; return its size in bytes and its SHA-256 in hexadecimal."""
        with s3_errors(f"read s3://{self.bucket}/{key}"):
            digest, size = hashlib.sha256(), 0
            with ObjectStream(self.client, bucket=self.bucket, key=key) as body:
                while chunk := body.read(1 << 20):
                    digest.update(chunk)
                    size += len(chunk)
        return size, digest.hexdigest()

    def _tell_lineage(self, s3: S3Hook, key: str) -> None:
        """Report an object as the hook itself does for what it uploads."""
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        get_hook_lineage_collector().add_output_asset(
            context=s3, scheme="s3", asset_kwargs={"bucket": self.bucket, "key": key}
        )

    def _hook(self) -> S3Hook:

        # Reading the connection and making a client takes longer than most uploads.
        if self._connected is None:
            hook = s3_hook(self.aws_conn_id)
            hook.get_conn()
            self._connected = hook
        return self._connected
