"""What the service tells, as typed and immutable values.

Field names are the service's, except where two sources of its documentation disagree: then both are read and one name
is kept. Times arrive as China time without a zone and leave as aware datetimes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

from airflow_provider_wanx.dashscope.redaction import safe_words, without_query

CHINA_TIME = timezone(timedelta(hours=8))
"""The zone of every time that the service writes as text (measured; its pages do not say)."""


class TaskStatus(StrEnum):
    """State of a task."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_terminal(self) -> bool:
        """Whether the task will not change any more. UNKNOWN counts: the service has no such task, or not any more."""
        return self not in (TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.SUSPENDED)


def _text_time(value: object) -> object:
    """Read ``2026-11-23 22:22:13`` with or without fraction; anything else that is no such time is no time."""
    if not isinstance(value, str):
        return value if isinstance(value, datetime) else None
    try:
        parsed = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=CHINA_TIME)


def _epoch_time(value: object) -> object:
    """Read milliseconds since 1970, as list rows have them; a number that would be before 1973 counts as seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, tz=UTC)
        except (OverflowError, ValueError, OSError):
            return None
    return _text_time(value)


def _text(value: object) -> str | None:
    """Codes arrive as numbers now and then; what is no text at all is not worth losing a paid task for."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _words(value: object) -> str | None:
    text = _text(value)
    return None if text is None else safe_words(text)


