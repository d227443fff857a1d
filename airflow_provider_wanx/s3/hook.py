"""The hook for S3, of a connection that is one of AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.errors import ConfigurationError
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook


def s3_hook(aws_conn_id: str | None) -> S3Hook:
    """Make the hook. The amazon provider would sign with whatever a connection of another type holds.

    :param aws_conn_id: id of a connection of type ``aws``. Where there is none, for None and for ``aws_default``, boto3 finds
        credentials by itself.
    :raises ConfigurationError: the connection is missing, or of another type.
    """
    # boto3 is heavy, and DAG parsing needs none.
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=aws_conn_id)
    if aws_conn_id:
        # The hook keeps what it has read, and has no type for what it has not found.
        conn_type = hook.conn_config.conn_type
        if conn_type is None and aws_conn_id != AWS_CONN_ID:
            raise ConfigurationError(
                f"There is no AWS connection {aws_conn_id!r}. Create it, or correct the id."
            )
        if conn_type not in ("aws", None):
            raise ConfigurationError(
                f"Connection {aws_conn_id!r} is of type {conn_type!r}, and S3 needs one of type 'aws'."
            )
    return hook
