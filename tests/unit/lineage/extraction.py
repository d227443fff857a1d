"""What OpenLineage's own code extracts from an operator that has run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskInstanceState
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from openlineage.client.serde import Serde

from tests.unit.support.airflow import TaskRunner

RUN: Any = SimpleNamespace(run_id="run")


def extracted(operator: Any, state: Any = TaskInstanceState.SUCCESS) -> dict[str, Any]:
    """What goes into an event, as OpenLineage writes it."""
    found = ExtractorManager().extract_metadata(RUN, operator, state, task_instance=SimpleNamespace())
    return {
        "inputs": [(each.namespace, each.name) for each in found.inputs],
        "outputs": [(each.namespace, each.name) for each in found.outputs],
        "sizes": [_size(Serde.to_dict(each)) for each in found.outputs],
        "facet": Serde.to_dict(found.run_facets["dashscope"]) if found.run_facets else {},
    }


class Kept(TaskRunner[Any]):
    """A task whose operator can be asked when it has run."""

    def __init__(self, runner: TaskRunner[Any]) -> None:
        build = runner.build

        def building() -> Any:
            self.operator = build()
            return self.operator

        super().__init__(building, run=runner.run)


def _size(output: dict[str, Any]) -> Any:
    return (output["outputFacets"] or {}).get("outputStatistics", {}).get("size")
