"""What operators and sensors tell of what they have read and made: to OpenLineage, and with the events of their assets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias

from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL
from airflow_provider_wanx.lineage.lineage import Lineage

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

_ADDED = "_dashscope_lineage"


class LineageMixin:
    """Tells OpenLineage, where its provider is installed, what the task does. Nobody else calls these methods.

    They may be called in a process that was forked off the task's own, so they ask neither Airflow nor the service anything.
    """

    def lineage_at_start(self) -> Lineage:
        """Return what the rendered arguments tell."""
        return Lineage()

    def add_lineage(self, *, made: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Keep what has turned out while the task ran.

        :param made: what :func:`~airflow_provider_wanx.lineage.lineage.made_by` says.
        :param fields: of :class:`~airflow_provider_wanx.lineage.lineage.Lineage`.
        """
        if made:
            fields |= {name: made.get(name) for name in ("images", "cost")}
            # Only the repaint model's answers name a style.
            fields |= (
                {"styles": tuple(styles), "model": REPAINT_MODEL} if (styles := made.get("styles")) else {}
            )
        vars(self).setdefault(_ADDED, {}).update(fields)

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any]:
        """Return what is known before the task has run."""
        from airflow_provider_wanx.lineage.openlineage import operator_lineage  # needs OpenLineage's client

        return operator_lineage(self.lineage_at_start())

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what is known after it has succeeded."""
        from airflow_provider_wanx.lineage.openlineage import operator_lineage  # see above

        return operator_lineage(replace(self.lineage_at_start(), **vars(self).get(_ADDED, {})))

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return what is known after it has failed: some of it may have been paid for, and copied."""
        return self.get_openlineage_facets_on_complete(task_instance)


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
