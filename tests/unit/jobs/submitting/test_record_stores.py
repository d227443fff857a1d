"""Records at a place that the user names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.errors import (
    ConfigurationError,
    ConflictError,
    RecordStoreError,
    UnreadableError,
)
from airflow_provider_wanx.dashscope.store import ABSENT, replace
from airflow_provider_wanx.hooks.storage import record_store
from airflow_provider_wanx.identity import Identity, identity_of
from airflow_provider_wanx.jobs.submitting.record_stores import RecordStore, object_name
from airflow_provider_wanx.jobs.submitting.submission_record import STATE_KEY, Phase, Record, SubmissionRecord
from tests.unit.support.airflow import DagRun, TaskInstance
from tests.unit.support.airflow_names import attach
from tests.unit.support.memory_s3 import KilledError, MemoryS3
from tests.unit.support.s3 import Bucket

VALUE = {"version": 1, "phase": "intent"}
RECORD = Record(
    phase=Phase.INTENT, fingerprint="f", max_tries=1, time=1_790_000_000.0, within=90.0, model="wanx-v1"
)


class Attempt:
    """A store as one attempt sees it, which replaces what it has seen."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self.where = store.url()
        self._seen: str | None = None

    def get(self, key: str, default: Any = None) -> Any:
        found = self.store.read(key)
        self._seen = found.etag
        return default if found.etag == ABSENT else json.loads(found.body)

    def set(self, key: str, value: Any) -> None:
        self._seen = replace(self.store, key, json.dumps(value).encode(), seen=self._seen)


Open = Callable[..., Attempt]


def opened(place: str, **ids: Any) -> Attempt:
    """Open the store as a new process does."""
    return Attempt(record_store(place, identity_of(instance(**ids))))


def instance(**ids: Any) -> TaskInstance:
    return TaskInstance(
        DagRun(ids.pop("run_id", "manual__1")), **{"dag_id": "portraits", "task_id": "repaint", **ids}
    )


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> MemoryS3:
    """A bucket that every AWS connection leads to."""
    memory = MemoryS3()
    monkeypatch.setattr(S3Hook, "get_conn", lambda self: memory)
    return memory


