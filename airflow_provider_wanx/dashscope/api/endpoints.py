"""Every endpoint of the service once: how to build its request and how to read its answer. No input or output here."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, NotRequired, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from airflow_provider_wanx.dashscope.api.answers import (
    Answer,
    error_fields,
    http_date,
    json_object,
    read_model,
    read_output,
    store_error,
)
from airflow_provider_wanx.dashscope.api.filters import ModelFilters, QuotaFilters, TaskFilters, query
from airflow_provider_wanx.dashscope.api.results import find_results
from airflow_provider_wanx.dashscope.config import sends_safely
from airflow_provider_wanx.dashscope.error_codes import ErrorKind
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    InvalidInputError,
    NewStatusError,
    api_error,
)
from airflow_provider_wanx.dashscope.models import (
    ModelPage,
    QuotaPage,
    Submission,
    Task,
    TaskPage,
    TaskStatus,
    UploadPolicy,
    is_task_id,
)
from airflow_provider_wanx.dashscope.redaction import safe_words, without_query

T = TypeVar("T")


class Endpoint(StrEnum):
    """The endpoints, each with a rate limit of its own."""

    SUBMIT = "submit"
    GET_TASK = "get_task"
    LIST_TASKS = "list_tasks"
    CANCEL = "cancel"
    UPLOAD_POLICY = "upload_policy"
    UPLOAD = "upload"
    QUOTAS = "quotas"
    MODELS = "models"


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """A request to an endpoint and the way to read its answer.

    :param url: path under the API base, or a whole URL for hosts of their own.
    :param doing: what the call does, for messages.
    :param other_url: where to ask if the service does not know ``url``.
    :param repeatable: whether repeating it can do no harm even if the service acted on it.
    :param signed: whether the API key goes with it.
    """

    endpoint: Endpoint
    method: str = "GET"
    url: str
    doing: str
    read: Callable[[Answer], T]
    other_url: str | None = None
    repeatable: bool = True
    signed: bool = True
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    file: tuple[str, bytes] | None = field(default=None, repr=False)


class NewTask(TypedDict):
    """What makes up a submission.

    :param service: path below ``/services``, for example ``aigc/image-generation/generation``.
    :param model: for example ``wanx-style-repaint-v1``.
    :param input: the model's input object.
    :param parameters: the model's parameters object, if it has one.
    """

    service: str
    model: str
    input: Mapping[str, Any]
    parameters: NotRequired[Mapping[str, Any] | None]


def submit_task(
    *, service: str, model: str, input: Mapping[str, Any], parameters: Mapping[str, Any] | None = None
) -> Call[Submission]:
    """Submit a task; see :class:`NewTask` for what makes it up.

    :raises InvalidInputError: something that every model needs is missing.
    """
    path = str(service).strip().strip("/").removeprefix("api/v1/").removeprefix("services/")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", path) or ".." in path:
        raise InvalidInputError(f"service {service!r} is not a path like aigc/image-generation/generation.")
    if not isinstance(model, str) or not model.strip():
        raise InvalidInputError("model is empty; give a name such as wanx-style-repaint-v1.")
    if not isinstance(input, Mapping) or not input:
        raise InvalidInputError(f"input is empty or no object; model {model} needs one.")
    body: dict[str, Any] = {"model": model, "input": input}
    if parameters:
        body["parameters"] = parameters
    try:
        encoded = json.dumps(body, ensure_ascii=False, allow_nan=False)
        encoded.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"input or parameters of model {model} cannot be written as JSON: {safe_words(str(error))}."
        ) from None
    headers = {"X-DashScope-Async": "enable"}
    if '"oss://' in encoded:
        headers["X-DashScope-OssResourceResolve"] = "enable"
    return Call(
        endpoint=Endpoint.SUBMIT,
        method="POST",
        url=f"/services/{path}",
        doing=f"submit a task of model {model}",
        headers=headers,
        json=body,
        repeatable=False,
        read=lambda answer: read_output(answer, Submission),
    )


def get_task(task_id: str) -> Call[Task]:
    """Fetch one task: state, results, reason of a failure."""
    wanted = check_task_id(task_id)

    def read(answer: Answer) -> Task:
        task = _task(answer)
        if task.task_id != wanted:
            raise answer.invalid(f"the service answered about {safe_words(task.task_id)}")
        return task

    return Call(
        endpoint=Endpoint.GET_TASK,
        url=f"/tasks/{quote(wanted, safe='')}",
        doing=f"read DashScope task {wanted}",
        read=read,
    )


LARGE_PAGE_ROWS, DEFAULT_PAGE_ROWS = 100, 10
"""Rows of the task list to ask for where many are wanted, and the service's default. No document gives the largest page."""


