"""What the author has written in the DAG, as against what a template, an upstream task or a trigger form has filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wanx.storage.sources import SourceRule


def texts_of(value: object) -> frozenset[str]:
    """Return an argument's texts, as the constructor gets them: what an upstream task will give is not among them."""
    values = value if isinstance(value, list | tuple) else [value]
    return frozenset(each.strip() for each in values if isinstance(each, str))


def source_rule(
    operator: BaseOperator,
    *,
    constructed: Mapping[str, frozenset[str]],
    allow_local_files: bool,
    allow_conn_ids: bool,
) -> SourceRule:
    """Make the rule for an operator's sources: what stands in the DAG word for word may name any.

    A template, and the output of a task, are other texts once the task runs. Of a mapped task, Airflow makes the operator anew
    with what it is mapped over, which may be data, its switches included. So the DAG itself is asked then.

    :param operator: the operator that runs.
    :param constructed: :func:`texts_of` each argument in its constructor.
    :param allow_local_files: the operator's argument.
    :param allow_conn_ids: the operator's argument.
    """
    task: Any = operator.dag.get_task(operator.task_id) if operator.has_dag() else operator
    if isinstance(task, BaseOperator):
        return SourceRule(
            allow_local_files=allow_local_files, allow_conn_ids=allow_conn_ids, written=constructed
        )
    partial: Mapping[str, Any] = task.partial_kwargs
    mapped_over = task.expand_input.value
    given = [each for each in _listed(mapped_over) if isinstance(each, Mapping)]
    return SourceRule(
        allow_local_files=partial.get("allow_local_files") is True,
        allow_conn_ids=partial.get("allow_conn_ids") is True,
        written={
            name: frozenset().union(*(texts_of(each.get(name)) for each in (partial, *given)))
            for name in constructed
        },
    )


def _listed(mapped_over: Any) -> list[Any]:
    return mapped_over if isinstance(mapped_over, list) else [mapped_over]


def check_switch(name: str, value: object) -> bool:
    """Return a switch that only the author of a DAG turns.

    :raises ValueError: it is text, as of a template, and every text would count as True.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, written in the DAG, not {value!r}.")
    return value
