"""The folder of the records as a place where machines agree upon their pace."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.exceptions import ClientError

from airflow_provider_wanx.dashscope.errors import ConflictError, S3Error, UnconditionalStoreError
from airflow_provider_wanx.dashscope.store import ABSENT, Version
from airflow_provider_wanx.hooks import shared_place
from airflow_provider_wanx.hooks.connection import client_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.hooks.shared_place import RecordFolder
from tests.unit.support.memory_s3 import MemoryS3
from tests.unit.support.s3 import Bucket

NAME = "pace-0123.json"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryS3:
    """A bucket that every AWS connection leads to."""
    memory = MemoryS3()
    monkeypatch.setattr(S3Hook, "get_client_type", lambda self, **_: memory)
    return memory


def test_only_who_has_seen_the_last_version_replaces_an_object(bucket: Bucket) -> None:
    one, other = (RecordFolder(f"s3://{bucket.name}/records/") for _ in range(2))

    assert one.read(NAME) == Version()
    one.write(NAME, b"1", replacing=ABSENT)
    with pytest.raises(ConflictError):
        other.write(NAME, b"2", replacing=ABSENT)
    first = other.read(NAME)
    assert first.body == b"1"
    other.write(NAME, b"2", replacing=first.etag)
    with pytest.raises(ConflictError):
        one.write(NAME, b"3", replacing=first.etag)

    assert one.read(NAME).body == b"2"
    assert bucket.client.get_object(Bucket=bucket.name, Key=f"records/{NAME}")["Body"].read() == b"2"


def test_the_stores_own_clock_comes_with_an_object_and_without_one(
    memory: MemoryS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"date": "Wed, 25 Nov 2026 12:00:01 GMT"}
    for body in (b"", b"1"):

        def answer(**key: str) -> dict[str, Any]:
            metadata: Any = {"ResponseMetadata": {"HTTPHeaders": headers, "HTTPStatusCode": 404}}
            if not body:  # noqa: B023 - called in this round
                raise ClientError({"Error": {"Code": "NoSuchKey"}, **metadata}, "GetObject")
            return {"Body": io.BytesIO(body), "ETag": '"1"', **metadata}  # noqa: B023

        monkeypatch.setattr(memory, "get_object", answer)
        assert RecordFolder("s3://bucket").read(NAME).time == 1795608001.0


def test_an_object_that_was_deleted_meanwhile_is_not_replaced_but_made_anew(memory: MemoryS3) -> None:
    folder = RecordFolder("s3://bucket/records")
    folder.write(NAME, b"1", replacing=ABSENT)
    seen = folder.read(NAME)
    memory.objects.clear()

    with pytest.raises(ConflictError):
        folder.write(NAME, b"2", replacing=seen.etag)
    assert folder.write(NAME, b"2", replacing=folder.read(NAME).etag)


@pytest.mark.parametrize("ignores", [("IfMatch",), ("IfNoneMatch",), ("IfMatch", "IfNoneMatch")])
def test_a_store_that_ignores_conditions_is_found_out_and_other_machines_are_told(
    memory: MemoryS3, ignores: tuple[str, ...]
) -> None:
    memory.ignores = ignores
    folder = RecordFolder("s3://bucket/records")
    with pytest.raises(UnconditionalStoreError, match="ignores conditional writes"):
        folder.write(NAME, b"1", replacing=folder.read(NAME).etag)

    with pytest.raises(UnconditionalStoreError, match="ignores conditional writes"):
        RecordFolder("s3://bucket/records").read(NAME)


def test_a_store_is_tried_once_for_an_account_and_not_at_every_write(memory: MemoryS3) -> None:
    folder = RecordFolder("s3://bucket/records")
    folder.write(NAME, b"1", replacing=folder.read(NAME).etag)
    before = memory.writes
    folder.write(NAME, b"2", replacing=folder.read(NAME).etag)

    assert memory.writes == before + 1


@pytest.mark.parametrize("place", ["file:///shared/records", "gs://bucket/records", "records"])
def test_other_places_than_s3_say_why_they_cannot_be_shared(place: str) -> None:
    with pytest.raises(UnconditionalStoreError, match="only S3 knows conditional writes"):
        RecordFolder(place).read(NAME)


def test_what_s3_refuses_is_raised(bucket: Bucket) -> None:
    folder = RecordFolder("s3://no-such-bucket-anywhere/records")

    with pytest.raises(S3Error, match="The bucket does not exist"):
        folder.read(NAME)


def test_a_submission_waits_for_s3_for_some_seconds_only_and_the_connections_own_settings_hold(
    monkeypatch: pytest.MonkeyPatch, set_connection: Callable[..., None], memory: MemoryS3
) -> None:
    used: list[tuple[str, Any]] = []

    def client(hook: S3Hook, *, config: Any) -> MemoryS3:
        used.append((hook.aws_conn_id or "", config))
        return memory

    monkeypatch.setattr(S3Hook, "get_client_type", client)
    extra = {
        "region_name": "us-east-1",
        "config_kwargs": {"s3": {"addressing_style": "path"}, "read_timeout": 300},
    }
    set_connection("mine", {"conn_type": "aws", "extra": extra})

    RecordFolder("s3://mine@bucket/records").read(NAME)

    ((conn_id, config),) = used
    assert conn_id == "mine"
    assert memory.reads == [f"records/{NAME}"]
    assert (config.connect_timeout, config.read_timeout) == (
        shared_place.CONNECT_TIMEOUT,
        shared_place.READ_TIMEOUT,
    )
    assert config.s3["addressing_style"] == "path"


def test_a_connection_with_a_record_path_shares_its_pace_there_except_in_a_triggerer(
    set_connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(*, in_triggerer: bool = False) -> Any:
        connection = DashScopeHook.get_connection("chosen")
        return client_config(connection, in_triggerer=in_triggerer).shared_place

    fields = {"conn_type": "dashscope", "password": "sk-0123456789"}
    set_connection("chosen", fields)
    assert place() is None
    monkeypatch.setenv("AIRFLOW__DASHSCOPE__RECORD_PATH", "s3://bucket/for-all")
    assert place().url() == "s3://bucket/for-all"
    set_connection("chosen", fields | {"extra": {"record_path": "s3://bucket/mine"}})
    assert place().url() == "s3://bucket/mine"
    assert place(in_triggerer=True) is None
