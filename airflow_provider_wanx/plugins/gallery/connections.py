"""What the administrator has opened to the gallery: AWS connections, and buckets. Nothing that is read chooses either."""

from __future__ import annotations

import logging
from threading import Lock
from typing import Any

from airflow.configuration import conf
from airflow.models.connection import Connection
from cachetools import TTLCache, cached

from airflow_provider_wanx.dashscope.errors import ConfigurationError, ProblemError
from airflow_provider_wanx.plugins.gallery.problems import NO_CONNECTION
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID, split_s3_prefix

log = logging.getLogger(__name__)

_SECTION = "dashscope"

_clients: TTLCache[Any, Any] = TTLCache(maxsize=64, ttl=60.0)
"""For a minute each, so that a changed connection takes effect."""


def clients(team: str | None) -> list[Any]:
    """Return S3 clients of the connections that are named for the gallery.

    :param team: of the DAG, in an Airflow of several teams: then only connections of this team, and of no team, are used.
    :raises ProblemError: none can be used.
    """
    found = []
    for conn_id in _listed("gallery_conn_ids", AWS_CONN_ID):
        try:
            found.append(_client(conn_id, team))
        except Exception as error:  # noqa: BLE001 - secrets backends and boto raise what they like
            log.warning(
                "The gallery cannot use the connection %r: %s",
                conn_id,
                error if isinstance(error, ConfigurationError) else type(error).__name__,
            )
    if not found:
        raise ProblemError(NO_CONNECTION)
    return found


def is_open(bucket: str, key: str, *, beside: str | None = None) -> bool:
    """Tell whether an object lies where the gallery may read.

    :param beside: the one bucket that is open if the administrator has named none; by default, all are.
    """
    places = [split_s3_prefix(each) for each in _listed("gallery_buckets", "")]
    if not places:
        return beside in (None, bucket)
    # Some stores take these for folders, and so for a way out of the prefix.
    is_plain = not {".", ".."} & set(key.split("/"))
    return is_plain and any(bucket == name and key.startswith(prefix) for _, name, prefix in places)


@cached(_clients, lock=Lock())
def _client(conn_id: str, team: str | None) -> Any:
    # boto3 takes a second to import, and the API server should start without it.
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from airflow.providers.amazon.aws.utils.connection_wrapper import AwsConnectionWrapper
    from botocore.config import Config

    of_team = {} if team is None else {"team_name": team}
    connection = Connection.get_connection_from_secrets(conn_id, **of_team)
    if connection.conn_type != "aws":
        raise ConfigurationError(f"its type is {connection.conn_type!r}, not 'aws'")
    hook = S3Hook(aws_conn_id=conn_id)
    # What the hook would look up itself, without regard to teams, and with the server's own role if there is none.
    own = hook.conn_config = AwsConnectionWrapper(conn=connection)
    has_credentials = own.aws_access_key_id or own.role_arn or own.profile_name
    if not has_credentials and not conf.getboolean(_SECTION, "gallery_ambient_credentials", fallback=False):
        raise ConfigurationError(
            "it has no credentials of its own, and [dashscope] gallery_ambient_credentials is off"
        )
    patience = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})
    return hook.get_client_type(region_name=hook.region_name, config=hook.config.merge(patience))


def _listed(option: str, default: str) -> list[str]:
    text = str(conf.get(_SECTION, option, fallback=default) or "")
    return [each.strip() for each in text.split(",") if each.strip()]
