"""Objects in S3, read in bounded amounts, and only if they say themselves that they belong to the page that shows them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_wanx.dashscope.errors import ObjectTooLargeError, ProblemError
from airflow_provider_wanx.plugins.gallery import connections
from airflow_provider_wanx.plugins.gallery.problems import NO_S3, NOT_SHOWN, TOO_LARGE, Problem
from airflow_provider_wanx.s3.objects import read_object, user_metadata

log = logging.getLogger(__name__)

_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
"""Names, and no ARNs: those may lead to other accounts and hosts."""

ENTRY = 1024
"""Bytes that a cached value takes besides its body: its key, and the objects around it."""


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


def find(reader: Reader, bucket: str, key: str, **said: str | None) -> Found:
    """Find an object that belongs to a page. That there is none, and that there is one of somebody else, is the same.

    :param said: more metadata that it must have, with ``_`` for ``-``.
    :raises ProblemError: there is none.
    """
    more = {(name.replace("_", "-"), value) for name, value in said.items()}
    if not connections.is_open(bucket, key):
        log.info("Not in [dashscope] gallery_buckets, so not shown: %r", f"s3://{bucket}/{key}")
        raise ProblemError(NOT_SHOWN)
    return _find(connections.clients(reader.team), bucket, key, frozenset({*reader.owner, *more}))


def find_source(reader: Reader, result: Found, bucket: str, key: str) -> Found:
    """Find the portrait from which a result was made: where the administrator allows it, else beside the result.

    :param result: the result, which names the portrait.
    :raises ProblemError: there is none.
    """
    clients = [result.client] if bucket == result.bucket else connections.clients(reader.team)
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


def short(*parts: object) -> bytes:
    """Make a key for a cache of parts that may be long."""
    return hashlib.sha256(repr(parts).encode()).digest()


@contextmanager
def _told(bucket: str, key: str) -> Iterator[None]:
    """Turn what boto says into what a page says; the rest goes to the log, for it may name hosts and accounts."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    problem: Problem
    try:
        yield
        return
    except ObjectTooLargeError:
        raise ProblemError(TOO_LARGE) from None
    except ClientError as error:
        reason: Exception = error
        failed = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) >= 500
        problem = NO_S3 if failed else NOT_SHOWN
    except ParamValidationError as error:
        # No bucket or key could have this name.
        reason, problem = error, NOT_SHOWN
    except BotoCoreError as error:
        reason, problem = error, NO_S3
    log.info("%r cannot be read: %s", f"s3://{bucket}/{key}", reason)
    raise ProblemError(problem)
