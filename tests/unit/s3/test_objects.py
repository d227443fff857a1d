"""Small objects that are replaced only by whoever has seen their last version, on a local S3."""

from __future__ import annotations

import io
from typing import Any

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

from airflow_provider_wanx.dashscope.errors import (
    ConflictError,
    InvalidInputError,
    ObjectTooLargeError,
    S3Error,
    UnconditionalStoreError,
)
from airflow_provider_wanx.dashscope.store import ABSENT, Version
from airflow_provider_wanx.s3.objects import READ_TRIES, ObjectStore, read_object
from tests.unit.support.memory_s3 import MemoryS3
from tests.unit.support.s3 import Bucket

KIND = "application/json"


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    return ObjectStore(bucket.client, bucket=bucket.name, prefix="out/_ledger/")


def write(store: ObjectStore, body: bytes, *, replacing: str | None) -> str:
    return store.write("index.json", body, replacing=replacing)


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
        UnconditionalStoreError, match=rf"^The store does not know conditional writes \({header}\).*: s3://b/"
    ):
        store.check_conditions("index.json")


def test_a_bucket_that_is_missing_is_an_error_and_no_absent_object(bucket: Bucket) -> None:
    store = ObjectStore(bucket.client, bucket=f"no-{bucket.name}", prefix="")
    for attempt in (lambda: store.read("x"), lambda: write(store, b"", replacing=ABSENT)):
        with pytest.raises(S3Error, match="The bucket does not exist"):
            attempt()


def test_an_object_beyond_the_limit_is_refused_and_one_at_it_is_read(bucket: Bucket) -> None:
    store = ObjectStore(bucket.client, bucket=bucket.name, prefix="", max_bytes=1000)
    bucket.put("fits", b"x" * 1000)
    bucket.put("large", b"x" * 1001)
    assert len(store.read("fits").body) == 1000
    with pytest.raises(ObjectTooLargeError, match=rf"^s3://{bucket.name}/large has more than 1,000 bytes"):
        store.read("large")


def test_what_would_not_be_read_again_is_not_written(bucket: Bucket) -> None:
    store = ObjectStore(bucket.client, bucket=bucket.name, prefix="", max_bytes=1000)
    with pytest.raises(InvalidInputError, match="1,001 bytes"):
        write(store, b"x" * 1001, replacing=ABSENT)
    assert not bucket.keys()


class Endless(io.RawIOBase):
    """A body that never ends, and counts what was taken from it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        """Return as much as is asked for; for all of it, nothing would be enough."""
        if size < 0:
            raise AssertionError("the whole of an endless body was asked for")
        self.taken += size
        return b"x" * size


class Bodies:
    """A client of S3 that answers with given bodies, one after the other."""

    def __init__(self, *bodies: Any) -> None:
        self.bodies = list(bodies)

    def get_object(self, **asked: Any) -> dict[str, Any]:
        """Answer with the next one, if it is none to be raised; no length is announced."""
        body = self.bodies.pop(0)
        if isinstance(body, Exception):
            raise body
        return {"Body": body, "ETag": '"1"'}


class Broken(io.BytesIO):
    """A body that breaks off after its first bytes."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the first bytes once, then fail."""
        if chunk := super().read(4):
            return chunk
        raise ResponseStreamingError(error="reset")


def test_a_body_without_announced_length_is_read_up_to_the_limit_only() -> None:
    body = Endless()
    with pytest.raises(ObjectTooLargeError):
        read_object(Bodies(body), bucket="b", key="k", limit=1000)
    assert body.taken <= 1001
    assert body.closed


def test_a_body_that_breaks_off_is_read_again() -> None:
    body, _ = read_object(Bodies(Broken(b"part"), io.BytesIO(b"whole")), bucket="b", key="k", limit=1000)
    assert body == b"whole"


def test_a_body_that_always_breaks_off_is_an_error_after_some_tries() -> None:
    client = Bodies(*(Broken(b"part") for _ in range(READ_TRIES + 1)))
    with pytest.raises(S3Error) as failed:
        ObjectStore(client, bucket="b", prefix="").read("k")
    assert failed.value.retryable
    assert len(client.bodies) == 1


def _refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "GetObject")  # type: ignore[typeddict-item]


def test_a_refusal_whose_text_broke_off_is_asked_for_again_and_tells_that_there_is_nothing() -> None:
    # boto takes the status for the code then, and 404 may be a bucket that is missing.
    client = Bodies(_refused("404"), _refused("404"), _refused("NoSuchKey"))
    assert ObjectStore(client, bucket="b", prefix="").read("k") == Version(b"", ABSENT)


def test_a_refusal_with_its_text_is_believed_at_once() -> None:
    client = Bodies(_refused("NoSuchBucket"), io.BytesIO(b"whole"))
    with pytest.raises(S3Error, match="The bucket does not exist"):
        ObjectStore(client, bucket="b", prefix="").read("k")
