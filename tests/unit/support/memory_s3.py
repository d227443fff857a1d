"""S3 as its client shows it, in memory: conditional writes, and whatever may happen to the one who writes."""

# ruff: noqa: N803 - the names of arguments are boto3's
from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


class KilledError(BaseException):
    """The process has died."""


class MemoryS3:
    """The part of boto3's S3 client that small objects need.

    :param ignores: conditions that this store does not know.
    """

    def __init__(self, *, ignores: tuple[str, ...] = ()) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes = 0
        self.reads: list[str] = []
        self.ignores = ignores
        self.before_write: Callable[[int], None] = lambda number: None
        self.after_write: Callable[[int], None] = lambda number: None

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self.reads.append(Key)
        if Key not in self.objects:
            raise _refusal("NoSuchKey", 404, "GetObject")
        body = self.objects[Key]
        return {"Body": io.BytesIO(body), "ETag": _etag(body), "ResponseMetadata": {"HTTPHeaders": {}}}

    def put_object(
        self, *, Bucket: str, Key: str, Body: bytes, ContentType: str, **conditions: str
    ) -> dict[str, str]:
        number, self.writes = self.writes, self.writes + 1
        self.before_write(number)
        self._check(Key, {name: value for name, value in conditions.items() if name not in self.ignores})
        self.objects[Key] = Body
        self.after_write(number)
        return {"ETag": _etag(Body)}

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, str]:
        self.objects.pop(Key, None)
        return {}

    def _check(self, key: str, conditions: dict[str, str]) -> None:
        there = self.objects.get(key)
        if "IfNoneMatch" in conditions and there is not None:
            raise precondition_failed()
        if "IfMatch" in conditions and there is None:
            raise _refusal("NoSuchKey", 404, "PutObject")
        if "IfMatch" in conditions and conditions["IfMatch"] != _etag(there or b""):
            raise precondition_failed()

    def die(self, *, at: int, written: bool) -> None:
        """Let the process die at a write, counted from here and from 0.

        :param written: whether that write still arrives.
        """
        last = self.writes + at

        def kill(number: int) -> None:
            if number >= last:
                raise KilledError

        self.before_write = self.after_write = lambda number: None
        if written:
            self.after_write = kill
        else:
            self.before_write = kill

    def live(self) -> None:
        """Let nobody die any more."""
        self.before_write = self.after_write = lambda number: None


def precondition_failed() -> ClientError:
    """What S3 says when a condition does not hold."""
    return _refusal("PreconditionFailed", 412, "PutObject")


def conflict() -> ClientError:
    """What S3 says when two conditional requests meet."""
    return _refusal("ConditionalRequestConflict", 409, "PutObject")


def _refusal(code: str, status: int, operation: str) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
