"""Small objects in files of a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_wanx.dashscope.errors import ConflictError, RecordStoreError
from airflow_provider_wanx.dashscope.pacing import machine
from airflow_provider_wanx.dashscope.store import ABSENT, replace
from airflow_provider_wanx.jobs.submitting.record_stores import FileStore
from airflow_provider_wanx.s3.objects import MAX_SMALL_OBJECT_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "records"


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(folder)


def test_an_object_is_replaced_by_whoever_has_seen_it_last(store: FileStore) -> None:
    assert store.read("a.json").etag == ABSENT
    first = replace(store, "a.json", b"1", seen=ABSENT)
    second = replace(store, "a.json", b"2", seen=first)
    with pytest.raises(ConflictError):
        store.write("a.json", b"3", replacing=first)
    with pytest.raises(ConflictError):
        store.write("a.json", b"3", replacing=ABSENT)
    assert (store.read("a.json").body, store.read("a.json").etag) == (b"2", second)
    store.delete("a.json")
    assert store.read("a.json").etag == ABSENT


def test_nobody_else_may_look_into_the_folder(store: FileStore, folder: Path) -> None:
    store.write("a.json", b"1", replacing=ABSENT)
    assert folder.stat().st_mode & 0o77 == 0


def test_a_read_writes_nothing(store: FileStore, folder: Path) -> None:
    store.write("a.json", b"1", replacing=ABSENT)
    before = (folder / "a.json").stat()
    store.read("a.json")
    assert (folder / "a.json").stat().st_ino == before.st_ino
    assert (folder / "a.json").stat().st_mtime_ns == before.st_mtime_ns


def test_a_write_that_dies_in_its_middle_leaves_what_was_there(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a.json", b"1", replacing=ABSENT)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            store.write("a.json", b"2", replacing=None)
    assert store.read("a.json").body == b"1"


@pytest.mark.parametrize("what", ["write", "delete"])
def test_a_lock_that_a_stopped_process_holds_is_not_waited_for_without_end(
    store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store.write("a.json", b"1", replacing=ABSENT)
    monkeypatch.setattr(machine, "LOCK_SECONDS", 0.05)
    actions: dict[str, Callable[[], object]] = {
        "write": lambda: store.write("a.json", b"2", replacing=None),
        "delete": lambda: store.delete("a.json"),
    }
    with (folder / ".lock").open("ab") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(RecordStoreError, match=r"Other processes .* \S+/records/\.lock\. End the one"):
            actions[what]()
        assert store.read("a.json").body == b"1"
    assert store.read("a.json").body == b"1"


@pytest.mark.parametrize("spoil", ["too large", "a link", "a folder"])
def test_what_cannot_be_read_is_not_absent(store: FileStore, folder: Path, spoil: str) -> None:
    store.write("other.json", b"1", replacing=ABSENT)
    path = folder / "a.json"
    if spoil == "too large":
        path.write_bytes(bytes(MAX_SMALL_OBJECT_BYTES + 1))
    elif spoil == "a link":
        path.symlink_to(folder / "other.json")
    else:
        path.mkdir()
    with pytest.raises(RecordStoreError, match=r"records/a\.json.* Check that you may read"):
        store.read("a.json")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileStore(tmp_path / "file" / "records")
    with pytest.raises(RecordStoreError, match=r"could not write the record .*file/records/a\.json"):
        store.write("a.json", b"1", replacing=None)
