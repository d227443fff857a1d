from __future__ import annotations

from collections.abc import Callable

from airflow.providers.common.compat.sdk import TaskInstanceState

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.lineage.extraction import Kept, extracted
from tests.unit.operators.repainting import Bulk


def test_a_batch_reads_a_folder_makes_a_folder_and_tells_what_it_cost(
    service: Callable[..., BackgroundSimulator], bulk: Bulk
) -> None:
    service()
    runner = Kept(bulk.runner())
    bulk.run(runner)
    bucket = f"s3://{bulk.bucket.name}"
    told = extracted(runner.operator)
    assert told["inputs"] == [(bucket, "in/")]
    assert told["outputs"] == [(bucket, "out/"), (bucket, "out/manifest.jsonl")]
    facet = told["facet"]
    assert (facet["images"], facet["cost"], facet["pricePerImage"]) == (3, 0.36, 0.12)
    assert extracted(bulk.runner().build(), TaskInstanceState.RUNNING)["outputs"] == [(bucket, "out/")]