def list_tasks(**filters: Unpack[TaskFilters]) -> Call[TaskPage]:
    """List the account's tasks; rows have states but no results.

    :param filters: the fields of :class:`TaskFilters`.
    :raises InvalidInputError: there is no such filter, a value is out of range, or the time span is over 24 hours.
    """
    return Call(
        endpoint=Endpoint.LIST_TASKS,
        url="/tasks",
        doing="list the account's tasks",
        params=query(TaskFilters, filters, page_size=DEFAULT_PAGE_ROWS),
        read=_task_page,
    )


def _task_page(answer: Answer) -> TaskPage:
    document = json_object(answer)
    # Recorded is "data"; the official SDK 2.0 reads "tasks".
    rows = document.get("data", document.get("tasks"))
    if rows is None and document.get("total") != 0:
        # To take this for an empty list would mean that a task that was paid for does not exist.
        raise answer.invalid("the answer has no list")
    page = {**document, "data": [] if rows is None else rows, "answered_at": http_date(answer)}
    return read_model(page, TaskPage, answer)


def cancel_task(task_id: str) -> Call[bool]:
    """Cancel a task; only PENDING ones can be.

    :return: a call that reads True where the task was canceled, False where its state did not allow it.
    """
    wanted = check_task_id(task_id)

    def read(answer: Answer) -> bool:
        try:
            json_object(answer)
        except ApiError as error:
            # Recorded for a task that had ended; other refusals, such as of the key or for a debt, say nothing of its state.
            if error.kind is ErrorKind.UNSUPPORTED or "PENDING" in error.service_message:
                return False
            raise
        return True

    return Call(
        endpoint=Endpoint.CANCEL,
        method="POST",
        url=f"/tasks/{quote(wanted, safe='')}/cancel",
        doing=f"cancel DashScope task {wanted}",
        read=read,
    )


def get_upload_policy(model: str) -> Call[UploadPolicy]:
    """Ask for permission to put files into the temporary store, for use with one model."""

    def read(answer: Answer) -> UploadPolicy:
        policy = read_model(json_object(answer).get("data"), UploadPolicy, answer)
        if not sends_safely(policy.upload_host):
            host = safe_words(without_query(policy.upload_host))
            raise answer.invalid(f"the host {host!r} is not https")
        return policy

    return Call(
        endpoint=Endpoint.UPLOAD_POLICY,
        url="/uploads",
        doing=f"ask for an upload policy for model {model}",
        params={"action": "getPolicy", "model": model},
        read=read,
    )