@pytest.fixture(params=["file", "s3", "s3 without conditions", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path, s3: MemoryS3) -> str:
    """A folder of every kind: local, on S3, and in a store that only Airflow's object storage knows."""
    if request.param == "s3 without conditions":
        s3.ignores = ("IfMatch", "IfNoneMatch")
    if request.param == "memory":
        attach("memory", fs=MemoryFileSystem())
    folders = {
        "file": tmp_path.as_uri(),
        "s3": "s3://bucket/records",
        "s3 without conditions": "s3://bucket/records",
        "memory": f"memory://records{tmp_path}/",
    }
    return folders[request.param]


@pytest.fixture
def reopen(place: str) -> Open:
    """Open the store as a new process does."""
    return lambda **ids: opened(place, **ids)


class TestEveryStore:
    """What holds wherever the user keeps records."""

    @pytest.mark.parametrize(
        ("body", "refusal"),
        [(b" " * 2_000_000, RecordStoreError), (b"[" * 100_000, UnreadableError)],
        ids=["large", "deep"],
    )
    def test_an_object_that_is_no_record_is_refused(
        self, place: str, reopen: Open, s3: MemoryS3, body: bytes, refusal: type[Exception]
    ) -> None:
        store = reopen()
        store.set(STATE_KEY, VALUE)
        if place.startswith("s3://"):
            s3.objects = dict.fromkeys(s3.objects, body)
        else:
            fs = MemoryFileSystem() if place.startswith("memory") else LocalFileSystem()
            (file,) = fs.ls(place, detail=False)
            fs.pipe_file(file, body)
        with pytest.raises(refusal):
            SubmissionRecord(reopen().store).read()

    def test_a_later_process_reads_what_an_earlier_one_has_written(self, reopen: Open) -> None:
        first = reopen()
        assert first.get(STATE_KEY) is None
        first.set(STATE_KEY, VALUE)
        first.set(STATE_KEY, {**VALUE, "phase": "submitted"})
        assert reopen().get(STATE_KEY) == {**VALUE, "phase": "submitted"}

    def test_what_is_forgotten_is_absent_and_may_be_forgotten_again(self, reopen: Open) -> None:
        record = SubmissionRecord(reopen().store)
        record.read()
        record.write(RECORD)
        record.forget()
        assert SubmissionRecord(reopen().store).read() is None
        record.forget()
        record.write(RECORD)
        assert SubmissionRecord(reopen().store).read() == RECORD

    @pytest.mark.parametrize(
        "other",
        [
            {"dag_id": "p"},
            {"run_id": "manual__2"},
            {"task_id": "copy"},
            {"map_index": 0},
            {"region_id": uuid4(), "region_index": 0},
        ],
    )
    def test_every_task_instance_has_its_own(self, reopen: Open, other: dict[str, Any]) -> None:
        reopen().set(STATE_KEY, VALUE)
        assert reopen(**other).get(STATE_KEY) is None

    def test_a_try_that_another_has_overtaken_cannot_write(self, reopen: Open) -> None:
        slow, quick = (SubmissionRecord(reopen().store) for _ in range(2))
        assert slow.read() is quick.read() is None
        quick.write(RECORD)
        with pytest.raises(RecordStoreError, match="Another try of this task has changed the record"):
            slow.write(dataclasses.replace(RECORD, model="wanx-v2"))
        assert SubmissionRecord(reopen().store).read() == RECORD

    def test_nor_can_it_forget(self, reopen: Open) -> None:
        SubmissionRecord(reopen().store).write(dataclasses.replace(RECORD, model="wanx-v2"))
        slow, quick = (SubmissionRecord(reopen().store) for _ in range(2))
        slow.read()
        quick.read()
        quick.write(RECORD)
        with pytest.raises(RecordStoreError, match="Another try"):
            slow.forget()
        assert SubmissionRecord(reopen().store).read() == RECORD

    def test_two_that_write_the_same_do_not_disturb_each_other(self, reopen: Open) -> None:
        one, other = (SubmissionRecord(reopen().store) for _ in range(2))
        one.read()
        other.read()
        one.write(RECORD)
        other.write(RECORD)
        other.forget()
        assert SubmissionRecord(reopen().store).read() is None


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


class TestFolder:
    """A local or shared folder."""

    def test_the_object_says_whose_it_is(self, tmp_path: Path) -> None:
        store = opened(tmp_path.as_uri(), run_id="manual__2026-11-25T10:00:00+00:00")
        store.set(STATE_KEY, VALUE)
        file = only_file(tmp_path)
        assert file.name.startswith("portraits.manual__2026-11-25T10%3A00%3A00%2B00%3A00.repaint.-1.")
        assert store.where == f"{tmp_path.as_uri()}/{file.name}"
        assert json.loads(file.read_text()) == {
            "dag_id": "portraits",
            "run_id": "manual__2026-11-25T10:00:00+00:00",
            "task_id": "repaint",
            "map_index": -1,
            STATE_KEY: VALUE,
        }

    @pytest.mark.parametrize("content", [b"", b'{"dag_id": "portr', b"[]", b"\xff\xfe", b"{}", b"null", b"7"])
    def test_what_is_half_written_is_not_taken_for_absent(self, tmp_path: Path, content: bytes) -> None:
        store = opened(tmp_path.as_uri())
        store.set(STATE_KEY, VALUE)
        file = only_file(tmp_path)
        file.write_bytes(content)
        with pytest.raises(UnreadableError) as caught:
            SubmissionRecord(store.store).read()
        assert file.as_uri().replace("%25", "%") in str(caught.value)

    def test_nor_is_the_record_of_another_task_instance(self, tmp_path: Path) -> None:
        store = opened(tmp_path.as_uri())
        record = SubmissionRecord(store.store)
        record.write(RECORD)
        assert record.read() == RECORD
        file = only_file(tmp_path)
        file.write_text(file.read_text().replace("portraits", "Portraits"))
        with pytest.raises(UnreadableError):
            record.read()

    def test_whoever_is_killed_while_writing_leaves_the_old_record(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = opened(tmp_path.as_uri())
        store.set(STATE_KEY, VALUE)

        def die(*_: object) -> None:
            raise KilledError

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", die)
            with pytest.raises(KilledError):
                store.set(STATE_KEY, {"version": 2})
        assert opened(tmp_path.as_uri()).get(STATE_KEY) == VALUE

    def test_a_folder_that_is_missing_is_not_made_because_a_share_may_not_be_mounted(
        self, tmp_path: Path
    ) -> None:
        store = opened((tmp_path / "share").as_uri())
        assert store.get(STATE_KEY) is None
        with pytest.raises(
            RecordStoreError,
            match=r"^The folder does not exist: could not write the record file://.*/share/.*\.json\. Check record_path",
        ):
            store.set(STATE_KEY, VALUE)
        assert not (tmp_path / "share").exists()

    def test_a_folder_that_is_none_can_be_neither_read_nor_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = opened((tmp_path / "file").as_uri())
        with pytest.raises(RecordStoreError, match=r"Not a directory.*: could not read the record"):
            store.get(STATE_KEY)
        with pytest.raises(RecordStoreError, match=r"Not a directory.*: could not write the record"):
            store.set(STATE_KEY, VALUE)


class TestS3:
    """A bucket."""

    @pytest.mark.parametrize(
        ("place", "conn_id", "key"),
        [
            ("s3://bucket", "aws_default", ""),
            ("s3://bucket/a/b/", "aws_default", "a/b/"),
            ("S3://mine@bucket/a", "mine", "a/"),
        ],
    )
    def test_connection_and_prefix_are_in_the_url(
        self, monkeypatch: pytest.MonkeyPatch, place: str, conn_id: str, key: str
    ) -> None:
        memory, used = MemoryS3(), []

        def get_conn(self: S3Hook) -> MemoryS3:
            used.append(self.aws_conn_id)
            return memory

        monkeypatch.setattr(S3Hook, "get_conn", get_conn)
        monkeypatch.setenv("AIRFLOW_CONN_MINE", "aws://")
        opened(place).set(STATE_KEY, VALUE)
        assert used == [conn_id]
        assert [each.rpartition("portraits")[0] for each in memory.objects] == [key]

    def test_a_request_that_was_repeated_because_its_answer_was_lost_is_no_conflict(
        self, s3: MemoryS3
    ) -> None:
        store = opened("s3://bucket")
        store.get(STATE_KEY)

        def arrived_already(number: int) -> None:
            s3.objects[store.where.removeprefix("s3://bucket/")] = json.dumps(
                {**store.store._ids, STATE_KEY: VALUE}
            ).encode()

        s3.before_write = arrived_already
        store.set(STATE_KEY, VALUE)
        assert store.get(STATE_KEY) == VALUE

    def test_a_write_of_another_try_in_the_last_instant_is_not_replaced(self, s3: MemoryS3) -> None:
        store = opened("s3://bucket")
        store.get(STATE_KEY)

        def overtake(number: int) -> None:
            s3.objects[store.where.removeprefix("s3://bucket/")] = b"theirs"

        s3.before_write = overtake
        with pytest.raises(ConflictError):
            store.set(STATE_KEY, VALUE)
        assert list(s3.objects.values()) == [b"theirs"]

    def test_what_s3_refuses_is_told_once(self, bucket: Bucket) -> None:
        store = opened(f"s3://{bucket.name}-not")
        with pytest.raises(RecordStoreError) as caught:
            store.get(STATE_KEY)
        assert str(caught.value) == (
            f"The bucket does not exist: could not read {store.where} (NoSuchBucket, HTTP 404). Create it, or correct its "
            "name. Check record_path, and that every worker may read, write and delete there."
        )

    def test_what_a_library_says_is_told_without_signatures(self, s3: MemoryS3) -> None:
        store = opened("s3://bucket")

        def fail(number: int) -> None:
            raise OSError("the network is down: https://bucket/x?X-Amz-Signature=0123456789")

        s3.before_write = fail
        with pytest.raises(
            RecordStoreError, match=r"the network is down: .*: could not write the record"
        ) as caught:
            store.set(STATE_KEY, VALUE)
        assert "0123456789" not in str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        "records",
        "/mnt/records",
        "s3://",
        "s3://bucket/records?versionId=1",
        "s3://bucket/records#a",
        "s3://AKIA:very-secret@bucket/records",
    ],
)
def test_what_is_no_folders_url_is_refused(place: str) -> None:
    with pytest.raises(ConfigurationError, match="record_path must be the URL of a folder") as caught:
        record_store(place, identity_of(instance()))
    assert "very-secret" not in str(caught.value)


