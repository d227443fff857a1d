from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.hooks.storage import s3_destination
from airflow_provider_wanx.jobs.copying.result_metadata import DASHSCOPE_TASK_ID
from tests.unit.support.s3 import Bucket


def test_the_connection_is_read_once_for_any_number_of_objects(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read = S3Hook.get_connection

    def get_connection(_: S3Hook, conn_id: str) -> Any:
        reads.append(conn_id)
        return read(conn_id)

    monkeypatch.setattr(S3Hook, "get_connection", get_connection)
    destination = s3_destination(aws_conn_id="aws_default", bucket=bucket.name)
    destination.check()
    for key in ("one", "two", "three"):
        written = destination.write(
            [key.encode()], key, content_type="text/plain", metadata={DASHSCOPE_TASK_ID: f"task of {key}"}
        )
        assert written
    assert len(reads) == 1
    assert [bucket.body(key) for key in ("one", "two", "three")] == [b"one", b"two", b"three"]
    assert bucket.head("two")["Metadata"][DASHSCOPE_TASK_ID] == "task of two"


def test_nothing_is_written_among_the_objects_of_a_batchs_ledger(bucket: Bucket) -> None:
    destination = s3_destination(aws_conn_id="aws_default", bucket=bucket.name)
    with pytest.raises(InvalidInputError, match="where a batch remembers what it has paid for"):
        destination.write(
            [b"{}"], "out/_ledger/index.json", content_type="text/plain", metadata={DASHSCOPE_TASK_ID: "id"}
        )
    assert not bucket.keys()
