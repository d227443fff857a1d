"""A large object as a stream that goes on where it broke off."""

from __future__ import annotations

import io
from typing import Any

from airflow_provider_wanx.s3.objects import READ_TRIES


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
