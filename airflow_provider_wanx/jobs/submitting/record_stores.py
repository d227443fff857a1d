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
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_wanx.dashscope.errors import (
    ConflictError,
    ObjectTooLargeError,
    ProviderError,
    RecordStoreError,
    UnconditionalStoreError,
)
from airflow_provider_wanx.dashscope.pacing.machine import take_lock
from airflow_provider_wanx.dashscope.redaction import safe_words
from airflow_provider_wanx.dashscope.store import ABSENT, Store, Version
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.s3.objects import MAX_SMALL_OBJECT_BYTES

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_IN_TASK_STATE = "task state"
"""The version of every value in Airflow's task state, which has none of its own."""


class TaskState:
    """Airflow's task state, a :class:`~airflow_provider_wanx.dashscope.store.Store` that the running try alone may write.

    :param values: Airflow's accessor.
    """

    def __init__(self, values: Any) -> None:
        self._values = values

    def url(self, name: str = "") -> str:
        """Return what messages call an object."""
        return f"task state {name!r}"

    def read(self, name: str) -> Version:
        """Read a value as JSON."""
        value = self._values.get(name)
        return Version() if value is None else Version(json.dumps(value).encode(), _IN_TASK_STATE)

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        """Write a value."""
        self._values.set(name, json.loads(body))
        return _IN_TASK_STATE

    def delete(self, name: str) -> None:
        """Delete a value."""
        self._values.delete(name)


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
        with self._own_errors("read"):
            return self._read(name)

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
        with self._own_errors("write"):
            return self._write(content, replacing)

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
        with self._own_errors("delete"):
            self._objects.delete(self._name)

    def _own_errors(self, what: str) -> AbstractContextManager[None]:
        advice = "Check record_path, and that every worker may read, write and delete there."
        # Every file system has errors of its own.
        return _record_errors(f"{what} the record {self.url()}", of=(Exception,), advice=advice)


@contextmanager
def _record_errors(what: str, *, of: tuple[type[Exception], ...], advice: str) -> Iterator[None]:
    """Turn the errors of a store into a :class:`RecordStoreError` that says what to do.

    :param what: what could not be done.
    :param of: the errors that the store has.
    :param advice: what to do, unless the error says it.
    """
    try:
        yield
    except (ConflictError, RecordStoreError):
        raise
    except of as error:
        # What S3 refuses names the object already.
        named = "" if isinstance(error, ProviderError) else f": could not {what}"
        raise RecordStoreError(f"{reason_of(error)}{named}. {advice}") from None


def object_name(identity: Identity, *, legible_characters: int = 60) -> str:
    """Name the object of a task instance: legible, safe in every store, and no longer than a file's name may be.

    :param legible_characters: of each id. What tells records apart is the digest behind them.
    """
    ids = identity.to_json()
    digest = hashlib.sha256(json.dumps(list(ids.values())).encode()).hexdigest()
    # A region's id tells a reader nothing.
    legible = (
        quote(str(each), safe="")[:legible_characters] for name, each in ids.items() if name != "region_id"
    )
    return f"{'.'.join(legible)}.{digest[:24]}.json"


def reason_of(error: Exception) -> str:
    """Say what a store has against something, whatever it raises."""
    if isinstance(error, FileNotFoundError):
        return "The folder does not exist"
    words = safe_words(str(error)).rstrip(".")
    return words if isinstance(error, ProviderError | OSError) else f"{type(error).__name__}: {words}"


class FileStore:
    """Objects in files of a folder of this user; a :class:`~airflow_provider_wanx.dashscope.store.Store`.

    :param folder: is made if it is not there, for this user alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str = "") -> str:
        """Return an object's path."""
        return str(self._folder / name)

    def read(self, name: str) -> Version:
        """Read an object. It is replaced as a whole, so that nobody has to hold the lock for that.

        :raises RecordStoreError: it is not known what is stored.
        """
        with self._own_errors("read", name):
            return self._read(name)

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        """Write an object.

        :raises ConflictError: it has another version.
        :raises RecordStoreError: it is not stored.
        """
        with self._own_errors("write", name), self._locked():
            if replacing not in (None, self._read(name).etag):
                raise ConflictError(f"Somebody else has changed {self.url(name)} in the meantime.")
            _replace_file(self._folder / name, body)
        return hashlib.sha256(body).hexdigest()

    def delete(self, name: str) -> None:
        """Delete an object.

        :raises RecordStoreError: it is not deleted.
        """
        with self._own_errors("delete", name), self._locked():
            (self._folder / name).unlink(missing_ok=True)

    def _read(self, name: str) -> Version:
        try:
            file = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return Version()
        with os.fdopen(file, "rb") as opened:
            return _version(opened.read(MAX_SMALL_OBJECT_BYTES + 1), self.url(name))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / ".lock").open("ab") as file:
            try:
                take_lock(file.fileno())
            except TimeoutError as error:
                raise RecordStoreError(
                    f"{error}: {file.name}. End the one that holds it, or let it go on if it was stopped; fuser shows its id."
                ) from None
            yield

    def _own_errors(self, what: str, name: str) -> AbstractContextManager[None]:
        own, advice = (OSError, ObjectTooLargeError), "Check that you may read, write and delete there."
        return _record_errors(f"{what} the record {self.url(name)}", of=own, advice=advice)


class FolderStore:
    """Objects in a folder; a :class:`~airflow_provider_wanx.dashscope.store.Store` that writes on no condition.

    :param files: fsspec's file system.
    :param folder: the folder's path there.
    :param url: what messages call the folder; without a slash at its end.
    """

    def __init__(self, files: AbstractFileSystem, folder: str, *, url: str) -> None:
        self._fs = files
        self._folder = folder.rstrip("/")
        self._url = url

    def url(self, name: str = "") -> str:
        """Return an object's URL."""
        return f"{self._url}/{name}"

    def read(self, name: str) -> Version:
        """Read an object."""
        try:
            body: bytes = self._fs.cat_file(f"{self._folder}/{name}", start=0, end=MAX_SMALL_OBJECT_BYTES + 1)
        except FileNotFoundError:
            return Version()
        return _version(body, self.url(name))

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        """Write an object.

        :raises UnconditionalStoreError: on a condition.
        """
        if replacing is not None:
            raise UnconditionalStoreError(f"A file system writes on no condition: {self.url(name)}.")
        from fsspec.implementations.local import LocalFileSystem

        if isinstance(self._fs, LocalFileSystem):
            _replace_file(Path(self._folder, name), body)
        else:
            self._fs.pipe_file(f"{self._folder}/{name}", body)
        return hashlib.sha256(body).hexdigest()

    def delete(self, name: str) -> None:
        """Delete an object."""
        try:
            self._fs.rm_file(f"{self._folder}/{name}")
        except FileNotFoundError:
            return


def _version(body: bytes, url: str) -> Version:
    if len(body) > MAX_SMALL_OBJECT_BYTES:
        raise ObjectTooLargeError(url, limit=MAX_SMALL_OBJECT_BYTES)
    return Version(body, hashlib.sha256(body).hexdigest())


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
