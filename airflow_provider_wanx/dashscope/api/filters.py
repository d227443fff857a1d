"""What lists can be narrowed to: filters as callers give them, checked, as a request carries them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, PlainSerializer, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic wants it before Python 3.12

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.models import CHINA_TIME, TaskStatus
from airflow_provider_wanx.dashscope.redaction import quoted

_Text = Annotated[str | None, Field(strict=True)]
_Number = Annotated[int, Field(strict=True, ge=1), PlainSerializer(str)]
_Moment = Annotated[
    AwareDatetime | None,
    Field(strict=True),
    PlainSerializer(lambda moment: moment and moment.astimezone(CHINA_TIME).strftime("%Y%m%d%H%M%S")),
]


@with_config(extra="forbid")
class ModelFilters(TypedDict, total=False):
    """Which part of the service's models to read.

    :param page_no: page, from 1.
    :param page_size: rows a page.
    """

    page_no: _Number
    page_size: _Number


@with_config(extra="forbid")
class QuotaFilters(ModelFilters, total=False):
    """What the list of limits can be narrowed to.

    :param model: exact name of one model.
    :param name: part of the name of models.
    """

    model: _Text
    name: _Text


@with_config(extra="forbid")
class TaskFilters(ModelFilters, total=False):
    """What the list of tasks can be narrowed to. The service's largest ``page_size`` is not documented.

    :param task_id: only this task.
    :param start_time: submitted at or after; aware. Default: 24 hours before ``end_time``.
    :param end_time: submitted before; aware. Default: 24 hours after ``start_time``, or now.
    :param model_name: only this model.
    :param status: only this state.
    :param api_key_id: only tasks of this key (in the official SDK, not in the service's pages).
    :param region: only this region (likewise).
    """

    task_id: _Text
    start_time: _Moment
    end_time: _Moment
    model_name: _Text
    status: TaskStatus | None
    api_key_id: _Text
    region: _Text


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def query(kind: Any, filters: Mapping[str, Any], *, page_size: int) -> dict[str, str]:
    """Return the parameters of a request for one page of a list.

    :param kind: the filters that there are.
    :raises InvalidInputError: there is no such filter, a value is out of range, or the time span is over 24 hours.
    """
    given = {name: value for name, value in filters.items() if value not in (None, "")}
    try:
        checked = _adapter(kind).validate_python({"page_no": 1, "page_size": page_size, **given})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = str(problem["loc"][0])
        if name not in kind.__annotations__:
            raise InvalidInputError(
                f"There is no filter {name}. There are {', '.join(kind.__annotations__)}."
            ) from None
        raise InvalidInputError(f"{name}: {problem['msg']}, and not {quoted(given[name])}.") from None
    start, end = checked.get("start_time"), checked.get("end_time")
    if start and end and not timedelta(0) <= end - start <= timedelta(hours=24):
        raise InvalidInputError("The span from start_time to end_time must be 0 to 24 hours.")
    params: dict[str, str] = _adapter(kind).dump_python(checked, mode="json")
    return params
