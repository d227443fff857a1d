"""What a submitting task tells about a submission, and how the tasks after it learn of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.dashscope.origin import Origin

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

SUBMISSION_KEY = "dashscope_submission"
"""XCom key under which a submitting operator publishes, with the id, what the task was made from."""


def publish_origin(context: Context, dashscope_task_id: str, origin: Origin) -> None:
    """Publish what a task was made from, as an XCom ``{dashscope_task_id, source, style, model}``."""
    value = {
        "dashscope_task_id": dashscope_task_id,
        "source": origin.source,
        "style": origin.style,
        "model": origin.model,
    }
    context["ti"].xcom_push(key=SUBMISSION_KEY, value=value)


def published_origins(
    context: Context, dashscope_task_ids: Sequence[str], *, submitters: Iterable[str]
) -> dict[str, Origin]:
    """Find what the Airflow tasks that submitted some tasks have published about them.

    A copy of a mapped task looks at the submitting copy with its own index first, so that a thousand copies do not read a
    thousand values each.

    :param submitters: Airflow's ids of the tasks that may have submitted them.
    :return: by DashScope's id; what nobody has published is missing.
    """
    wanted, found = set(dashscope_task_ids), dict[str, Origin]()
    for value in _published(context["ti"], sorted(submitters), few=len(wanted) == 1):
        if isinstance(value, dict) and (task_id := str(value.get("dashscope_task_id"))) in wanted:
            found[task_id] = _origin(value)
            if len(found) == len(wanted):
                break
    return found


def _published(ti: Any, submitters: Sequence[str], *, few: bool) -> Iterator[Any]:
    if few:
        for index in dict.fromkeys((-1 if ti.map_index is None else ti.map_index, -1)):
            for submitter in submitters:
                yield ti.xcom_pull(task_ids=submitter, key=SUBMISSION_KEY, map_indexes=index)
    for submitter in submitters:
        yield from ti.xcom_pull(task_ids=[submitter], key=SUBMISSION_KEY) or ()


def _origin(value: dict[str, Any]) -> Origin:
    source, style, model = value.get("source"), value.get("style"), value.get("model")
    return Origin(
        source=source if isinstance(source, str) else None,
        style=style if isinstance(style, int) else None,
        model=model if isinstance(model, str) else None,
    )
