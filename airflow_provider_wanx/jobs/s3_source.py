"""One bucket of S3 as a source of pictures: reads what is in it, and signs URLs from which others may."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT_SECONDS
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import read_object

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

PRESIGNED_FOR = int(2 * QUEUE_TIMEOUT_SECONDS)
"""Seconds for which a URL is signed at most: the service may queue a task that long before it fetches the input."""

_OWN_ENDPOINTS = (".amazonaws.com", ".amazonaws.com.cn")


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
    """A bucket; may be used by several threads once it is made.

    :param aws_conn_id: AWS connection that may read it.
    :param bucket: its name.
    :raises S3Error: the connection cannot be used.
    """

    def __init__(self, *, aws_conn_id: str | None, bucket: str) -> None:
        self._bucket = bucket
        self._has_told = False
        with s3_errors(f"use bucket {bucket}"):
            hook = s3_hook(aws_conn_id)
            region, is_amazons = self._region(hook)
            session = hook.get_session(region_name=region)
            self._credentials = session.get_credentials()
            self._client = session.client(
                "s3",
                endpoint_url=hook.conn_config.get_service_endpoint_url(service_name="s3"),
                config=_config(hook, is_amazons=is_amazons),
                verify=hook.verify,
            )

    def _region(self, hook: S3Hook) -> tuple[str | None, bool]:
        """Find the bucket's region, whose host alone is sure to take a signed URL, and tell whether the store is Amazon's."""
        from botocore.exceptions import ClientError

        client = hook.get_conn()
        own = str(client.meta.endpoint_url).partition("://")[2].partition("/")[0]
        if not own.startswith("s3") or not own.endswith(_OWN_ENDPOINTS):
            return client.meta.region_name, False
        try:
            answer: dict[str, Any] = client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            # Who may not list the bucket is told its region all the same.
            answer = dict(error.response)
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return headers.get("x-amz-bucket-region") or client.meta.region_name, True

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
                ExpiresIn=min(PRESIGNED_FOR, self._seconds_left() or PRESIGNED_FOR),
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
            return PRESIGNED_FOR
        # Renews those that are about to end.
        frozen = self._credentials.get_frozen_credentials()
        end_within = getattr(self._credentials, "refresh_needed", None)
        if end_within is None:
            return None if frozen.token else PRESIGNED_FOR
        return max(1, bisect_left(range(PRESIGNED_FOR + 1), True, key=end_within) - 1)


def _config(hook: S3Hook, *, is_amazons: bool) -> Any:
    from botocore.config import Config

    own = hook.config
    # What boto3 does by itself, SigV2 and the host of all regions, S3 refuses for KMS-encrypted objects and newer regions.
    signing = Config(signature_version=own.signature_version or "s3v4")
    if not is_amazons:
        return own.merge(signing)
    hosts = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
    return own.merge(signing).merge(Config(s3={**hosts, **(own.s3 or {})}))
