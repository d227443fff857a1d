"""Small objects that are replaced only by whoever has seen their last version, on a local S3."""

from __future__ import annotations

import pytest

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.s3.errors import S3Error
from airflow_provider_wanx.s3.objects import ABSENT, ConflictError, ObjectStore, Version
from tests.unit.support.memory_s3 import MemoryS3
from tests.unit.support.s3 import Bucket

KIND = "application/json"


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    return ObjectStore(bucket.client, bucket=bucket.name, prefix="out/_ledger/")


def write(store: ObjectStore, body: bytes, *, replacing: str | None) -> str:
    return store.write("index.json", body, content_type=KIND, replacing=replacing)


def test_what_is_written_is_below_the_prefix_and_is_read_again(store: ObjectStore, bucket: Bucket) -> None:
    version = write(store, b"{}", replacing=ABSENT)
    assert store.read("index.json") == Version(b"{}", version)
    assert bucket.body("out/_ledger/index.json") == b"{}"
    assert bucket.head("out/_ledger/index.json")["ContentType"] == KIND
    assert store.url("index.json") == f"s3://{bucket.name}/out/_ledger/index.json"


def test_what_does_not_exist_is_absent(store: ObjectStore) -> None:
    assert store.read("index.json") == Version(b"", ABSENT)


def test_the_last_version_may_be_replaced_and_no_other(store: ObjectStore) -> None:
    first = write(store, b"1", replacing=ABSENT)
    second = write(store, b"2", replacing=first)
    with pytest.raises(
        ConflictError, match=r"^Somebody else has changed an object in the meantime: .*index\.json"
    ):
        write(store, b"3", replacing=first)
    assert store.read("index.json") == Version(b"2", second)


def test_what_must_not_exist_is_not_replaced(store: ObjectStore) -> None:
    write(store, b"1", replacing=ABSENT)
    with pytest.raises(ConflictError):
        write(store, b"2", replacing=ABSENT)
    assert store.read("index.json").body == b"1"


def test_what_was_deleted_in_the_meantime_is_a_conflict(store: ObjectStore, bucket: Bucket) -> None:
    version = write(store, b"1", replacing=ABSENT)
    bucket.client.delete_object(Bucket=bucket.name, Key="out/_ledger/index.json")
    with pytest.raises(ConflictError):
        write(store, b"2", replacing=version)


def test_without_a_condition_anything_is_replaced(store: ObjectStore) -> None:
    write(store, b"1", replacing=ABSENT)
    write(store, b"2", replacing=None)
    assert store.read("index.json").body == b"2"


def test_a_store_that_keeps_conditions_passes_and_the_object_stays(store: ObjectStore) -> None:
    version = write(store, b"1", replacing=ABSENT)
    store.check_conditions("index.json")
    assert store.read("index.json") == Version(b"1", version)


@pytest.mark.parametrize(("ignored", "header"), [("IfNoneMatch", "If-None-Match"), ("IfMatch", "If-Match")])
def test_a_store_that_ignores_a_condition_is_told(ignored: str, header: str) -> None:
    store = ObjectStore(MemoryS3(ignores=(ignored,)), bucket="b", prefix="")
    write(store, b"1", replacing=ABSENT)
    with pytest.raises(
        InvalidInputError, match=rf"^The store ignores conditional writes \({header}\).*: s3://b/"
    ):
        store.check_conditions("index.json")


def test_a_bucket_that_is_missing_is_an_error_and_no_absent_object(bucket: Bucket) -> None:
    store = ObjectStore(bucket.client, bucket=f"no-{bucket.name}", prefix="")
    for attempt in (lambda: store.read("x"), lambda: write(store, b"", replacing=ABSENT)):
        with pytest.raises(S3Error, match="The bucket does not exist"):
            attempt()
