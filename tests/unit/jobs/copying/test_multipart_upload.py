from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat import sdk as compat
from airflow.providers.common.compat.lineage import hook as hook_lineage
from botocore.exceptions import ClientError

from airflow_provider_wanx.hooks.storage import s3_destination
from airflow_provider_wanx.jobs.copying.multipart_upload import PART_BYTES, probe, upload
from airflow_provider_wanx.jobs.copying.result_metadata import DASHSCOPE_TASK_ID
from tests.unit.support.airflow_names import HookLineageCollector
from tests.unit.support.s3 import Bucket

_PIECE = bytes(range(251)) * 4000
"""A million bytes and some; no part ends where one of them does."""


def _pieces(size: int) -> Iterator[bytes]:
    while size > 0:
        yield _PIECE[:size]
        size -= len(_PIECE)


@pytest.mark.parametrize(
    "size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 12_345]
)
def test_an_object_of_any_size_is_what_came(bucket: Bucket, size: int) -> None:
    upload(bucket.client, _pieces(size), bucket=bucket.name, key="k", arguments={"ContentType": "video/mp4"})

    body = bucket.body("k")
    assert len(body) == size
    assert hashlib.sha256(body).digest() == hashlib.sha256(b"".join(_pieces(size))).digest()
    assert bucket.head("k")["ContentType"] == "video/mp4"
    assert bucket.unfinished() == []


def test_all_parts_but_the_last_are_of_one_size(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    upload_part = bucket.client.upload_part

    def note(**arguments: Any) -> Any:
        sizes.append(len(arguments["Body"]))
        return upload_part(**arguments)

    monkeypatch.setattr(bucket.client, "upload_part", note)
    upload(bucket.client, _pieces(2 * PART_BYTES + 5), bucket=bucket.name, key="k", arguments={})

    assert sizes == [PART_BYTES, PART_BYTES, 5]


@pytest.mark.parametrize("size", [1000, PART_BYTES + 1000])
def test_pieces_that_break_off_leave_nothing(bucket: Bucket, size: int) -> None:
    def broken() -> Iterator[bytes]:
        yield from _pieces(size)
        raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        upload(bucket.client, broken(), bucket=bucket.name, key="k", arguments={})

    assert (bucket.keys(), bucket.unfinished()) == ([], [])


def test_when_the_upload_cannot_be_given_up_its_own_error_is_told(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AbortMultipartUpload")

    def broken() -> Iterator[bytes]:
        yield from _pieces(PART_BYTES)
        raise RuntimeError("broken off")

    monkeypatch.setattr(bucket.client, "abort_multipart_upload", refuse)
    with pytest.raises(RuntimeError, match="broken off"):
        upload(bucket.client, broken(), bucket=bucket.name, key="film.mp4", arguments={})

    assert f"Parts of s3://{bucket.name}/film.mp4 are left in the bucket" in caplog.text


def test_a_lost_answer_to_giving_up_is_no_reason_to_warn_of_parts(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    give_up = bucket.client.abort_multipart_upload

    def twice(**place: Any) -> None:
        give_up(**place)
        # As boto does when the first answer was lost.
        give_up(**place)

    monkeypatch.setattr(bucket.client, "abort_multipart_upload", twice)
    probe(bucket.client, bucket=bucket.name, key="k", arguments={})

    assert (caplog.text, bucket.unfinished()) == ("", [])


def test_each_request_of_a_large_object_gets_the_arguments_that_it_has(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("create_multipart_upload", "upload_part", "complete_multipart_upload")
    seen: dict[str, dict[str, Any]] = {}
    for name in names:
        ask = getattr(bucket.client, name)
        monkeypatch.setattr(
            bucket.client,
            name,
            lambda _ask=ask, _name=name, **more: seen.update({_name: more}) or _ask(**more),
        )
    arguments = {
        "ContentType": "video/mp4",
        "ChecksumAlgorithm": "SHA256",
        "ServerSideEncryption": "AES256",
        "ExpectedBucketOwner": "123456789012",
    }
    upload(bucket.client, _pieces(PART_BYTES), bucket=bucket.name, key="k", arguments=arguments)

    asked = [set(seen[name]) & set(arguments) for name in names]
    assert asked == [set(arguments), {"ChecksumAlgorithm", "ExpectedBucketOwner"}, {"ExpectedBucketOwner"}]
    (part,) = seen["complete_multipart_upload"]["MultipartUpload"]["Parts"]
    assert part["ChecksumSHA256"]


@pytest.mark.parametrize("size", [1000, PART_BYTES])
def test_an_object_is_told_to_hook_lineage(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    # Without a reader, such as OpenLineage's, Airflow's own collector collects nothing.
    for module in (sys.modules[HookLineageCollector.__module__], compat):
        monkeypatch.setattr(module, "get_hook_lineage_collector", HookLineageCollector, raising=False)
    collector = hook_lineage.get_hook_lineage_collector()
    monkeypatch.setattr(hook_lineage, "get_hook_lineage_collector", lambda: collector)
    destination = s3_destination(aws_conn_id="aws_default", bucket=bucket.name)
    destination.write(_pieces(size), "k.bin", content_type="video/mp4", metadata={DASHSCOPE_TASK_ID: "id-1"})

    (output,) = collector.collected_assets.outputs
    assert output.asset.uri == f"s3://{bucket.name}/k.bin"
