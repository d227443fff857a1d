"""Workers that are killed at a moment of a scene's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.sdk.bases.operator import BaseOperator

from airflow_provider_wanx.jobs.submitting.submission_record import Record, SubmissionRecord
from airflow_provider_wanx.s3.objects import ObjectStore
from tests.unit.support.airflow import TaskRunner


class KilledError(BaseException):
    """The worker was killed."""


def killed_at_a_record(runner: TaskRunner[BaseOperator], *, number: int, written: bool) -> None:
    """Kill the worker before or after it has written a record of a submission."""
    write, writes = SubmissionRecord.write, iter(range(99))

    def dying(self: SubmissionRecord, record: Record) -> None:
        last = next(writes) == number
        if last and not written:
            raise KilledError
        write(self, record)
        if last:
            raise KilledError

    with _dies(SubmissionRecord, "write", dying):
        runner.start()


def killed_after_an_object(runner: TaskRunner[BaseOperator], name: str, *, number: int) -> None:
    """Kill the worker after it has written an object of the ledger."""
    write, writes = ObjectStore.write, iter(range(99))

    def dying(self: ObjectStore, written: str, body: bytes, **more: Any) -> str:
        etag = write(self, written, body, **more)
        if written == name and next(writes) == number:
            raise KilledError
        return etag

    with _dies(ObjectStore, "write", dying):
        runner.start()


@contextmanager
def _dies(owner: type, method: str, dying: Callable[..., Any]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, dying)
        with pytest.raises(KilledError):
            yield
