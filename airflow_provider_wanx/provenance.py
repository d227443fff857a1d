"""What a submitting task tells about a submission, and how the tasks after it learn of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.jobs.copying.result_metadata import Provenance
from airflow_provider_wanx.triggers.dashscope import SUBMITTED_KEY
from airflow_provider_wanx.version_compat import refusal_of, xcoms_of_previous_iteration

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

SUBMISSION_KEY = "dashscope_submission"
"""XCom key under which a submitting operator publishes, with the id, what the task was made from."""

EARLIER_KEY = "dashscope_earlier_task_ids"
"""XCom key under which an iteration of a loop hands on the ids that earlier ones have submitted."""


def publish_provenance(context: Context, dashscope_task_id: str, provenance: Provenance) -> None:
    """Publish what a task was made from, as an XCom ``{dashscope_task_id, source, style, model}``."""
    value = {"dashscope_task_id": dashscope_task_id, **asdict(provenance)}
    context["ti"].xcom_push(key=SUBMISSION_KEY, value=value)


def ids_of_earlier_iterations(context: Context, *, most: int = 120) -> list[str]:
    """Return the ids that a submitting task has published in earlier iterations of a loop, the newest first.

    Airflow shows an iteration no other one but the one before, so each hands on what it knows.

    :param most: ids that are handed on: two submissions a second for a minute. A search minds nothing from before that.
    """
    published = xcoms_of_previous_iteration(context, SUBMITTED_KEY)
    handed_on = [ids for ids in xcoms_of_previous_iteration(context, EARLIER_KEY) if isinstance(ids, list)]
    everything = [each for each in (*published, *chain(*handed_on)) if isinstance(each, str)]
    if ids := list(dict.fromkeys(everything))[:most]:
        context["ti"].xcom_push(key=EARLIER_KEY, value=ids)
    return ids


def published_provenance(
    context: Context, dashscope_task_ids: Sequence[str], *, submitters: Iterable[str]
) -> dict[str, Provenance]:
    """Find what the Airflow tasks that submitted some tasks have published about them.

    A copy of a mapped task looks at the submitting copy with its own index first, so that a thousand copies do not read a
    thousand values each.

    :param submitters: Airflow's ids of the tasks that may have submitted them.
    :return: by DashScope's id; what nobody has published is missing.
    """
    wanted, found = set(dashscope_task_ids), dict[str, Provenance]()
    for value in _published(context["ti"], sorted(submitters), few=len(wanted) == 1):
        if isinstance(value, dict) and (task_id := str(value.get("dashscope_task_id"))) in wanted:
            found[task_id] = _provenance(value)
            if len(found) == len(wanted):
                break
    return found


def _published(ti: Any, submitters: Sequence[str], *, few: bool) -> Iterator[Any]:
    if few:
        for index in dict.fromkeys((-1 if ti.map_index is None else ti.map_index, -1)):
            for submitter in submitters:
                try:
                    value = ti.xcom_pull(task_ids=submitter, key=SUBMISSION_KEY, map_indexes=index)
                except Exception as error:
                    # Airflow 3.4 refuses an index to whoever asks from outside of a loop for what is in it.
                    if refusal_of(error) != HTTPStatus.BAD_REQUEST:
                        raise
                    continue
                yield value
    for submitter in submitters:
        yield from ti.xcom_pull(task_ids=[submitter], key=SUBMISSION_KEY) or ()


def _provenance(value: dict[str, Any]) -> Provenance:
    source, style, model = value.get("source"), value.get("style"), value.get("model")
    return Provenance(
        source=source if isinstance(source, str) else None,
        style=style if isinstance(style, int) else None,
        model=model if isinstance(model, str) else None,
    )
