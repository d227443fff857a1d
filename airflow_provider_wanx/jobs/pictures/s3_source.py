"""One bucket of S3 as a source of pictures: reads what is in it, and signs URLs from which others may."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, NamedTuple

from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT_SECONDS, ImageTransfer
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.objects import read_object

PRESIGNED_FOR_SECONDS = int(2 * QUEUE_TIMEOUT_SECONDS)
"""Seconds for which a URL is signed at most: the service may queue a task that long before it fetches the input."""


class Beginning(NamedTuple):
    """The first bytes of a picture.

    :param content: the bytes.
    :param size: of the whole picture.
    :param version: differs from that of any other content; empty if the store has none.
    :param content_type: what the store calls it.
    """

    content: bytes
    size: int
    version: str = ""
    content_type: str = ""


class S3Source:
    """A bucket; may be used by several threads.

    :param client: boto3's S3 client, which signs as the bucket's region takes it.
    :param bucket: the bucket's name.
    :param credentials: with which the client signs, as botocore has them.
    :param transfer: how the service gets what is in it: by a presigned ``"link"``, or by an ``"upload"`` to its own store.
    """

    def __init__(
        self, client: Any, *, bucket: str, credentials: Any, transfer: ImageTransfer = "link"
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._credentials = credentials
        self.transfer = transfer
        self._has_told = False

    def read(self, key: str, most: int, *, limit: int) -> Beginning:
        """Read the first bytes of an object.

        :param most: so many of them.
        :param limit: most bytes that a store may send which does not know ranges.
        :raises S3Error: S3 does not give it.
        """
        with s3_errors(f"read s3://{self._bucket}/{key}"):
            content, answer = read_object(
                self._client, bucket=self._bucket, key=key, limit=limit, Range=f"bytes=0-{most - 1}"
            )
        total = str(answer.get("ContentRange", "")).rpartition("/")[2]
        size = int(total) if total.isdecimal() else len(content)
        return Beginning(content[:most], size, answer.get("ETag", ""), answer.get("ContentType", ""))

    def link(self, key: str, **answer_as: str) -> str:
        """Sign a URL of an object, for no longer than the credentials live.

        :param answer_as: headers with which S3 is to answer, such as ``ResponseContentType``.
        :raises S3Error: the connection cannot sign.
        """
        with s3_errors(f"presign s3://{self._bucket}/{key}"):
            url: str = self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key, **answer_as},
                ExpiresIn=min(PRESIGNED_FOR_SECONDS, self._seconds_left() or PRESIGNED_FOR_SECONDS),
            )
            return url

    def new_doubts(self) -> tuple[str, ...]:
        """One sentence, if a signed URL may end before the service fetches it; once, for all pictures of the bucket."""
        if self._has_told:
            return ()
        self._has_told = True
        with s3_errors(f"presign URLs of s3://{self._bucket}"):
            left = self._seconds_left()
        if left is None:
            when = "when the session token of the AWS connection does, which it does not tell"
        elif left < QUEUE_TIMEOUT_SECONDS:
            when = f"in {left / 60:.0f} minutes, with the credentials of the AWS connection"
        else:
            return ()
        told = (
            f"Presigned URLs of pictures in s3://{self._bucket} end {when}; the service may queue a task for "
            f"{QUEUE_TIMEOUT_SECONDS / 3600:.0f} hours before it fetches its picture. "
            "image_transfer='upload' makes up for that."
        )
        return (told,)

    def _seconds_left(self) -> int | None:
        """How long the credentials live, as far as it matters; None if they end and do not tell when."""
        if self._credentials is None:
            return PRESIGNED_FOR_SECONDS
        # Renews those that are about to end.
        frozen = self._credentials.get_frozen_credentials()
        end_within = getattr(self._credentials, "refresh_needed", None)
        if end_within is None:
            return None if frozen.token else PRESIGNED_FOR_SECONDS
        return max(1, bisect_left(range(PRESIGNED_FOR_SECONDS + 1), True, key=end_within) - 1)
