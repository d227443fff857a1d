"""What Airflow's connections lead to: buckets, files and records, opened for :mod:`~airflow_provider_wanx.jobs`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_wanx.dashscope.errors import ConfigurationError, InvalidInputError, RecordStoreError
from airflow_provider_wanx.jobs.copying.destinations import Replace, S3Destination
from airflow_provider_wanx.jobs.pictures.image_source import ImageSource
from airflow_provider_wanx.jobs.pictures.local_files import opened_here
from airflow_provider_wanx.jobs.pictures.s3_source import S3Source
from airflow_provider_wanx.jobs.pictures.source_rule import SourceRule, local_path
from airflow_provider_wanx.jobs.submitting.record_stores import FolderStore, RecordStore, reason_of
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID, is_s3, split_s3_prefix
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import ObjectStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.dashscope.config import ImageTransfer
    from airflow_provider_wanx.dashscope.store import Store
    from airflow_provider_wanx.identity import Identity

_PLACE = re.compile(r"[a-z][a-z0-9+.-]*://[^?#]+", re.IGNORECASE)
_PASSWORD = re.compile(r"^[^:]+://[^/]*:[^/]*@")
_AMAZONS_ENDPOINTS = (".amazonaws.com", ".amazonaws.com.cn")


def s3_destination(
    *,
    aws_conn_id: str | None,
    bucket: str,
    owner: Identity | None = None,
    replace: Replace = True,
    extra_args: Mapping[str, Any] | None = None,
) -> S3Destination:
    """Open a bucket to write results to, which are reported to OpenLineage as the hook itself reports what it uploads.

    :param aws_conn_id: AWS connection that may write to the bucket.
    :param bucket: its name; everything else: see :class:`~airflow_provider_wanx.jobs.copying.destinations.S3Destination`.
    :raises ConfigurationError: there is no such connection.
    :raises S3Error: it cannot be used.
    """
    with s3_errors(f"use bucket {bucket}"):
        hook = s3_hook(aws_conn_id)
        client = hook.get_conn()

    def report(key: str) -> None:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        get_hook_lineage_collector().add_output_asset(
            context=hook, scheme="s3", asset_kwargs={"bucket": destination.bucket, "key": key}
        )

    destination = S3Destination(
        client=client,
        bucket=bucket,
        owner=owner,
        replace=replace,
        extra_args=extra_args or {},
        on_write=report,
    )
    return destination


def image_source(
    *,
    client: Callable[[], DashScopeClient],
    model: str,
    aws_conn_id: str | None,
    rule: SourceRule,
    transfer: ImageTransfer | None = None,
) -> ImageSource:
    """Open pictures with Airflow's connections.

    :param client: makes the client that uploads what the service could not reach otherwise, or returns it.
    :param model: the model that will read the pictures.
    :param aws_conn_id: AWS connection for ``s3://`` URLs that name none.
    :param rule: who may name which source.
    :param transfer: how the service gets what lies in S3; None for the connection's way.
    """

    def open_bucket(conn_id: str | None, bucket: str) -> S3Source:
        way = transfer or client().config.image_transfer
        return s3_source(aws_conn_id=conn_id or aws_conn_id, bucket=bucket, transfer=way)

    return ImageSource(
        upload=lambda **file: client().upload_file(**file),
        model=model,
        rule=rule,
        open_bucket=open_bucket,
        open_file=opened,
    )


def s3_source(*, aws_conn_id: str | None, bucket: str, transfer: ImageTransfer) -> S3Source:
    """Open a bucket to read pictures from, with a client whose signatures it takes.

    :raises S3Error: the connection cannot be used.
    """
    with s3_errors(f"use bucket {bucket}"):
        hook = s3_hook(aws_conn_id)
        region, is_amazons = _region(hook, bucket)
        session = hook.get_session(region_name=region)
        client = session.client(
            "s3",
            endpoint_url=hook.conn_config.get_service_endpoint_url(service_name="s3"),
            config=_signing(hook, is_amazons=is_amazons),
            verify=hook.verify,
        )
        return S3Source(client, bucket=bucket, credentials=session.get_credentials(), transfer=transfer)


def _region(hook: S3Hook, bucket: str) -> tuple[str | None, bool]:
    """Find the bucket's region, whose host alone is sure to take a signed URL, and tell whether the store is Amazon's."""
    from botocore.exceptions import ClientError

    client = hook.get_conn()
    own = str(client.meta.endpoint_url).partition("://")[2].partition("/")[0]
    if not own.startswith("s3") or not own.endswith(_AMAZONS_ENDPOINTS):
        return client.meta.region_name, False
    try:
        answer: dict[str, Any] = client.head_bucket(Bucket=bucket)
    except ClientError as error:
        # Who may not list the bucket is told its region all the same.
        answer = dict(error.response)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region") or client.meta.region_name, True


def _signing(hook: S3Hook, *, is_amazons: bool) -> Any:
    from botocore.config import Config

    own = hook.config
    # What boto3 does by itself, SigV2 and the host of all regions, S3 refuses for KMS-encrypted objects and newer regions.
    signing = Config(signature_version=own.signature_version or "s3v4")
    if not is_amazons:
        return own.merge(signing)
    hosts = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
    return own.merge(signing).merge(Config(s3={**hosts, **(own.s3 or {})}))


def stored_path(place: str) -> ObjectStoragePath:
    """Return the place of a file or a folder, as Airflow's object storage has it.

    :param place: a URL, or a path on this machine; a relative one begins in the working directory.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # The object storage of Airflow 2.11 and 3.1 would begin a relative path at the root.
    return ObjectStoragePath(local_path(place) or place)


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    """Open a file to read it.

    :param place: a URL that Airflow's object storage knows, or a path on this machine.
    :raises InvalidInputError: it is a device, a pipe or a folder, which may have no end.
    :raises OSError: the file system refuses.
    """
    if local_path(place) is not None:
        with opened_here(place) as file:
            yield file
        return
    there = stored_path(place)
    with there.fs.open(there.path, "rb") as stored:
        yield cast("BinaryIO", stored)


