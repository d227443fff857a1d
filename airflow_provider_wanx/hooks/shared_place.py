"""Where all machines that use a connection agree upon the pace of submissions: in the folder of its records, if S3 has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_wanx.dashscope.sharing import NotShareableError, Seen

AWS_CONN_ID = "aws_default"
"""The AWS connection for ``s3://`` places that name none. Without such a connection boto3 finds credentials by itself."""

CONNECT_TIMEOUT, READ_TIMEOUT, TRIES = 2, 4, 2
"""Seconds, seconds, and tries of one request: a submission waits for the answer, but can do without."""

_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409")
"""What S3 says where a condition does not hold. With If-Match, a deleted object is to S3 a missing key."""

_NO_VERSION = f'"{"0" * 32}"'
"""A version that no object has."""

_IGNORES_CONDITIONS = b'{"conditional_writes": false}'
"""What is left where they are ignored, for all machines to see."""


def shared_place(record_path: str | None) -> RecordFolder | None:
    """Return the place for the pace of submissions.

    :param record_path: where submissions are recorded; None if the user has not said.
    """
    return RecordFolder(record_path) if record_path else None


@dataclass
class RecordFolder:
    """Objects in the folder of the records; a :class:`~airflow_provider_wanx.dashscope.sharing.SharedPlace`.

    Nothing is opened before it is read: most tasks that use a connection submit nothing.

    :param where: the folder's URL.
    """

    where: str
    _client: Any = field(default=None, init=False, repr=False)
    _bucket: str = field(default="", init=False, repr=False)
    _prefix: str = field(default="", init=False, repr=False)

    def read(self, name: str) -> Seen:
        """Read an object.

        :raises NotShareableError: the place is not S3, or its store has been found to ignore conditions.
        """
        from botocore.exceptions import ClientError

        client = self._open()
        try:
            answer = client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                return Seen(time=_time(error.response))
            raise
        body = answer["Body"].read()
        if body == _IGNORES_CONDITIONS:
            raise _not_conditional()
        return Seen(body, answer["ETag"], _time(answer))

    def write(self, name: str, body: bytes, *, replacing: Seen) -> bool:
        """Replace an object, or make it.

        :return: False if somebody else was quicker.
        :raises NotShareableError: the store ignores conditions, as turns out when the object is made.
        """
        if replacing.version is not None:
            return self._put(name, body, IfMatch=replacing.version)
        made = self._put(name, body, IfNoneMatch="*")
        if made and (
            self._put(name, _IGNORES_CONDITIONS, IfNoneMatch="*")
            or self._put(name, _IGNORES_CONDITIONS, IfMatch=_NO_VERSION)
        ):
            raise _not_conditional()
        return made

    def _put(self, name: str, body: bytes, **condition: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._open().put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=body,
                ContentType="application/json",
                **condition,
            )
        except ClientError as error:
            if _code(error) in _TAKEN:
                return False
            raise
        return True

    def _open(self) -> Any:
        if self._client is None:
            scheme, _, rest = self.where.partition("://")
            if scheme.lower() != "s3":
                raise NotShareableError("only S3 knows conditional writes")
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook
            from botocore.config import Config

            place, _, prefix = rest.partition("/")
            conn_id, _, self._bucket = place.rpartition("@")
            self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
            patience = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": TRIES},
            )
            hook = S3Hook(aws_conn_id=conn_id or AWS_CONN_ID)
            # On top of the connection's own settings, which a config given to the hook itself would replace.
            self._client = hook.get_client_type(config=hook.config.merge(patience))
        return self._client


def _not_conditional() -> NotShareableError:
    return NotShareableError("its store ignores conditional writes")


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _time(answer: Any) -> float | None:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
