"""Where results go: a bucket of S3 or a folder of this machine, and what is to hold for everything that is put there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from airflow_provider_wanx.dashscope.errors import InvalidInputError, ProviderError, S3Error
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.key_template import check_no_ledger
from airflow_provider_wanx.jobs.copying.multipart_upload import probe, upload
from airflow_provider_wanx.jobs.copying.result_metadata import DASHSCOPE_TASK_ID, ownership
from airflow_provider_wanx.s3.addresses import bucket_name
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.objects import ObjectStream, user_metadata

Replace = bool | Literal["skip"]


class Destination(Protocol):
    """A place for results, each under a key."""

    def url(self, key: str) -> str:
        """Return where a result is, for messages and manifests."""

    def write(
        self, pieces: Iterable[bytes], key: str, *, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        """Put a result under a key, all of it or nothing.

        :param pieces: its bytes; an error in their midst leaves nothing behind.
        :param metadata: with :data:`DASHSCOPE_TASK_ID`.
        :return: whether it was written; False if what is there was kept.
        :raises InvalidInputError: the key exists, is another task's, and must not be replaced.
        :raises ProviderError: the place does not take it.
        """

    def measure(self, key: str) -> tuple[int, str]:
        """Read a result; return its size in bytes and its SHA-256 in hexadecimal."""


@dataclass(frozen=True, kw_only=True)
class S3Destination:
    """A bucket to write results to.

    :param client: boto3's S3 client; may be used by several threads.
    :param bucket: its name.
    :param owner: the task instance that writes, which every object names in its metadata; None outside of Airflow.
    :param replace: what to do when a key exists: True replaces the object, ``"skip"`` keeps it, False fails unless it is the
        same task's result.
    :param extra_args: further arguments of boto3's upload.
    :param on_write: is told the key of each object that was written.
    """

    client: Any
    bucket: str
    owner: Identity | None = None
    replace: Replace = True
    extra_args: Mapping[str, Any] = field(default_factory=dict)
    on_write: Callable[[str], object] = lambda key: None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bucket", bucket_name(self.bucket))

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata of every object that is written here."""
        return {} if self.owner is None else ownership(self.owner)

    def url(self, key: str) -> str:
        """Return an object's ``s3://`` URL."""
        return f"s3://{self.bucket}/{key}"

    def check(self) -> None:
        """Find out what can be wrong before anything is waited for or written.

        :raises InvalidInputError: boto3 takes no such argument.
        :raises S3Error: the bucket cannot be used.
        """
        from boto3.s3.transfer import S3Transfer  # heavy

        if unknown := sorted(set(self.extra_args) - set(S3Transfer.ALLOWED_UPLOAD_ARGS)):
            known = ", ".join(S3Transfer.ALLOWED_UPLOAD_ARGS)
            raise InvalidInputError(
                f"extra_args has {', '.join(unknown)}, which boto3 does not know. Known are {known}."
            )
        with s3_errors(f"use bucket {self.bucket}"):
            self.client.head_bucket(Bucket=self.bucket)

    def try_writing(self, prefix: str | None = None) -> None:
        """Find out whether the store takes what will be written, before that is paid for.

        An object is begun in parts and given up, so nobody is told of one and nothing has to be deleted.

        :param prefix: where it will be written; None if that is not known, and a refusal to write elsewhere tells nothing.
        :raises S3Error: it does not.
        """
        key = f"{prefix or ''}airflow-provider-wanx-probe"
        try:
            with s3_errors(f"write to {self.url(prefix or '')}"):
                probe(self.client, bucket=self.bucket, key=key, arguments=self._arguments({}))
        except S3Error as error:
            if prefix is not None or error.code not in ("AccessDenied", "403"):
                raise

    def exists(self, key: str) -> bool:
        """Tell whether there is an object under a key.

        :raises S3Error: S3 does not tell.
        """
        with s3_errors(f"look for {self.url(key)}"):
            return self._head(key) is not None

    def write(
        self, pieces: Iterable[bytes], key: str, *, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        """See :class:`Destination`.

        :raises InvalidInputError: the key lies in a batch's ledger, or exists, is another task's, and must not be replaced.
        """
        check_no_ledger(key)
        arguments = {"ContentType": content_type, **self._arguments(metadata)}
        with s3_errors(f"write {self.url(key)}"):
            if self.replace is not True and (there := self._head(key)) is not None:
                # An earlier try of the same Airflow task may have written it, and must not keep this one from the rest.
                if (
                    self.replace == "skip"
                    or user_metadata(there).get(DASHSCOPE_TASK_ID) == metadata[DASHSCOPE_TASK_ID]
                ):
                    return False
                raise InvalidInputError(
                    f"The key exists: {self.url(key)}. Choose another s3_key, or replace=True or 'skip'."
                )
            upload(self.client, pieces, bucket=self.bucket, key=key, arguments=arguments)
        self.on_write(key)
        return True

    def measure(self, key: str) -> tuple[int, str]:
        """See :class:`Destination`."""
        with (
            s3_errors(f"read {self.url(key)}"),
            ObjectStream(self.client, bucket=self.bucket, key=key) as body,
        ):
            return _measured(body)

    def _head(self, key: str) -> Mapping[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            answer: Mapping[str, Any] = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return answer

    def _arguments(self, metadata: Mapping[str, str]) -> dict[str, Any]:
        own = {**self.extra_args.get("Metadata", {}), **metadata, **self.metadata}
        return {**self.extra_args, "Metadata": own}


@dataclass(frozen=True, kw_only=True)
class FolderDestination:
    """A folder of this machine to write results to; keys are paths in it.

    A file has no metadata, so a result is known as a task's by the id in its name.

    :param folder: its path.
    :param replace: what to do when a file exists: True replaces it, False fails unless it is the same task's result.
    """

    folder: Path
    replace: bool = False

    def url(self, key: str) -> str:
        """Return a file's path."""
        return str(self.folder / key)

    def check(self) -> None:
        """Find out whether something can be written, before that is paid for.

        :raises InvalidInputError: nothing can.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.folder).close()
        except OSError as error:
            raise InvalidInputError(
                f"{error.strerror or error}: nothing can be written to {self.folder}."
            ) from None

    def exists(self, key: str) -> bool:
        """Tell whether there is a file."""
        return (self.folder / key).exists()

    def write(
        self, pieces: Iterable[bytes], key: str, *, content_type: str, metadata: Mapping[str, str]
    ) -> bool:
        """See :class:`Destination`."""
        path = self.folder / key
        if not self.replace and path.exists():
            if metadata[DASHSCOPE_TASK_ID] in path.name:
                return False
            raise InvalidInputError(f"The file exists: {path}. Choose another one, or replace it.")
        with self._errors(path), _whole_file(path) as file:
            file.writelines(pieces)
        return True

    def measure(self, key: str) -> tuple[int, str]:
        """See :class:`Destination`."""
        path = self.folder / key
        with self._errors(path), path.open("rb") as file:
            return _measured(file)

    @contextmanager
    def _errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ProviderError(
                f"{error.strerror or error}: {path} could not be written.", retryable=True
            ) from None


@contextmanager
def _whole_file(path: Path) -> Iterator[Any]:
    """Write a file that has its name only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=path.suffix, delete=False) as part:
        try:
            yield part
            part.close()
            # Temporary files are for their owner only.
            umask = os.umask(0)
            os.umask(umask)
            Path(part.name).chmod(0o666 & ~umask)
            Path(part.name).replace(path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise


def _measured(file: Any) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()
