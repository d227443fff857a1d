"""Objects in S3: small ones, which are read whole or not at all, and large ones as streams."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_wanx.dashscope.errors import (
    ConflictError,
    InvalidInputError,
    ObjectTooLargeError,
    UnconditionalStoreError,
)
from airflow_provider_wanx.dashscope.store import ABSENT, Version
from airflow_provider_wanx.s3.error_messages import lacks_reason, s3_errors

MAX_SMALL_OBJECT_BYTES = 1024 * 1024
"""Largest small object: a thousand times a record, and little enough for JSON, which takes 25 times its size in memory."""

READ_TRIES = 3
"""Tries of one read whose bytes, or whose refusal, broke off on the way; boto itself repeats only what fails before that."""

_NO_VERSION = f'"{"0" * 32}"'
"""A version that no object has."""

_CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


def read_object(
    client: Any, *, bucket: str, key: str, limit: int, **arguments: Any
) -> tuple[bytes, dict[str, Any]]:
    """Read an object whole, or not at all if it is large.

    :param client: boto3's S3 client.
    :param limit: the most bytes that are read.
    :param arguments: more of boto3's ``get_object``, such as ``Range``.
    :return: its bytes, and boto3's answer.
    :raises ObjectTooLargeError: it has more bytes.
    :raises botocore.exceptions.ClientError: S3 does not give it.
    :raises botocore.exceptions.BotoCoreError: it did not arrive whole.
    """
    from botocore.exceptions import (
        ClientError,
        FlexibleChecksumError,
        HTTPClientError,
        IncompleteReadError,
    )

    tries_left = READ_TRIES
    while True:
        tries_left -= 1
        try:
            answer: dict[str, Any] = client.get_object(Bucket=bucket, Key=key, **arguments)
            with closing(answer["Body"]) as stream:
                body = bytearray()
                # A read may return less than it is asked for; the empty one at the end compares length and checksum.
                while answer.get("ContentLength", 0) <= limit and len(body) <= limit:
                    if not (chunk := stream.read(limit + 1 - len(body))):
                        return bytes(body), answer
                    body += chunk
            raise ObjectTooLargeError(f"s3://{bucket}/{key}", limit=limit)
        except (ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError) as error:
            if not tries_left or (isinstance(error, ClientError) and not lacks_reason(error)):
                raise


def user_metadata(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return an object's user metadata from boto3's answer, by names in lower case: some stores write them otherwise."""
    return {name.lower(): value for name, value in answer.get("Metadata", {}).items()}