def upload(policy: UploadPolicy, *, filename: str, content: bytes) -> Call[str]:
    """Put one file into the temporary store.

    :return: a call that reads the file's ``oss://`` URL, valid for 48 hours and for the policy's model only.
    :raises InvalidInputError: the file is larger than the policy allows.
    """
    limit = policy.max_file_size_mb
    if limit is not None and len(content) > limit * 1024 * 1024:
        raise InvalidInputError(
            f"A file has {len(content)} bytes; the temporary store takes {limit} MB at most: {filename}."
        )
    safe_name = _safe_name(filename)
    # The store refuses to overwrite, so a name is never used twice: a repeated upload must not meet its own leftovers.
    key = f"{policy.upload_dir}/{secrets.token_hex(8)}-{safe_name}"

    def read(answer: Answer) -> str:
        if answer.status != 200:
            raise api_error(**store_error(answer))
        return f"oss://{key}"

    return Call(
        endpoint=Endpoint.UPLOAD,
        method="POST",
        url=policy.upload_host,
        doing=f"upload {safe_name} to the temporary store",
        signed=False,
        repeatable=False,
        form={
            "OSSAccessKeyId": policy.oss_access_key_id,
            "Signature": policy.signature,
            "policy": policy.policy,
            "key": key,
            "x-oss-object-acl": policy.x_oss_object_acl,
            "x-oss-forbid-overwrite": policy.x_oss_forbid_overwrite,
            "success_action_status": "200",
        },
        file=(safe_name, content),
        read=read,
    )


def _safe_name(filename: str) -> str:
    """Keep of a file's name what every store takes, and in any case its extension, which tells the service the type."""
    extension = re.search(r"(\.[A-Za-z0-9]{1,20})?$", filename)
    ending = extension.group() if extension else ""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", filename.removesuffix(ending)).strip(".-")
    return (stem[len(ending) - 100 :] or "file") + ending


def get_quotas(**filters: Unpack[QuotaFilters]) -> Call[QuotaPage]:
    """Read the account's limits.

    :param filters: the fields of :class:`QuotaFilters`.
    :raises InvalidInputError: there is no such filter, or a value is out of range.
    """
    return Call(
        endpoint=Endpoint.QUOTAS,
        url="/quotas",
        # Two pages of the service, a month apart, give this endpoint different names.
        other_url="/models/limits",
        doing="read the account's limits",
        params=query(QuotaFilters, filters, page_size=20),
        read=lambda answer: read_output(answer, QuotaPage),
    )


def list_models(**filters: Unpack[ModelFilters]) -> Call[ModelPage]:
    """Read which models the service offers, and which of them are announced to end.

    :param filters: the fields of :class:`ModelFilters`.
    :raises InvalidInputError: there is no such filter, or a value is out of range.
    """
    return Call(
        endpoint=Endpoint.MODELS,
        url="/models",
        doing="read the service's models",
        params=query(ModelFilters, filters, page_size=200),
        read=lambda answer: read_output(answer, ModelPage),
    )


def check_task_id(task_id: str) -> str:
    """Refuse what cannot be a task id, such as an empty template.

    :raises InvalidInputError: it is not one word of letters, digits, ``-``, ``_`` and ``.``.
    """
    if not is_task_id(task_id):
        raise InvalidInputError(f"{safe_words(repr(task_id))} is not a task id.")
    return task_id


def _task(answer: Answer) -> Task:
    document = json_object(answer, may_say=_is_ended_task)
    output = document.get("output")
    if not isinstance(output, dict):
        raise answer.invalid("the answer has no output object")
    files, failures = find_results(output)
    code, message = error_fields(document)
    fields = {
        **output,
        # Some answers give the reason of a failure beside the task instead of in it.
        "code": output.get("code") or code or None,
        "message": output.get("message") or message or None,
        "output": output,
        "usage": document.get("usage"),
        "request_id": document.get("request_id"),
        "results": files,
        "failures": failures,
    }
    status = fields.get("task_status", fields.get("status"))
    if isinstance(status, str) and status not in TaskStatus.__members__ and fields.get("task_id"):
        raise NewStatusError(
            task_id=safe_words(str(fields["task_id"])), status=status, http_status=answer.status
        )
    return read_model(fields, Task, answer)


def _is_ended_task(document: Mapping[str, Any]) -> bool:
    """Whether a code in an answer is the reason of a task that has ended badly, and not of a failed call."""
    output = document.get("output")
    return isinstance(output, dict) and output.get("task_status") in _BAD_ENDS


_BAD_ENDS = (TaskStatus.FAILED, TaskStatus.CANCELED, TaskStatus.UNKNOWN)
