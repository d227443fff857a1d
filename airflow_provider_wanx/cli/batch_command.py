"""``batch``: how far a batch is, and which of its images have failed, by what it has written to its destination."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO, cast

from airflow_provider_wanx.batch.batch_destination import split_destination
from airflow_provider_wanx.batch.input.formats import read_jsonl
from airflow_provider_wanx.batch.policy import duration
from airflow_provider_wanx.batch.report import MANIFEST, STATUS
from airflow_provider_wanx.cli.output import print_record, print_rows, say
from airflow_provider_wanx.cli.running import DONE, use_airflows_connections
from airflow_provider_wanx.dashscope.errors import S3Error, StoreError, UnreadableError
from airflow_provider_wanx.dashscope.store import ABSENT
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import ObjectStore, ObjectStream

FAILED = ("row", "image", "style", "code", "message", "dashscope_task_id")


def _opened(arguments: Namespace) -> tuple[Any, str, str]:
    """Find the batch's destination.

    :return: boto3's client, bucket and prefix.
    """
    conn_id, bucket, prefix = split_destination(arguments.destination)
    use_airflows_connections()
    return s3_hook(conn_id or arguments.aws_connection).get_conn(), bucket, prefix


def _status(client: Any, bucket: str, prefix: str) -> dict[str, Any]:
    """Read ``status.json``.

    :raises StoreError: there is none, or it cannot be read.
    """
    url = f"s3://{bucket}/{prefix}"
    found = ObjectStore(client, bucket=bucket, prefix=prefix).read(STATUS)
    if found.etag == ABSENT:
        raise StoreError(f"There is no {STATUS} in {url}: no batch has this destination.")
    try:
        told = json.loads(found.body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise UnreadableError(f"{url}{STATUS} cannot be read: a batch would have written something else.")
    return told


def _rows(client: Any, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:
    """Read the manifest.

    :raises S3Error: S3 does not give it.
    :raises InvalidInputError: it is none.
    """
    key = f"{prefix}{MANIFEST}.jsonl"
    what = f"s3://{bucket}/{key}"
    with s3_errors(f"read {what}"):
        stream = cast("BinaryIO", ObjectStream(client, bucket=bucket, key=key))
        yield from (each[1] for each in read_jsonl(stream, what=what) if isinstance(each, tuple))


def show_status(arguments: Namespace) -> int:
    """Show how far a batch is."""
    told = _status(*_opened(arguments))
    if arguments.output == "table":
        failures, left = told.pop("failures", None), told.pop("seconds_left", None)
        if isinstance(left, int | float) and 0 <= left < 10**9:
            told["left"] = duration(left)
        if isinstance(failures, dict) and failures:
            told["failures"] = [f"{code}: {_count(each)}" for code, each in failures.items()]
    print_record(told, output=arguments.output)
    return DONE


def show_failures(arguments: Namespace) -> int:
    """Show which images of a batch have failed, and why."""
    destination = _opened(arguments)
    try:
        failed = (row for row in _rows(*destination) if row.get("status") == "failed")
        rows = list(islice(failed, arguments.limit))
    except S3Error as error:
        if error.code != "NoSuchKey":
            raise
        say(
            "The manifest is written at the end of the batch. Until then, some failures stand for all of them."
        )
        rows = _examples(_status(*destination))[: arguments.limit]
    print_rows([{name: row.get(name) for name in FAILED} for row in rows], FAILED, output=arguments.output)
    return DONE


def _examples(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    failures = status.get("failures")
    return [
        {**example, "code": code}
        for code, each in (failures.items() if isinstance(failures, dict) else ())
        for example in (each.get("examples") if isinstance(each, dict) else None) or ()
        if isinstance(example, dict)
    ]


def _count(failure: object) -> object:
    return failure.get("count") if isinstance(failure, dict) else None
