"""Submit once, whatever happens to the Airflow task that submits.

Two rules hold, and nothing here may relax them:

1. Before a POST leaves, a record says that it is about to (phase ``intent``); once its answer is known, the record says
   so (phase ``submitted``, with the id). A process that dies in between leaves an intent, and an intent is never answered
   with another POST before the service's own task list has been asked.
2. A record that cannot be read is not a record that is absent: it stops the task.

There is one record for each task instance, mapped copy and iteration of a loop. It lives in Airflow's task state store
(Airflow 3.3 and later), or on any Airflow at a place that the user names. It survives every retry. A place that the user
names survives a clear too. What a clear does with the task state depends on how it is done: from Airflow 3.4 on, one from the
web interface or the REST API discards it unless it is asked to keep it; all others keep it. Either way a clear submits once
more. If the record is still there, ``max_tries``, which only a clear changes, shows that it is from before the clear; its
task is canceled if it is still queued. If the record is gone, no try knows the old task: unless a trigger still waits for it
and cancels it, it goes on and is billed if it succeeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from airflow_provider_wanx.dashscope.errors import ConflictError, RecordStoreError, UnreadableError
from airflow_provider_wanx.dashscope.store import ABSENT, Store, replace

STATE_KEY = "dashscope_submission"
"""Key of the record in the task state store."""

TASK_STATE = f"task state {STATE_KEY!r}"
"""What messages call a record in the task state store."""

_Text = Annotated[str, Field(strict=True, min_length=1)]


class Phase(StrEnum):
    """How far a submission got."""

    INTENT = "intent"
    SUBMITTED = "submitted"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is kept of a submission.

    :param phase: how far it got.
    :param fingerprint: digest of everything that was to be sent and of the account.
    :param max_tries: the task instance's ``max_tries`` at the time.
    :param time: when the intent was written, in seconds since 1970.
    :param within: seconds after ``time`` within which the POST was sent, at the latest.
    :param model: the model, by which the task list is searched.
    :param dashscope_task_id: the service's id, once it is known.
    :param not_ours: ids that were there before, such as that of a task which this submission replaces.
    """

    phase: Phase
    fingerprint: _Text
    max_tries: int
    time: float
    within: float
    model: _Text
    dashscope_task_id: _Text | None = None
    not_ours: tuple[_Text, ...] = ()
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        if (self.phase is Phase.SUBMITTED) != (self.dashscope_task_id is not None):
            raise ValueError("an id goes with a submission that was accepted, and with no other")
        sent_between(self)  # or its times are none

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {**asdict(self), "phase": str(self.phase), "not_ours": list(self.not_ours)}

    @classmethod
    def from_json(cls, value: object, *, where: str = TASK_STATE) -> Record:
        """Read the stored form.

        :param where: where it was stored, for the message.
        :raises UnreadableError: it is not one, or of a version that this code does not know.
        """
        try:
            if not isinstance(value, Mapping):
                raise TypeError
            # What names no version was written by nobody here.
            return _STORED.validate_python({**value, "version": value["version"]})
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            raise UnreadableError(
                f"The record of an earlier submission ({where}) cannot be read by this version, so it is "
                "not known whether a task was paid for. Delete it to submit anew, or install the version of "
                "airflow-provider-wanx that wrote it."
            ) from None


# Checked when it is read only: what a request lacks is told by the request itself.
_STORED = TypeAdapter(Record)


def fingerprint(*, account: str, content: Mapping[str, Any]) -> str:
    """Digest of a submission, the same for the same input on every try.

    :param account: base URL and workspace. Not the key: a new key for the same account is no new account.
    :param content: everything that is sent, with uploads and presigned URLs replaced by what they stand for.
    """
    text = json.dumps([account, content], sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Fresh:
    """Nothing was submitted: submit."""


@dataclass(frozen=True)
class Reattach:
    """The task exists: go on with it."""

    dashscope_task_id: str


@dataclass(frozen=True)
class CancelThenFresh:
    """The task exists, but another is wanted: cancel it if it can be, then submit."""

    dashscope_task_id: str
    reason: str


@dataclass(frozen=True)
class Reconcile:
    """A POST may or may not have been accepted: ask the task list.

    :param adopt: whether the task, if it is found, is the wanted one; else it is canceled and a new one submitted.
    """

    record: Record
    adopt: bool


Decision = Fresh | Reattach | CancelThenFresh | Reconcile

CLEARED = "the Airflow task was cleared"
CHANGED = "its input has changed"


def decide(record: Record | None, *, fingerprint: str | None, max_tries: int) -> Decision:
    """Decide what a try has to do before it may submit.

    :param record: what an earlier try left, if any.
    :param fingerprint: of what this try wants to submit; None if that cannot be found out any more, which is no reason to
        give up what was paid for.
    :param max_tries: of this try.
    """
    if record is None:
        return Fresh()
    cleared = record.max_tries != max_tries
    changed = fingerprint is not None and record.fingerprint != fingerprint
    if record.dashscope_task_id is None:
        return Reconcile(record, adopt=not (cleared or changed))
    if cleared or changed:
        return CancelThenFresh(record.dashscope_task_id, CLEARED if cleared else CHANGED)
    return Reattach(record.dashscope_task_id)


def sent_between(record: Record) -> tuple[datetime, datetime]:
    """Between which times, by this machine's clock, the POST of an intent was sent."""
    start = datetime.fromtimestamp(record.time, tz=UTC)
    return start, start + timedelta(seconds=record.within)


class SubmissionRecord:
    """The record of one task instance.

    :param store: where it is kept; None on Airflow before 3.3 without a place of the user's: there nothing survives a try.
    :param name: of the record in the store.
    """

    def __init__(self, store: Store | None, *, name: str = STATE_KEY) -> None:
        self._store = store
        self._name = name
        self._seen: str | None = None

    @property
    def where(self) -> str:
        """What messages call it."""
        return self._store.url(self._name) if self._store is not None else TASK_STATE

    @property
    def is_kept(self) -> bool:
        """Whether there is a store at all."""
        return self._store is not None

    def read(self) -> Record | None:
        """Return what an earlier try left, None if there was none.

        :raises UnreadableError: there is something, and it cannot be read.
        """
        if self._store is None:
            return None
        found = self._store.read(self._name)
        self._seen = found.etag
        if found.etag == ABSENT:
            return None
        try:
            value = json.loads(found.body)
        except (ValueError, RecursionError):
            value = None
        return Record.from_json(value, where=self.where)

    def write(self, record: Record) -> None:
        """Keep a record, unless another try has written one since this try has last looked.

        An error of the store is passed on: without a record nothing may be submitted.

        :raises RecordStoreError: another try has.
        """
        if self._store is not None:
            body = json.dumps(record.to_json()).encode()
            try:
                self._seen = replace(self._store, self._name, body, seen=self._seen)
            except ConflictError:
                raise self._overtaken() from None

    def forget(self) -> None:
        """Drop the record, after a submission that the service has certainly refused.

        :raises RecordStoreError: another try has written it since this try has last looked.
        """
        if self._store is not None:
            if self._store.read(self._name).etag not in (ABSENT, self._seen):
                raise self._overtaken()
            self._store.delete(self._name)
            self._seen = ABSENT

    def _overtaken(self) -> RecordStoreError:
        return RecordStoreError(
            f"Another try of this task has changed the record {self.where} in the meantime, so this try must not go on. "
            "A retry goes by what that record says."
        )
