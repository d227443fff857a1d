"""Points in the provider's work at which a test lets a task's process die or fail: exactly there, and once.

A test asks for it by a file named after the point, in a folder named after its row. The file is gone before anything
happens, so that the next try passes. What is wrapped is what the process runs; the installed package stays as it is.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from airflow_provider_wanx.jobs.copying import destinations, multipart_upload
from airflow_provider_wanx.jobs.submitting.submission_record import Phase, Record, SubmissionRecord
from airflow_provider_wanx.jobs.submitting.submitter import Submitter
from airflow_provider_wanx.operators.dashscope import SubmittingOperator

ORDERS = Path(os.environ["WANX_FAULT_ORDERS"])

_process: dict[str, str] = {}


class OrderedFailureError(Exception):
    """The failure that a test asked for."""


def enter(context: Any) -> None:
    """Remember which row this process works for; to be a task's ``pre_execute``."""
    _process["row"] = context["params"]["row"]


def reached(point: str, context: Any = None, result: Any = None) -> None:
    """Do what was ordered for this point, if anything was."""
    order = ORDERS / _process.get("row", "") / point
    try:
        what = order.read_text()
        order.unlink()
    except FileNotFoundError:
        return
    if what == "error":
        raise OrderedFailureError(f"ordered at {point}")
    if what == "worker":
        # The supervisor goes first, so that nobody is left to report the task's end.
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner: type, name: str, *, before: str | None = None, after: str | None = None) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        if before:
            reached(before)
        value = inner(*args, **kwargs)
        if after:
            reached(after)
        return value

    setattr(owner, name, outer)


def _wrap_record() -> None:
    inner = SubmissionRecord.write

    @functools.wraps(inner)
    def write(self: SubmissionRecord, record: Record) -> None:
        inner(self, record)
        reached("before_post" if record.phase is Phase.INTENT else "after_record")

    SubmissionRecord.write = write  # type: ignore[method-assign]


def _wrap_upload() -> None:
    inner = multipart_upload.upload

    @functools.wraps(inner)
    def upload(client: Any, pieces: Iterable[bytes], **kwargs: Any) -> None:
        inner(client, _failing(pieces), **kwargs)
        reached("after_upload")

    destinations.upload = upload  # type: ignore[attr-defined]


def _failing(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A file that is cut short by its reader's death, halfway."""
    for piece in pieces:
        yield piece
        reached("in_copy")


_wrap(Submitter, "post", after="after_post")
_wrap(SubmittingOperator, "check_wait", after="in_resume")
_wrap_record()
_wrap_upload()
