"""``batch``: how far a batch is, and which of its images have failed, by what it has written to its destination."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO, cast

from airflow_provider_wanx.batch.batch import split_destination
from airflow_provider_wanx.batch.input.formats import read_jsonl
from airflow_provider_wanx.batch.policy import duration
from airflow_provider_wanx.batch.report import MANIFEST, STATUS
from airflow_provider_wanx.cli.output import print_record, print_rows, say
from airflow_provider_wanx.cli.running import DONE, use_airflows_connections
from airflow_provider_wanx.dashscope.errors import S3Error, StoreError, UnreadableError
from airflow_provider_wanx.dashscope.store import ABSENT
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import ObjectStore
from airflow_provider_wanx.s3.stream import ObjectStream

FAILED = ("row", "image", "style", "code", "message", "dashscope_task_id")


class _Destination:
    """Where a batch has left what it tells of itself."""

    def __init__(self, arguments: Namespace) -> None:
        conn_id, self._bucket, self._prefix = split_destination(arguments.destination)
        use_airflows_connections()
        self._client = s3_hook(conn_id or arguments.aws_connection).get_conn()
        self.url = f"s3://{self._bucket}/{self._prefix}"

    def status(self) -> dict[str, Any]:
        """Read ``status.json``.

        :raises StoreError: there is none, or it cannot be read.
        """
        found = ObjectStore(self._client, bucket=self._bucket, prefix=self._prefix).read(STATUS)
        if found.etag == ABSENT:
            raise StoreError(f"There is no {STATUS} in {self.url}: no batch has this destination.")
        try:
            told = json.loads(found.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise UnreadableError(
                f"{self.url}{STATUS} cannot be read: a batch would have written something else."
            )
        return told

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Read the manifest.

        :raises S3Error: S3 does not give it.
        :raises InvalidInputError: it is none.
        """
        key = f"{self._prefix}{MANIFEST}.jsonl"
        what = f"s3://{self._bucket}/{key}"
        with s3_errors(f"read {what}"):
            stream = cast("BinaryIO", ObjectStream(self._client, bucket=self._bucket, key=key))
            for record in read_jsonl(stream, what=what):
                if isinstance(record, tuple):
                    yield record[1]


def show_status(arguments: Namespace) -> int:
    """Show how far a batch is."""
    told = _Destination(arguments).status()
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
    destination = _Destination(arguments)
    try:
        failed = (row for row in destination.rows() if row.get("status") == "failed")
        rows = list(islice(failed, arguments.limit))
    except S3Error as error:
        if error.code != "NoSuchKey":
            raise
        say(
            "The manifest is written at the end of the batch. Until then, some failures stand for all of them."
        )
        rows = _examples(destination.status())[: arguments.limit]
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
