"""Objects in S3, read with the AWS connection that has written them, in bounded amounts."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Generic, TypeVar

from airflow_provider_wanx.plugins.gallery.problems import (
    ARCHIVED,
    NO_ACCESS,
    NO_BUCKET,
    NO_CONNECTION,
    NO_OBJECT,
    NO_S3,
    TOO_LARGE,
    Problem,
    ProblemError,
)

log = logging.getLogger(__name__)

V = TypeVar("V")

CLIENTS_FOR = 60.0
"""Seconds for which a client is kept, so that a changed connection takes effect."""

_PROBLEMS: dict[str, Problem] = {
    "NoSuchKey": NO_OBJECT,
    "404": NO_OBJECT,
    "NoSuchBucket": NO_BUCKET,
    "InvalidObjectState": ARCHIVED,
    **dict.fromkeys(
        (
            "AccessDenied",
            "403",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidToken",
        ),
        NO_ACCESS,
    ),
}
"""S3's codes → what they mean for whoever looks at a page."""


class Cache(Generic[V]):
    """Keeps values for some time, and not more of them than fit into a bounded amount of memory. Safe for threads.

    :param room: how much fits in.
    :param seconds: for how long a value is kept.
    :param size: tells how much room a value takes.
    """

    def __init__(self, *, room: int, seconds: float, size: Callable[[V], int] = lambda _: 1) -> None:
        self._room = room
        self._seconds = seconds
        self._size = size
        self._values: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()
        self._taken = 0
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return a value; make it if it is not there or too old. Two threads may make the same value at a time."""
        with self._lock:
            until, value = self._values.get(key, (0.0, None))
            if value is not None and until > time.monotonic():
                self._values.move_to_end(key)
                return value
        made = make()
        with self._lock:
            self._drop(key)
            self._values[key] = (time.monotonic() + self._seconds, made)
            self._taken += self._size(made)
            while self._taken > self._room:
                self._drop(next(iter(self._values)))
        return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._taken = 0

    def _drop(self, key: Hashable) -> None:
        if key in self._values:
            self._taken -= self._size(self._values.pop(key)[1])


@dataclass(frozen=True)
class Content:
    """An object, or a part of one.

    :param body: its bytes.
    :param size: bytes of the whole object.
    :param metadata: the user's metadata of the object.
    """

    body: bytes
    size: int
    metadata: Mapping[str, str]


_clients: Cache[Any] = Cache(room=16, seconds=CLIENTS_FOR)


def read(
    conn_id: str | None, bucket: str, key: str, *, limit: int, part: tuple[int, int] | None = None
) -> Content:
    """Read an object.

    :param conn_id: the AWS connection.
    :param limit: how many bytes are read at most.
    :param part: first byte, and the one behind the last; by default the whole object.
    :raises ProblemError: it cannot be read, or is larger.
    """
    wanted = {} if part is None else {"Range": f"bytes={part[0]}-{part[1] - 1}"}
    answer = _ask(conn_id, "get_object", Bucket=bucket, Key=key, **wanted)
    with answer["Body"] as stream:
        if answer["ContentLength"] > limit:
            raise ProblemError(TOO_LARGE)
        body = _quietly(stream.read, limit)
    # Of a part, S3 tells "bytes 0-99/1234".
    size = int(answer.get("ContentRange", f"/{len(body)}").rpartition("/")[2])
    return Content(body, size, answer.get("Metadata", {}))


def metadata(conn_id: str | None, bucket: str, key: str) -> Mapping[str, str]:
    """Return the user's metadata of an object.

    :raises ProblemError: it cannot be read.
    """
    # Not by asking for the head alone: S3 does not say then whether it is the object or the bucket that is missing.
    return read(conn_id, bucket, key, limit=1, part=(0, 1)).metadata


def _ask(conn_id: str | None, method: str, **arguments: Any) -> Any:
    client = _clients.get(conn_id, lambda: _client(conn_id))
    return _quietly(getattr(client, method), **arguments)


def _quietly(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call boto; what it says goes to the log, for it may name hosts and accounts."""
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    try:
        return call(*args, **kwargs)
    except ClientError as error:
        log.info("%s", error)
        raise ProblemError(_PROBLEMS.get(str(error.response.get("Error", {}).get("Code")), NO_S3)) from None
    except ParamValidationError:
        # No bucket or key could have this name.
        raise ProblemError(NO_OBJECT) from None
    except BotoCoreError as error:
        log.warning("%s", error)
        raise ProblemError(NO_S3) from None


def _client(conn_id: str | None) -> Any:
    # boto3 takes a second to import, and the API server should start without it.
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    try:
        hook = S3Hook(aws_conn_id=conn_id)
        patience = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})
        return hook.get_client_type(region_name=hook.region_name, config=hook.config.merge(patience))
    except Exception as error:  # noqa: BLE001 - secrets backends and boto raise what they like
        log.warning("The AWS connection %r gives no client: %s", conn_id, type(error).__name__)
        raise ProblemError(NO_CONNECTION) from None