class ObjectStream(io.RawIOBase):
    """Reads an object from its beginning; if its bytes break off, asks for the rest of the same version.

    :param client: boto3's S3 client.
    :raises botocore.exceptions.ClientError: S3 does not give it, or it was replaced in the meantime.
    """

    def __init__(self, client: Any, *, bucket: str, key: str) -> None:
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        # Python closes also what could not be opened.
        self._answer: dict[str, Any] = {"Body": io.BytesIO()}
        self._answer = client.get_object(**self._place)
        self._offset = 0
        self._tries_left = READ_TRIES

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes; none at the end."""
        chunk = self._read(len(buffer))
        # Only breaks without a byte between them count: a long object may meet many.
        self._tries_left = READ_TRIES
        buffer[: len(chunk)] = chunk
        self._offset += len(chunk)
        return len(chunk)

    def close(self) -> None:
        """Close the connection."""
        self._answer["Body"].close()
        super().close()

    def _read(self, size: int) -> bytes:
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        while True:
            try:
                chunk: bytes = self._answer["Body"].read(size)
            except (HTTPClientError, IncompleteReadError):
                self._tries_left -= 1
                if not self._tries_left or "ETag" not in self._answer:
                    raise
                self._answer["Body"].close()
                self._answer = self._client.get_object(
                    **self._place, Range=f"bytes={self._offset}-", IfMatch=self._answer["ETag"]
                )
            else:
                return chunk


class ObjectStore:
    """Objects under one prefix of a bucket; a :class:`~airflow_provider_wanx.dashscope.store.Store`.

    :param client: boto3's S3 client; may be used by several threads.
    :param bucket: the bucket's name.
    :param prefix: what every key begins with; empty, or ends in a slash.
    :param max_bytes: size of the largest object that is read or written.
    :param metadata: the user's metadata of every object that is written.
    """

    def __init__(
        self,
        client: Any,
        *,
        bucket: str,
        prefix: str,
        max_bytes: int = MAX_SMALL_OBJECT_BYTES,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._max_bytes = max_bytes
        self._metadata = dict(metadata or {})

    def url(self, name: str = "") -> str:
        """Return an object's ``s3://`` URL."""
        return f"s3://{self._bucket}/{self._prefix}{name}"

    def read(self, name: str) -> Version:
        """Read an object; one that does not exist has the version :data:`ABSENT`.

        :raises ObjectTooLargeError: it is larger than any that is kept here.
        :raises S3Error: S3 does not give it.
        """
        from botocore.exceptions import ClientError

        with s3_errors(f"read {self.url(name)}"):
            try:
                body, answer = read_object(
                    self._client, bucket=self._bucket, key=self._prefix + name, limit=self._max_bytes
                )
            except ClientError as error:
                if _code(error) == "NoSuchKey":
                    return Version(b"", ABSENT, _time(error.response))
                raise
            return Version(body, answer["ETag"], _time(answer))

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        """Write an object whole.

        :param replacing: the version that it has now; :data:`ABSENT` if it must not exist, None to replace any.
        :return: its new version.
        :raises InvalidInputError: it is larger than what would be read again.
        :raises ConflictError: it has another version.
        :raises UnconditionalStoreError: the store knows no conditions.
        :raises S3Error: S3 does not take it.
        """
        from botocore.exceptions import ClientError

        if len(body) > self._max_bytes:
            raise InvalidInputError(
                f"{self.url(name)} would have {len(body):,} bytes, and {self._max_bytes:,} is the most that is read again."
            )
        condition: dict[str, str] = {}
        if replacing is not None:
            condition = {"IfNoneMatch": "*"} if replacing == ABSENT else {"IfMatch": replacing}
        with s3_errors(f"write {self.url(name)}"):
            try:
                answer = self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._prefix + name,
                    Body=body,
                    ContentType="application/jsonl" if name.endswith(".jsonl") else "application/json",
                    Metadata=self._metadata,
                    **condition,
                )
            except ClientError as error:
                # With If-Match, a deleted object is no conflict to S3 but a missing key.
                if condition and (_code(error) in _CONFLICTS or _code(error) == "NoSuchKey"):
                    raise ConflictError(
                        f"Somebody else has changed an object in the meantime: {self.url(name)}."
                    ) from None
                if condition and _code(error) == "NotImplemented":
                    header = {"IfNoneMatch": "If-None-Match", "IfMatch": "If-Match"}[next(iter(condition))]
                    raise self._unconditional(header) from None
                raise
            return str(answer["ETag"])

    def delete(self, name: str) -> None:
        """Delete an object, if it exists.

        :raises S3Error: S3 does not delete it.
        """
        with s3_errors(f"delete {self.url(name)}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def check_conditions(self, name: str) -> None:
        """Find out whether the store refuses what must not be replaced; not every store that speaks S3 does.

        :param name: an object that exists.
        :raises UnconditionalStoreError: it does not.
        """
        existing = self.read(name)
        for header, version in (("If-None-Match", ABSENT), ("If-Match", _NO_VERSION)):
            try:
                self.write(name, existing.body, replacing=version)
            except ConflictError:
                continue
            raise self._unconditional(header)

    def _unconditional(self, header: str) -> UnconditionalStoreError:
        return UnconditionalStoreError(
            f"The store does not know conditional writes ({header}), so two runs could not be kept apart: {self.url()}. "
            "Amazon S3 and MinIO know them; choose a bucket on such a store."
        )


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _time(answer: Any) -> float | None:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
