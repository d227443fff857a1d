"""The methods by which OpenLineage asks operators and sensors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.lineage.facts import Facts

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

_LEARNED = "_lineage_learned"


class TellsLineage:
    """Tells OpenLineage, where its provider is installed, what the task does. Nobody else calls these methods.

    They may be called in a process that was forked off the task's own, so they ask neither Airflow nor the service anything.
    """

    def known_at_start(self) -> Facts:
        """Return what the rendered arguments tell."""
        return Facts()

    def learned(self, **facts: Any) -> None:
        """Keep what has turned out while the task ran.

        :param facts: fields of :class:`~airflow_provider_wanx.lineage.facts.Facts`.
        """
        vars(self).setdefault(_LEARNED, {}).update(facts)

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """Return what is known before the task has run."""
        from airflow_provider_wanx.lineage.openlineage import operator_lineage  # needs OpenLineage's client

        return operator_lineage(self.known_at_start())

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what is known after it has succeeded."""
        from airflow_provider_wanx.lineage.openlineage import operator_lineage  # see above

        return operator_lineage(replace(self.known_at_start(), **vars(self).get(_LEARNED, {})))

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what is known after it has failed: some of it may have been paid for, and copied."""
        return self.get_openlineage_facets_on_complete(task_instance)