def test_a_store_that_airflow_does_not_know_is_named() -> None:
    with pytest.raises(
        RecordStoreError,
        match=r"nowhere'?: could not open the folder for records of submissions, nowhere://records\. Check",
    ):
        record_store("nowhere://records", identity_of(instance()))


ids = st.text(max_size=250) | st.sampled_from(["..", "a/b", "照片" * 125])
regions = st.none() | st.uuids().map(str)


@given(ids, ids, ids, st.integers(-1, 10**6), regions, st.integers(0, 2**31 - 1))
def test_names_are_safe_and_no_longer_than_a_files_name_may_be(
    dag_id: str, run_id: str, task_id: str, map_index: int, region_id: str | None, region_index: int
) -> None:
    name = object_name(
        Identity(
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
            region_id=region_id,
            region_index=None if region_id is None else region_index,
        )
    )
    assert len(name) <= 240
    assert name.isascii()
    assert not set(name) & set("/\\:?#* \n")
    assert name.endswith(".json")


def test_ids_that_look_alike_in_a_name_are_told_apart() -> None:
    def name(dag_id: str, task_id: str, **region: Any) -> str:
        return object_name(Identity(dag_id=dag_id, run_id="r", task_id=task_id, **region))

    assert name("a.r.b", "c") != name("a", "b.r.c")
    assert name("x" * 200 + "1", "c") != name("x" * 200 + "2", "c")
    iterations = {name("a", "c", region_id=region, region_index=index) for region in "rs" for index in (0, 1)}
    assert len(iterations | {name("a", "c")}) == 5
