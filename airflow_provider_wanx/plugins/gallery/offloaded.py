"""XComs that Airflow's object storage backend keeps in files, all of them if its threshold is 0."""

from __future__ import annotations

import logging
from threading import Lock
from typing import Any

from airflow.configuration import conf
from cachetools import TTLCache, cached
from pydantic_core import from_json

log = logging.getLogger(__name__)

_BACKEND = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"

MAX_BYTES = 32 * 1024 * 1024
"""Bytes of a file at most, unpacked: a manifest of ten thousand results has a fifth of that."""

_files: TTLCache[str, bytes] = TTLCache(
    maxsize=2 * MAX_BYTES, ttl=60.0, getsizeof=lambda body: len(body) + 1024
)


def fetched(stored: Any, dag_id: str, run_id: str) -> Any:
    """Return what an XCom holds: its stored value or, if that names a file of the backend, the file's bytes.

    The stored value may be forged, so it opens files of its own run only. Not the backend itself reads them: it would make
    objects of what is in them, and read them without a bound.
    """
    if not isinstance(stored, str) or conf.get("core", "xcom_backend", fallback="") != _BACKEND:
        return stored
    try:
        address = from_json(stored)
        # Airflow 3.1 stores JSON inside JSON.
        address = from_json(address) if isinstance(address, str) and address.startswith('"') else address
    except ValueError:
        return stored
    if not isinstance(address, str) or {".", ".."} & set(address.split("/")):
        return stored
    # What needs it only, as it is slow to import.
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    base = str(ObjectStoragePath(conf.get("common.io", "xcom_objectstorage_path", fallback="")))
    if not address.startswith(f"{base.rstrip('/')}/{dag_id}/{run_id}/"):
        return stored
    try:
        return _read(address)
    except Exception as error:  # noqa: BLE001 - any file system may raise what it likes
        log.warning("The XCom in %r cannot be read: %s", address, error)
        return stored


@cached(_files, lock=Lock())
def _read(address: str) -> bytes:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # With the connection that the configuration names, which the address has lost.
    base = ObjectStoragePath(conf.get("common.io", "xcom_objectstorage_path"))
    path = base / address[len(str(base)) :].lstrip("/")
    with path.open(mode="rb", compression="infer") as file:
        body: bytes = file.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    return body
