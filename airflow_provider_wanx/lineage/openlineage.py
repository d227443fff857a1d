"""Facts in OpenLineage's form. Imported by nobody but OpenLineage's own calls, since it needs the client library."""

from __future__ import annotations

import re
from typing import Any

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset
from openlineage.client.facet_v2 import OutputDatasetFacet, RunFacet, output_statistics_output_dataset

from airflow_provider_wanx.dashscope.repaint import CURRENCY
from airflow_provider_wanx.dashscope.styles import style_name
from airflow_provider_wanx.lineage.facts import MOST_DATASETS, Facts, task_address

FACET = "dashscope"
"""Name of the facet among a run's facets."""

MAX_NAME = 2048
"""Characters; whoever gives a picture as text gives no name of a dataset."""

_PATHS_MEAN_QUERIES = ("s3", "gs")
"""Schemes whose paths may hold ``?`` and ``#`` and mean them."""


@attr.define
class DashScopeRunFacet(RunFacet):
    """What a run had the service do.

    :param model: the model's name.
    :param styles: numbers of the styles.
    :param styleNames: their English names.
    :param dashscopeTaskIds: the service's ids of its tasks.
    :param pricePerImage: in ``currency``.
    :param images: images that the service bills.
    :param cost: what they cost, in ``currency``.
    :param currency: ``CNY``.
    """

    model: str | None = None
    styles: list[int] = attr.field(factory=list)
    styleNames: list[str] = attr.field(factory=list)  # noqa: N815 - facets are written in camel case
    dashscopeTaskIds: list[str] = attr.field(factory=list)  # noqa: N815
    pricePerImage: float | None = None  # noqa: N815
    images: int | None = None
    cost: float | None = None
    currency: str = CURRENCY


def operator_lineage(facts: Facts) -> OperatorLineage[Any, Any]:
    """Put facts into the form that OpenLineage's extractors return."""
    facet = DashScopeRunFacet(
        model=facts.model,
        styles=list(facts.styles),
        styleNames=[style_name(style) for style in facts.styles],
        dashscopeTaskIds=list(facts.dashscope_task_ids[:MOST_DATASETS]),
        pricePerImage=facts.price,
        images=facts.images,
        cost=facts.cost,
    )
    return OperatorLineage(
        inputs=[
            InputDataset(namespace=place.namespace, name=place.name)
            for place in map(dataset, facts.inputs[:MOST_DATASETS])
            if place is not None
        ],
        outputs=[
            _output(place, facts.sizes.get(address))
            for address in facts.outputs[:MOST_DATASETS]
            if (place := dataset(address)) is not None
        ],
        run_facets={FACET: facet},
    )


def _output(place: Dataset, size: int | None) -> OutputDataset:
    facets: dict[str, OutputDatasetFacet] = {}
    if size is not None:
        facets["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=None, size=size
        )
    return OutputDataset(namespace=place.namespace, name=place.name, outputFacets=facets)


def dataset(address: str) -> Dataset | None:
    """Turn an address into OpenLineage's namespace and name, without connection ids, passwords and signatures.

    :return: None for what has no lasting address: ``data:`` URLs, temporary uploads, and what is too long for one.
    """
    text = address.strip()
    if not 0 < len(text) <= MAX_NAME or text[:6].lower().startswith(("data:", "oss://")):
        return None
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Dataset(namespace="file", name=text)
    if scheme not in _PATHS_MEAN_QUERIES:
        rest = re.split("[?#]", rest, maxsplit=1)[0]
    place, _, path = rest.partition("/")
    place = place.rpartition("@")[2]
    if scheme == "file":
        return Dataset(namespace="file", name=f"/{path}")
    if text.startswith(task_address("")):
        return Dataset(namespace="dashscope", name=f"tasks/{path}")
    return Dataset(namespace=f"{scheme}://{place}", name=path or "/")
