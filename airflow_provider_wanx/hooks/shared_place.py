"""Where all machines that use a connection agree upon the pace of submissions: in the folder of its records, if S3 has it."""

from __future__ import annotations

from airflow_provider_wanx.dashscope.errors import UnconditionalStoreError
from airflow_provider_wanx.dashscope.store import ABSENT, Version
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID, is_s3, split_s3_prefix
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import ObjectStore

CONNECT_TIMEOUT, READ_TIMEOUT, TRIES = 2, 4, 2
"""Seconds, seconds, and tries of one request: a submission waits for the answer, but can do without."""

_IGNORES_CONDITIONS = b'{"conditional_writes": false}'
"""What is left where they are ignored, for all machines to see."""


class RecordFolder:
    """Objects in the folder of the records, a :class:`~airflow_provider_wanx.dashscope.store.Store`.

    Nothing is opened before it is read: most tasks that use a connection submit nothing.

    :param where: the folder's URL.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._objects: ObjectStore | None = None

    def url(self, name: str = "") -> str:
        """Return the folder's URL, or an object's."""
        return f"{self._where}/{name}" if name else self._where

    def read(self, name: str) -> Version:
        """Read an object.

        :raises UnconditionalStoreError: the place is not S3, or its store has been found to ignore conditions.
        :raises S3Error: S3 does not give it.
        """
        found = self._open().read(name)
        if found.body == _IGNORES_CONDITIONS:
            raise _not_conditional()
        return found

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        """Replace an object, or make it.

        :raises ConflictError: somebody else was quicker.
        :raises UnconditionalStoreError: the store ignores conditions, as turns out when the object is made.
        :raises S3Error: S3 does not take it.
        """
        objects = self._open()
        try:
            etag = objects.write(name, body, replacing=replacing)
            if replacing == ABSENT:
                objects.check_conditions(name)
        except UnconditionalStoreError:
            objects.write(name, _IGNORES_CONDITIONS, replacing=None)
            raise _not_conditional() from None
        return etag

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._open().delete(name)

    def _open(self) -> ObjectStore:
        if self._objects is None:
            if not is_s3(self._where):
                raise UnconditionalStoreError("only S3 knows conditional writes")
            from botocore.config import Config

            conn_id, bucket, prefix = split_s3_prefix(self._where)
            patience = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": TRIES},
            )
            hook = s3_hook(conn_id or AWS_CONN_ID)
            # On top of the connection's own settings, which a config given to the hook itself would replace.
            client = hook.get_client_type(config=hook.config.merge(patience))
            self._objects = ObjectStore(client, bucket=bucket, prefix=prefix)
        return self._objects


def _not_conditional() -> UnconditionalStoreError:
    return UnconditionalStoreError("its store ignores conditional writes")
