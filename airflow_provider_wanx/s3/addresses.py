"""How objects, folders and the connections to them are written: ``s3://bucket/key``, ``s3://conn_id@bucket/folder``."""

from __future__ import annotations

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted

AWS_CONN_ID = "aws_default"
"""The AWS connection for addresses that name none. Without such a connection boto3 finds credentials by itself."""

_SCHEME = "s3://"


def is_s3(url: str) -> bool:
    """Tell whether an address is one of S3."""
    return url.lower().startswith(_SCHEME)


def bucket_name(text: str) -> str:
    """Read the name of a bucket, which may be written as ``s3://bucket/``.

    :raises InvalidInputError: it is empty, or more than a name.
    """
    conn_id, name, key = _parts(text.strip())
    if not name:
        raise InvalidInputError("The name of the bucket is empty.")
    if conn_id or key:
        raise InvalidInputError(
            f"A bucket has a name only, and this is more: {quoted(text)}. Connection and key are arguments of their own."
        )
    return name


def split_s3_url(url: str) -> tuple[str | None, str, str]:
    """Split ``s3://bucket/key`` or, as Airflow's object storage writes it, ``s3://conn_id@bucket/key``.

    :return: connection id or None, bucket, key.
    :raises InvalidInputError: it has no bucket or no key.
    """
    conn_id, bucket, key = _parts(url)
    if not bucket or not key:
        raise InvalidInputError(f"An address is not like s3://bucket/key: {quoted(url)}.")
    return conn_id, bucket, key


def split_s3_prefix(url: str) -> tuple[str | None, str, str]:
    """Split ``s3://bucket/folder`` or ``s3://conn_id@bucket/folder``; without a folder it is the whole bucket.

    :return: connection id or None, bucket, prefix: empty or with a slash at its end.
    :raises InvalidInputError: it has no bucket.
    """
    conn_id, bucket, prefix = _parts(url)
    if not bucket:
        raise InvalidInputError(f"An address is not like s3://bucket/folder: {quoted(url)}.")
    return conn_id, bucket, prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def _parts(url: str) -> tuple[str | None, str, str]:
    # Not a URL parser's work: S3 keys may hold ?, # and %, and mean them.
    place, _, key = (url[len(_SCHEME) :] if is_s3(url) else url).partition("/")
    conn_id, _, bucket = place.rpartition("@")
    return conn_id or None, bucket, key
