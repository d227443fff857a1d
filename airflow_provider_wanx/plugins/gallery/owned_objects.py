"""Objects in S3, read in bounded amounts, and only if they say themselves that they belong to the page that shows them.

The administrator names the AWS connections and the buckets; nothing that is read chooses either.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from airflow.configuration import conf
from airflow.models.connection import Connection
from cachetools import TTLCache, cached

from airflow_provider_wanx.dashscope.errors import ConfigurationError, ObjectTooLargeError, ProblemError
from airflow_provider_wanx.plugins.gallery.problems import NO_CONNECTION, NO_S3, NOT_SHOWN, TOO_LARGE, Problem
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID, split_s3_prefix
from airflow_provider_wanx.s3.objects import read_object, user_metadata

log = logging.getLogger(__name__)

MAX_BYTES = 32 * 1024 * 1024
"""Of what is read whole: a picture, or an XCom's file. A manifest of ten thousand results has a fifth of that."""

_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
"""Names, and no ARNs: those may lead to other accounts and hosts."""

_clients: TTLCache[Any, Any] = TTLCache(maxsize=64, ttl=60.0)
"""For a minute each, so that a changed connection takes effect."""


class Reader(NamedTuple):
    """For whose page something is read.

    :param team: of the DAG, in an Airflow of several teams.
    :param owner: metadata that every object must have.
    """

    team: str | None
    owner: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Found:
    """An object that may be shown.

    :param client: what has found it.
    :param wanted: the metadata by which it belongs.
    """

    client: Any
    bucket: str
    key: str
    wanted: frozenset[tuple[str, str | None]]


@dataclass(frozen=True)
class Content:
    """An object, or a part of one.

    :param body: its bytes.
    :param size: bytes of the whole object.
    """

    body: bytes
    size: int


def cache_of_bytes(maxsize: int, *, seconds: float) -> TTLCache[Any, Any]:
    """Make a cache that is bounded by bytes: those of each value, and a kilobyte for its key and the objects around it."""
    return TTLCache(
        maxsize,
        seconds,
        getsizeof=lambda value: len(value if isinstance(value, bytes) else value.body) + 1024,
    )


def short(*parts: object) -> bytes:
    """Make a key for a cache of parts that may be long."""
    return hashlib.sha256(repr(parts).encode()).digest()


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


def find(reader: Reader, bucket: str, key: str, **said: str | None) -> Found:
    """Find an object that belongs to a page. That there is none, and that there is one of somebody else, is the same.

    :param said: more metadata that it must have, with ``_`` for ``-``.
    :raises ProblemError: there is none.
    """
    more = {(name.replace("_", "-"), value) for name, value in said.items()}
    if not is_open(bucket, key):
        log.info("Not in [dashscope] gallery_buckets, so not shown: %r", f"s3://{bucket}/{key}")
        raise ProblemError(NOT_SHOWN)
    return _find(_open_clients(reader.team), bucket, key, frozenset({*reader.owner, *more}))


def find_source(reader: Reader, result: Found, bucket: str, key: str) -> Found:
    """Find the portrait from which a result was made: where the administrator allows it, else beside the result.

    :param result: the result, which names the portrait.
    :raises ProblemError: there is none.
    """
    clients = [result.client] if bucket == result.bucket else _open_clients(reader.team)
    return _find(clients, bucket, key, frozenset())


def _find(clients: list[Any], bucket: str, key: str, wanted: frozenset[tuple[str, str | None]]) -> Found:
    problem = NOT_SHOWN
    for client in clients if _BUCKET.fullmatch(bucket) and key else ():
        try:
            with _told(bucket, key):
                said = user_metadata(client.head_object(Bucket=bucket, Key=key))
        except ProblemError as error:
            problem = error.problem if error.problem is NO_S3 else problem
            continue
        if wanted <= said.items():
            return Found(client, bucket, key, wanted)
        log.info("Written by something else, so not shown: %r", f"s3://{bucket}/{key}")
    raise ProblemError(problem)


def read(found: Found, *, limit: int, part: tuple[int, int] | None = None) -> Content:
    """Read an object.

    :param limit: how many bytes are read at most.
    :param part: first byte, and the one behind the last; by default the whole object.
    :raises ProblemError: it cannot be read, or is larger.
    """
    bounds = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}
    with _told(found.bucket, found.key):
        body, answer = read_object(found.client, bucket=found.bucket, key=found.key, limit=limit, **bounds)
    # It may have been replaced meanwhile.
    if not found.wanted <= user_metadata(answer).items():
        raise ProblemError(NOT_SHOWN)
    # Of a part, S3 tells "bytes 0-99/1234".
    return Content(body, int(answer.get("ContentRange", f"/{len(body)}").rpartition("/")[2]))


@contextmanager
def _told(bucket: str, key: str) -> Iterator[None]:
    """Turn what boto says into what a page says; the rest goes to the log, for it may name hosts and accounts."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    problem: Problem = NO_S3
    try:
        yield
    except ObjectTooLargeError:
        raise ProblemError(TOO_LARGE) from None
    except (BotoCoreError, ClientError) as error:
        answer = error.response["ResponseMetadata"] if isinstance(error, ClientError) else {}
        # What boto refuses could be no bucket's or key's name.
        if isinstance(error, ParamValidationError) or answer.get("HTTPStatusCode", 500) < 500:
            problem = NOT_SHOWN
        log.info("%r cannot be read: %s", f"s3://{bucket}/{key}", error)
        raise ProblemError(problem) from None


def _open_clients(team: str | None) -> list[Any]:
    """Return S3 clients of the connections that are named for the gallery: in an Airflow of teams, of this one and of none."""
    found = []
    for conn_id in _listed("gallery_conn_ids", AWS_CONN_ID):
        try:
            found.append(_client(conn_id, team))
        except Exception as error:  # noqa: BLE001 - secrets backends and boto raise what they like
            reason = error if isinstance(error, ConfigurationError) else type(error).__name__
            log.warning("The gallery cannot use the connection %r: %s", conn_id, reason)
    if not found:
        raise ProblemError(NO_CONNECTION)
    return found


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
    if not has_credentials and not conf.getboolean(
        "dashscope", "gallery_ambient_credentials", fallback=False
    ):
        raise ConfigurationError(
            "it has no credentials of its own, and [dashscope] gallery_ambient_credentials is off"
        )
    timeouts = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})
    return hook.get_client_type(region_name=hook.region_name, config=hook.config.merge(timeouts))


def _listed(option: str, default: str) -> list[str]:
    text = str(conf.get("dashscope", option, fallback=default) or "")
    return [each.strip() for each in text.split(",") if each.strip()]
