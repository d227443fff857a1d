"""What lists can be narrowed to: filters as callers give them, checked, as a request carries them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.models import CHINA_TIME, TaskStatus

LIST_SPAN = timedelta(hours=24)
"""The longest time that one list request may cover (task-management page)."""


class TaskFilters(TypedDict, total=False):
    """What the list of tasks can be narrowed to.

    :param task_id: only this task.
    :param start_time: submitted at or after; aware. Default: 24 hours before ``end_time``.
    :param end_time: submitted before; aware. Default: 24 hours after ``start_time``, or now.
    :param model_name: only this model.
    :param status: only this state.
    :param api_key_id: only tasks of this key (in the official SDK, not in the service's pages).
    :param region: only this region (likewise).
    :param page_no: page, from 1.
    :param page_size: rows a page; the service's largest value is not documented.
    """

    task_id: str | None
    start_time: datetime | None
    end_time: datetime | None
    model_name: str | None
    status: TaskStatus | str | None
    api_key_id: str | None
    region: str | None
    page_no: int
    page_size: int


class QuotaFilters(TypedDict, total=False):
    """What the list of limits can be narrowed to.

    :param model: exact name of one model.
    :param name: part of the name of models.
    :param page_no: page, from 1.
    :param page_size: models a page.
    """

    model: str | None
    name: str | None
    page_no: int
    page_size: int


def task_params(filters: TaskFilters) -> dict[str, str]:
    """Return the parameters of a request for tasks.

    :raises InvalidInputError: there is no such filter, a value is out of range, or the time span is over 24 hours.
    """
    _check_names(filters, known=TaskFilters)
    status = filters.get("status")
    if status and status not in TaskStatus.__members__:
        raise InvalidInputError(f"status {status!r} is none of {', '.join(TaskStatus)}.")
    start_time, end_time = (_time(filters, name) for name in ("start_time", "end_time"))
    if start_time and end_time and not timedelta(0) <= end_time - start_time <= LIST_SPAN:
        raise InvalidInputError("The span from start_time to end_time must be 0 to 24 hours.")
    return {
        **_texts(filters, "task_id", "model_name", "status", "api_key_id", "region"),
        **({"start_time": _list_time(start_time)} if start_time else {}),
        **({"end_time": _list_time(end_time)} if end_time else {}),
        **_page(filters, page_size=10),
    }


class ModelFilters(TypedDict, total=False):
    """Which part of the service's models to read.

    :param page_no: from 1.
    :param page_size: models of a page, 200 at most.
    """

    page_no: int
    page_size: int


def model_params(filters: ModelFilters) -> dict[str, str]:
    """Return the parameters of a request for models.

    :raises InvalidInputError: there is no such filter, or a value is out of range.
    """
    _check_names(filters, known=ModelFilters)
    return _page(filters, page_size=200)


def quota_params(filters: QuotaFilters) -> dict[str, str]:
    """Return the parameters of a request for limits.

    :raises InvalidInputError: there is no such filter, or a value is out of range.
    """
    _check_names(filters, known=QuotaFilters)
    return {**_texts(filters, "model", "name"), **_page(filters, page_size=20)}


def _check_names(filters: Mapping[str, Any], *, known: type) -> None:
    if unknown := sorted(set(filters) - set(known.__annotations__)):
        raise InvalidInputError(
            f"There is no filter {', '.join(unknown)}. There are {', '.join(known.__annotations__)}."
        )


def _texts(filters: Mapping[str, Any], *names: str) -> dict[str, str]:
    for name in names:
        if not isinstance(filters.get(name), str | None):
            raise InvalidInputError(f"{name} must be a text, not {filters[name]!r}.")
    return {name: str(filters[name]) for name in names if filters.get(name)}


def _time(filters: Mapping[str, Any], name: str) -> datetime | None:
    moment = filters.get(name)
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise InvalidInputError(f"{name} must be a datetime with a time zone, not {moment!r}.")
    if moment.tzinfo is None:
        raise InvalidInputError(f"{name} needs a time zone.")
    return moment


def _list_time(moment: datetime) -> str:
    return moment.astimezone(CHINA_TIME).strftime("%Y%m%d%H%M%S")


def _page(filters: Mapping[str, Any], *, page_size: int) -> dict[str, str]:
    page = {"page_no": filters.get("page_no", 1), "page_size": filters.get("page_size", page_size)}
    for name, value in page.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidInputError(f"{name} must be a whole number from 1, not {value!r}.")
    return {name: str(value) for name, value in page.items()}