def record_store(place: str, identity: Identity) -> RecordStore:
    """Open the records of a task instance.

    :param place: the folder's URL, ``s3://bucket/prefix`` or any other that Airflow's object storage knows; a connection's id
        may stand before an ``@``.
    :param identity: the task instance.
    :raises ConfigurationError: the URL is none.
    :raises RecordStoreError: Airflow has no access to such places.
    """
    place = place.strip()
    if not _PLACE.fullmatch(place) or _PASSWORD.match(place):
        raise ConfigurationError(
            "record_path must be the URL of a folder, like s3://bucket/prefix or file:///shared/records, without a query. "
            "Only the id of an Airflow connection may stand before an @."
        )
    try:
        objects = (_bucket_objects if is_s3(place) else _folder_objects)(place)
    except InvalidInputError:
        raise  # No retry makes a place of it.
    except Exception as error:  # noqa: BLE001 - Airflow's, boto's, a secrets backend's, or of whatever makes the file system
        raise RecordStoreError(
            f"{reason_of(error)}: could not open the folder for records of submissions, {place}. Check record_path."
        ) from None
    return RecordStore(objects, identity)


def _bucket_objects(place: str) -> Store:
    conn_id, bucket, prefix = split_s3_prefix(place)
    return ObjectStore(s3_hook(conn_id or AWS_CONN_ID).get_conn(), bucket=bucket, prefix=prefix)


def _folder_objects(place: str) -> Store:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # Its own ``open`` is not used: it would tell OpenLineage of every record.
    url = place.rstrip("/")
    path = ObjectStoragePath(url)
    return FolderStore(path.fs, str(path.path), url=url)
