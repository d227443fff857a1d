"""What the author has written in the DAG, as against what a template, an upstream task or a trigger form has filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wanx.dashscope.config import ImageTransfer, check_image_transfer
from airflow_provider_wanx.jobs.pictures.source_rule import SourceRule


@dataclass(frozen=True, kw_only=True)
class SourceArguments:
    """Arguments of an operator that opens pictures, as its constructor gets them.

    :param allow_local_files: whether data may name files of the worker.
    :param allow_conn_ids: whether data may name connections.
    :param image_transfer: how the service gets pictures in S3; None for the connection's way.
    :param texts: of each argument that names sources; what an upstream task will give is not among them.
    """

    allow_local_files: bool
    allow_conn_ids: bool
    image_transfer: ImageTransfer | None
    texts: Mapping[str, frozenset[str]]

    @classmethod
    def read(
        cls,
        *,
        allow_local_files: bool,
        allow_conn_ids: bool,
        image_transfer: ImageTransfer | None = None,
        **sources: object,
    ) -> Self:
        """Read the arguments.

        :param sources: those that name sources.
        :raises ValueError: a switch is text, as of a template, and every text would count as True.
        :raises ConfigurationError: there is no such way for pictures.
        """
        for name, value in (("allow_local_files", allow_local_files), ("allow_conn_ids", allow_conn_ids)):
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be True or False, written in the DAG, not {value!r}.")
        if image_transfer is not None:
            check_image_transfer(image_transfer)
        return cls(
            allow_local_files=allow_local_files,
            allow_conn_ids=allow_conn_ids,
            image_transfer=image_transfer,
            texts={name: _texts_of(value) for name, value in sources.items()},
        )

    def rule(self, operator: BaseOperator) -> SourceRule:
        """Make the rule for the operator's sources: what stands in the DAG word for word may name any.

        A template, and the output of a task, are other texts once the task runs. Of a mapped task, Airflow makes the operator
        anew with what it is mapped over, which may be data, its switches included. So the DAG itself is asked then.

        :param operator: the operator that runs.
        """
        task: Any = operator.dag.get_task(operator.task_id) if operator.has_dag() else operator
        own = getattr(task, "_sources", None)
        given = [vars(own), own.texts] if isinstance(own, SourceArguments) else _given_to_mapped(task)
        written = {
            name: frozenset().union(*(_texts_of(each.get(name)) for each in given)) for name in self.texts
        }
        return SourceRule(
            allow_local_files=given[0].get("allow_local_files") is True,
            allow_conn_ids=given[0].get("allow_conn_ids") is True,
            written=written,
        )

    def for_images(self, operator: BaseOperator) -> dict[str, Any]:
        """Return what they say, as arguments of :func:`~airflow_provider_wanx.hooks.storage.image_source`.

        :param operator: the operator that runs.
        """
        return {"rule": self.rule(operator), "transfer": self.image_transfer}


def _given_to_mapped(task: Any) -> list[Mapping[str, Any]]:
    """Return the arguments that stand in the DAG: those of ``partial()`` first, then what it is mapped over."""
    over = getattr(getattr(task, "expand_input", None), "value", None)
    partial: Mapping[str, Any] = getattr(task, "partial_kwargs", {})
    return [
        partial,
        *(each for each in (over if isinstance(over, list) else [over]) if isinstance(each, Mapping)),
    ]


def _texts_of(value: object) -> frozenset[str]:
    values = value if isinstance(value, list | tuple | frozenset) else [value]
    # An empty text would be the working directory.
    return frozenset(each.strip() for each in values if isinstance(each, str) and each.strip())
