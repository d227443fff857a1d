"""Lineage in OpenLineage's form. Imported by nobody but OpenLineage's own calls, since it needs the client library."""

from __future__ import annotations

from typing import Any

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset
from openlineage.client.facet_v2 import RunFacet, output_statistics_output_dataset

from airflow_provider_wanx.dashscope.picture_address import source_address
from airflow_provider_wanx.dashscope.repaint import CURRENCY
from airflow_provider_wanx.dashscope.styles import style_name
from airflow_provider_wanx.lineage.lineage import Lineage, task_address

FACET = "dashscope"
"""Name of the facet among a run's facets."""


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


def operator_lineage(lineage: Lineage, *, most: int = 100) -> OperatorLineage[Any, Any]:
    """Put what is known into the form that OpenLineage's extractors return.

    :param most: ids, inputs and outputs that one event names at most, each: whoever collects events takes no endless ones.
    """
    outputs = []
    for address in lineage.outputs[:most]:
        if (place := dataset(address)) is not None:
            size = lineage.sizes.get(address)
            statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(size=size)
            facets: dict[str, Any] = {} if size is None else {"outputStatistics": statistics}
            outputs.append(OutputDataset(namespace=place.namespace, name=place.name, outputFacets=facets))
    facet = DashScopeRunFacet(
        model=lineage.model,
        styles=list(lineage.styles),
        styleNames=[style_name(style) for style in lineage.styles],
        dashscopeTaskIds=list(lineage.dashscope_task_ids[:most]),
        pricePerImage=lineage.price,
        images=lineage.images,
        cost=lineage.cost,
    )
    inputs = [
        InputDataset(namespace=place.namespace, name=place.name)
        for place in map(dataset, lineage.inputs[:most])
        if place is not None
    ]
    return OperatorLineage(inputs=inputs, outputs=outputs, run_facets={FACET: facet})


def dataset(address: str) -> Dataset | None:
    """Turn an address into OpenLineage's namespace and name, without connection ids, passwords and signatures.

    :return: None for what has no lasting address: ``data:`` URLs, temporary uploads, and what is too long for one.
    """
    text = source_address(address) or ""
    if not text or text[:6].lower().startswith(("data:", "oss://")):
        return None
    scheme, separator, rest = text.partition("://")
    place, _, path = rest.partition("/")
    if not separator or scheme == "file":
        return Dataset(namespace="file", name=f"/{path}" if separator else text)
    if text.startswith(task_address("")):
        return Dataset(namespace="dashscope", name=f"tasks/{path}")
    return Dataset(namespace=f"{scheme}://{place}", name=path or "/")
