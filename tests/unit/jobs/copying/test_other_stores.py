"""Stores that speak S3 and do not know all that boto3 says; over TLS, where boto3 sends its checksums behind the body."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from airflow_provider_wanx.dashscope.errors import S3Error, UnconditionalStoreError
from airflow_provider_wanx.dashscope.store import ABSENT, replace
from airflow_provider_wanx.hooks.storage import record_store, s3_destination
from airflow_provider_wanx.identity import identity_of
from airflow_provider_wanx.jobs.copying.destinations import S3Destination
from airflow_provider_wanx.jobs.submitting.submission_record import STATE_KEY
from airflow_provider_wanx.s3.objects import ObjectStore
from tests.unit.dashscope.support.middlemen import Certificates, TlsServer, make_certificates
from tests.unit.dashscope.support.scripted_server import Reply, Say, Seen
from tests.unit.support.airflow import DagRun, TaskInstance
from tests.unit.support.memory_s3 import MemoryS3

BEGUN = b"<InitiateMultipartUploadResult><UploadId>u-1</UploadId></InitiateMultipartUploadResult>"


def refusal(status: int, code: str, message: str) -> Say:
    """A refusal as S3 writes it."""
    return Say(status=status, body=f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())


class OldStore(TlsServer):
    """A store that does not know bodies in pieces with a checksum behind them.

    :param says: how it refuses them.
    :param denied: whether nothing may be written.
    """

    def __init__(self, *, certificates: Certificates, says: Say, denied: bool = False) -> None:
        super().__init__(certificates=certificates)
        self.says, self.denied = says, denied

    def _next_reply(self, request: Seen) -> Reply:
        self.seen.append(request)
        if self.denied:
            return refusal(403, "AccessDenied", "Access Denied")
        match request.method:
            case "POST":
                return Say(body=BEGUN)
            case "PUT" if "aws-chunked" in request.headers.get("content-encoding", ""):
                return self.says
            case "PUT":
                return Say(headers={"ETag": '"1"'})
            case "DELETE":
                return Say(status=204)
            case _:
                return Say()


SAYINGS = [
    refusal(400, "InvalidArgument", "aws-chunked encoding is not supported with the specified x-amz-content-sha256 value."),
    refusal(501, "NotImplemented", "A header you provided implies functionality that is not implemented"),
    refusal(400, "XAmzContentSHA256Mismatch", "The provided header does not match what was computed."),
    refusal(400, "InvalidRequest", "STREAMING-UNSIGNED-PAYLOAD-TRAILER is not supported"),
    refusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header."),
]  # fmt: skip


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def connect_store(
    certificates: Certificates, set_connection: Callable[..., None]
) -> Iterator[Callable[..., OldStore]]:
    """Start a store, and let ``aws_default`` lead to it."""
    running: list[OldStore] = []

    def start(says: Say, *, denied: bool = False, **config: Any) -> OldStore:
        store = OldStore(certificates=certificates, says=says, denied=denied)
        running.append(store)
        store.start()
        extra = {
            "endpoint_url": store.url,
            "region_name": "us-east-1",
            "verify": str(certificates.authority),
            "config_kwargs": {
                "s3": {"addressing_style": "path"},
                "retries": {"total_max_attempts": 1},
                **config,
            },
        }
        fields = {"conn_type": "aws", "login": "a", "password": "b", "extra": extra}
        set_connection("aws_default", json.dumps(fields))
        return store

    yield start
    for store in running:
        store.stop()


def destination(**more: Any) -> S3Destination:
    return s3_destination(aws_conn_id="aws_default", bucket="results", **more)


@pytest.mark.parametrize("says", SAYINGS)
def test_a_store_that_refuses_boto3s_checksums_is_told_with_the_setting(
    connect_store: Callable[..., OldStore], says: Say
) -> None:
    store = connect_store(says)
    with pytest.raises(S3Error, match=r'"request_checksum_calculation": "when_required"') as caught:
        destination().try_writing()
    assert not caught.value.retryable
    # Nothing is left behind.
    assert [seen.method for seen in store.seen] == ["POST", "PUT", "DELETE"]


@pytest.mark.parametrize("says", SAYINGS[:2])
def test_with_that_setting_it_takes_objects(connect_store: Callable[..., OldStore], says: Say) -> None:
    store = connect_store(says, request_checksum_calculation="when_required")
    destination(extra_args={"StorageClass": "STANDARD_IA"}).try_writing("out/")
    assert [seen.method for seen in store.seen] == ["POST", "PUT", "DELETE"]
    assert store.seen[0].path.startswith("/results/out/")
    assert store.seen[0].headers["x-amz-storage-class"] == "STANDARD_IA"


def test_a_refusal_tells_something_only_where_something_will_be_written(
    connect_store: Callable[..., OldStore],
) -> None:
    connect_store(SAYINGS[0], denied=True)
    destination().try_writing()
    with pytest.raises(S3Error, match="may not do this: could not write to s3://results/out/"):
        destination().try_writing("out/")


class Refusing(MemoryS3):
    """A store that says of conditions that it does not implement them."""

    def put_object(self, **arguments: Any) -> dict[str, str]:
        """Refuse conditions."""
        if {"IfMatch", "IfNoneMatch"} & arguments.keys():
            answer: Any = {
                "Error": {"Code": "NotImplemented", "Message": "not implemented"},
                "ResponseMetadata": {"HTTPStatusCode": 501},
            }
            raise ClientError(answer, "PutObject")
        return super().put_object(**arguments)


def test_a_store_that_refuses_conditions_keeps_no_two_runs_apart() -> None:
    with pytest.raises(UnconditionalStoreError, match=r"does not know conditional writes \(If-None-Match\)"):
        ObjectStore(Refusing(), bucket="b", prefix="").write("journal", b"1", replacing=ABSENT)


def test_it_keeps_records_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    s3 = Refusing()
    monkeypatch.setattr("airflow.providers.amazon.aws.hooks.s3.S3Hook.get_conn", lambda self: s3)
    task = identity_of(TaskInstance(DagRun("manual__1"), dag_id="portraits", task_id="repaint"))
    for number in (1, 2):
        store = record_store("s3://bucket/records", task)
        seen = store.read(STATE_KEY).etag
        replace(store, STATE_KEY, b'{"version": %d}' % number, seen=seen)
    assert record_store("s3://bucket/records", task).read(STATE_KEY).body == b'{"version": 2}'