def _count(value: object) -> int | None:
    """Read a number of things; what can be none, such as -5, is not believed."""
    try:
        count = int(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1
    except (ValueError, OverflowError):
        return None
    return count if 0 <= count <= 10**9 else None


def _first_status(value: object) -> object:
    """Take a state that is missing or new for PENDING: what counts in this answer is the id of a task that costs money."""
    return value if isinstance(value, str) and value in TaskStatus.__members__ else TaskStatus.PENDING


def is_task_id(value: object) -> bool:
    """Tell whether something can be a task's id: one short word, for it becomes a part of paths, names and lines of logs."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", value) is not None


def _task_id(value: str) -> str:
    if not is_task_id(value):
        raise ValueError("not a task id")
    return value


TaskId = Annotated[str, AfterValidator(_task_id)]

TextTime = Annotated[datetime | None, BeforeValidator(_text_time)]
EpochTime = Annotated[datetime | None, BeforeValidator(_epoch_time)]
Text = Annotated[str | None, BeforeValidator(_text)]
Words = Annotated[str | None, BeforeValidator(_words)]
Count = Annotated[int | None, BeforeValidator(_count)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Submission(_Model):
    """The answer to a submission.

    :param task_id: the service's id of the task.
    :param status: usually PENDING.
    :param request_id: the service's id of the call.
    """

    task_id: TaskId
    status: Annotated[TaskStatus, BeforeValidator(_first_status)] = Field(
        default=TaskStatus.PENDING, validation_alias=AliasChoices("task_status", "status")
    )
    request_id: Words = None


class Usage(_Model):
    """What a task is billed for.

    :param image_count: number of images; 0 for a failed task, None for models that count otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    image_count: Count = Field(default=None, validation_alias=AliasChoices("image_count", "image_num"))


class ResultFile(_Model):
    """One file that a task made.

    :param url: where it can be fetched for 24 hours; its query may be a signature, so treat it as a secret.
    :param path: where the URL stood in the answer, for example ``results[0].url``.
    :param index: position among the task's files, from 0.
    """

    url: str = Field(repr=False)
    path: str
    index: int

    @property
    def safe_url(self) -> str:
        """The URL without its query, for logs."""
        return without_query(self.url)

    @property
    def extension(self) -> str:
        """The file's extension as the URL has it, lower case and with its dot; empty where there is none of a usual kind."""
        path = self.safe_url.partition("://")[2].partition("/")[2]
        extension = posixpath.splitext(posixpath.basename(unquote(path)))[1].lower()
        return extension if re.fullmatch(r"\.[a-z0-9]{1,10}", extension) else ""


class ResultFailure(_Model):
    """A part of a task that failed while others succeeded.

    :param path: where it stood in the answer, for example ``results[2]``.
    :param code: the service's code, empty where it gave none.
    :param message: the service's words, likewise.
    """

    path: str
    code: Annotated[str, AfterValidator(safe_words)] = ""
    message: Annotated[str, AfterValidator(safe_words)] = ""

    @property
    def reason(self) -> str:
        """Code and words in one, for logs and messages."""
        return ": ".join(part for part in (self.code, self.message) if part) or "no reason given"


_BOOKKEEPING = frozenset(
    {
        "actual_prompt", "code", "end_time", "error_code", "error_message", "finished", "message", "orig_prompt",
        "request_id", "scheduled_time", "start_time", "status", "style_index", "submit_time", "task_id", "task_metrics",
        "task_status",
    }
)  # fmt: skip
"""What an answer says of a task beside what the task has made."""


def _holds_data(node: object) -> bool:
    if isinstance(node, Mapping):
        return any(_holds_data(value) for key, value in node.items() if key not in _BOOKKEEPING)
    if isinstance(node, list):
        return any(map(_holds_data, node))
    return node is not None and node != ""


class Task(_Model):
    """A snapshot of a task.

    :param task_id: the service's id.
    :param status: its state.
    :param results: the files it made, in the answer's order; empty before it has succeeded.
    :param failures: the parts of it that failed.
    :param code: why it failed: the service's code.
    :param message: why it failed: the service's words.
    :param usage: what is billed.
    :param submit_time: when it was accepted.
    :param scheduled_time: when it was taken from the queue.
    :param start_time: when work began.
    :param end_time: when it ended.
    :param request_id: id of the call that fetched this snapshot.
    :param output: the whole ``output`` object as received.
    """

    task_id: TaskId
    status: TaskStatus = Field(validation_alias=AliasChoices("task_status", "status"))
    results: tuple[ResultFile, ...] = ()
    failures: tuple[ResultFailure, ...] = ()
    code: Words = None
    message: Words = None
    usage: Usage | None = None
    submit_time: TextTime = None
    scheduled_time: TextTime = None
    start_time: TextTime = None
    end_time: TextTime = None
    request_id: Words = None
    output: Mapping[str, Any] = Field(default_factory=dict, repr=False)

    @field_validator("usage", mode="before")
    @classmethod
    def _usage_is_an_object(cls, value: object) -> object:
        return value if isinstance(value, Mapping | Usage) else None

    @property
    def made_only_data(self) -> bool:
        """Whether the task made no file but something that stands in :attr:`output` itself, such as the id of a template."""
        return not self.results and not self.failures and _holds_data(self.output)

    @property
    def style_index(self) -> int | None:
        """The style of a repainted portrait, where the answer names one."""
        value = self.output.get("style_index")
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def describe(self) -> str:
        """One sentence about the state, for logs and messages."""
        why = ": ".join(part for part in (self.code, self.message) if part)
        return f"DashScope task {self.task_id} is {self.status}{f' ({why})' if why else ''}."


class TaskRow(_Model):
    """One row of the task list: a state, but neither results nor the reason of a failure."""

    task_id: TaskId
    status: TaskStatus = Field(validation_alias=AliasChoices("status", "task_status"))
    model_name: Text = None
    create_time: EpochTime = Field(default=None, validation_alias=AliasChoices("gmt_create", "create_time"))
    start_time: EpochTime = None
    end_time: EpochTime = None
    request_id: Words = None


class TaskPage(_Model):
    """One page of the task list.

    :param tasks: its rows.
    :param total: number of rows over all pages, None if the service does not tell.
    :param total_page: number of pages, likewise.
    :param answered_at: the service's clock when it answered, to the second.
    """

    tasks: tuple[TaskRow, ...] = Field(default=(), validation_alias=AliasChoices("data", "tasks"))
    total: Count = None
    total_page: Count = None
    page_no: int = 1
    page_size: int = 10
    request_id: Words = None
    answered_at: datetime | None = None

    @property
    def has_more(self) -> bool:
        """Whether a further page may exist. Without a number of pages, only an empty page is known to be the last."""
        return bool(self.tasks) and (self.total_page is None or self.page_no < self.total_page)


class UploadPolicy(_Model):
    """Permission to put files into the service's temporary store.

    :param expire_in_seconds: how long the permission lasts.
    :param max_file_size_mb: largest file, in MiB.
    """

    policy: str = Field(repr=False)
    signature: str = Field(repr=False)
    upload_dir: str
    upload_host: str
    oss_access_key_id: str = Field(repr=False)
    x_oss_object_acl: str = "private"
    x_oss_forbid_overwrite: str = "true"
    expire_in_seconds: int = 300
    max_file_size_mb: int | None = None


class ModelLimit(_Model):
    """The limits of one model.

    :param request_limit: submissions per ``request_limit_period`` seconds.
    :param async_user_queue_limit: how many tasks may wait.
    :param async_user_concurrency_limit: how many tasks run at a time.
    """

    request_limit: int | None = None
    request_limit_period: int | None = None
    usage_limit: int | None = None
    usage_limit_field: str | None = None
    usage_limit_period: int | None = None
    async_user_queue_limit: int | None = None
    async_user_concurrency_limit: int | None = None


class Quota(_Model):
    """The limits of one model, for the account and for the workspace."""

    model: str
    workspace_id: Text = None
    model_limit: ModelLimit | None = None
    workspace_limit: ModelLimit | None = None


class QuotaPage(_Model):
    """One page of limits."""

    quotas: tuple[Quota, ...] = ()
    total: int = 0
    page_no: int = 1
    page_size: int = 20


def _announced_end(value: object) -> object:
    """Find the time in what is told of a model's end: ``{"offline_time": …}``, or one such object for each region."""
    if not isinstance(value, Mapping):
        return value
    inner = [each for each in value.values() if isinstance(each, Mapping)]
    times = [each.get("offline_time", each.get("offlineTime")) for each in (value, *inner)]
    return min((each for each in times if isinstance(each, str)), default=None)


class ListedModel(_Model):
    """A model that the service offers.

    :param offline_time: when it will be taken away, if that is announced.
    """

    model: str
    offline_time: Annotated[TextTime, BeforeValidator(_announced_end)] = Field(
        default=None, validation_alias=AliasChoices("inference_offline_info", "offline_time")
    )


class ModelPage(_Model):
    """One page of the service's models."""

    models: tuple[ListedModel, ...] = ()
    total: int = 0
    page_no: int = 1
    page_size: int = 20
