"""Records that have to outlive a task's tries, at a place that the user names: each is one small JSON object.

It is what Airflow's task state is from 3.3 on, for every Airflow. A try that another one has overtaken cannot write: an object
is read again right before it is written. What happens in the instant between is refused by stores that know conditional writes,
as S3 does.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from airflow_provider_wanx.dashscope.errors import (
    ConfigurationError,
    ConflictError,
    ObjectTooLargeError,
    ProviderError,
    RecordStoreError,
    UnconditionalStoreError,
)
from airflow_provider_wanx.dashscope.redaction import safe_words
from airflow_provider_wanx.dashscope.store import ABSENT, Store, Version
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.s3.addresses import AWS_CONN_ID, is_s3, split_s3_prefix
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import MAX_BYTES, ObjectStore

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

_PLACE = re.compile(r"[a-z][a-z0-9+.-]*://[^?#]+", re.IGNORECASE)
_PASSWORD = re.compile(r"^[^:]+://[^/]*:[^/]*@")

READABLE = 60
"""Characters of each id that an object's name shows. What tells records apart is the digest behind them."""


class RecordStore:
    """The objects of one task instance at a place that the user names, a :class:`~airflow_provider_wanx.dashscope.store.Store`.

    All are in one object of the place, beside the ids of the task instance.

    :param objects: the folder.
    :param identity: the task instance.
    """

    def __init__(self, objects: Store, identity: Identity) -> None:
        self._objects = objects
        self._ids = identity.to_json()
        self._name = object_name(identity)

    def url(self, name: str = "") -> str:
        """Return the object's URL, for logs and messages."""
        return self._objects.url(self._name)

    def read(self, name: str) -> Version:
        """Read a value; if what is stored is no record of this task instance, it is null.

        :raises RecordStoreError: it is not known what is stored.
        """
        return self._try("read", lambda: self._read(name))

    def _read(self, name: str) -> Version:
        found = self._objects.read(self._name)
        if found.etag == ABSENT:
            return found
        value = None
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            content = json.loads(found.body)
            if {each: content[each] for each in self._ids} == self._ids:
                value = content[name]
        return Version(json.dumps(value).encode(), found.etag)

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        """Write a value.

        :raises ConflictError: another try has written it.
        :raises RecordStoreError: it is not stored.
        """
        content = json.dumps({**self._ids, name: json.loads(body)}).encode()
        return self._try("write", lambda: self._write(content, replacing))

    def _write(self, content: bytes, replacing: str | None) -> str:
        if replacing is not None and self._objects.read(self._name).etag != replacing:
            raise ConflictError(f"Another try has written {self.url()}.")
        try:
            return self._objects.write(self._name, content, replacing=replacing)
        except UnconditionalStoreError:
            # What was read just now is all that such a store can do.
            return self._objects.write(self._name, content, replacing=None)

    def delete(self, name: str) -> None:
        """Delete the object.

        :raises RecordStoreError: it is not deleted.
        """
        self._try("delete", lambda: self._objects.delete(self._name))

    def _try(self, what: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except ConflictError:
            raise
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            # What S3 refuses names the object already.
            named = "" if isinstance(error, ProviderError) else f": could not {what} the record {self.url()}"
            raise RecordStoreError(
                f"{_reason(error)}{named}. Check record_path, and that every worker may read, write and delete there."
            ) from None


def object_name(identity: Identity) -> str:
    """Name the object of a task instance: legible, safe in every store, and no longer than a file's name may be."""
    ids = identity.to_json()
    digest = hashlib.sha256(json.dumps(list(ids.values())).encode()).hexdigest()
    # A region's id tells a reader nothing.
    legible = (quote(str(each), safe="")[:READABLE] for name, each in ids.items() if name != "region_id")
    return f"{'.'.join(legible)}.{digest[:24]}.json"


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
    if is_s3(place):
        return RecordStore(_s3_objects(place), identity)
    return RecordStore(_PathObjects(place), identity)


def _s3_objects(place: str) -> Store:
    conn_id, bucket, prefix = split_s3_prefix(place)
    try:
        client = s3_hook(conn_id or AWS_CONN_ID).get_conn()
    except Exception as error:  # noqa: BLE001 - Airflow's, boto's, or a secrets backend's
        raise _no_access(place, error) from None
    return ObjectStore(client, bucket=bucket, prefix=prefix)


def _no_access(place: str, error: Exception) -> RecordStoreError:
    return RecordStoreError(
        f"{_reason(error)}: could not open the folder for records of submissions, {place}. Check record_path."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "The folder does not exist"
    words = safe_words(str(error)).rstrip(".")
    return words if isinstance(error, ProviderError | OSError) else f"{type(error).__name__}: {words}"


class _PathObjects:
    """Objects in a folder that Airflow's object storage reaches, which writes on no condition.

    Its own ``open`` is not used: it would tell OpenLineage of every record.
    """

    def __init__(self, place: str) -> None:
        self._place = place.rstrip("/")
        try:
            from airflow.providers.common.compat.sdk import ObjectStoragePath

            path = ObjectStoragePath(self._place)
            self._fs: AbstractFileSystem = path.fs
            self._folder = str(path.path).rstrip("/")
        except Exception as error:  # noqa: BLE001 - of whatever makes the file system
            raise _no_access(place, error) from None

    def url(self, name: str = "") -> str:
        return f"{self._place}/{name}"

    def read(self, name: str) -> Version:
        try:
            body: bytes = self._fs.cat_file(f"{self._folder}/{name}", start=0, end=MAX_BYTES + 1)
        except FileNotFoundError:
            return Version()
        if len(body) > MAX_BYTES:
            raise ObjectTooLargeError(self.url(name), limit=MAX_BYTES)
        return Version(body, hashlib.sha256(body).hexdigest())

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        if replacing is not None:
            raise UnconditionalStoreError(
                f"Airflow's object storage writes on no condition: {self.url(name)}."
            )
        from fsspec.implementations.local import LocalFileSystem

        if isinstance(self._fs, LocalFileSystem):
            _replace_file(Path(self._folder, name), body)
        else:
            self._fs.pipe_file(f"{self._folder}/{name}", body)
        return hashlib.sha256(body).hexdigest()

    def delete(self, name: str) -> None:
        try:
            self._fs.rm_file(f"{self._folder}/{name}")
        except FileNotFoundError:
            return


def _replace_file(path: Path, body: bytes) -> None:
    """Write a file so that whoever is killed in the middle leaves the old one, and a power cut leaves one of them.

    The folder has to be there: one that is missing is a share that is not mounted, and nobody else would see what is written.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with draft.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
