"""What operators and sensors tell of what they have read and made: to OpenLineage, and with the events of their assets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_wanx.lineage.facts import Facts

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

_LEARNED = "_lineage_learned"


def announce(
    context: Context,
    outlets: Iterable[Any],
    *,
    made: Iterable[tuple[str, Mapping[str, Any]]],
    extra: Mapping[str, Any],
) -> None:
    """Attach what a task has made to the events of its outlets.

    :param made: URIs, each with what an event for it says; an alias gets one for each.
    :param extra: what the event of an asset says.
    """
    for outlet in outlets:
        if isinstance(outlet, AssetAlias):
            for uri, told in made:
                context["outlet_events"][outlet].add(Asset(uri), extra=dict(told))
        elif isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update(extra)


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
