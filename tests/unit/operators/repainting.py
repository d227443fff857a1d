"""A bulk task in a bucket of its own, run wave after wave, as Airflow would."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.airflow import DagRun, TaskRunner, only_event, revived
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import totals

MOST_WAKES = 30
"""A batch of some images that wakes more often goes round in circles."""

AT_REST: dict[str, Any] = {"speed": 0.01, "duration": 3600}
"""Settings of a service whose jobs do not end before a test moves its clock, however slow the machine is."""

Runner = TaskRunner[WanxStyleRepaintBatchOperator]


@dataclass
class Bulk:
    """A bulk task's bucket, with portraits below ``in/`` and results below ``out/``.

    :param at_most: limits how many images are in flight.
    """

    bucket: Bucket
    at_most: Callable[[int], None]
    arguments: dict[str, Any] = field(default_factory=dict)
    wakes: int = 0

    def portraits(self, *names: str) -> None:
        """Put pictures where the task looks for them."""
        for number, name in enumerate(names):
            self.bucket.put(f"in/{name}.png", picture(300 + number, 320))

    def runner(self, run_id: str = "monday", **arguments: Any) -> Runner:
        """Make the task of one DAG run."""
        given = {
            "task_id": "bulk",
            "destination": f"s3://{self.bucket.name}/out/",
            "images": f"s3://{self.bucket.name}/in/",
            "style": "anime",
            **self.arguments,
            **arguments,
        }
        return TaskRunner(lambda: WanxStyleRepaintBatchOperator(**given), run=DagRun(run_id=run_id))

    def run(self, runner: Runner | None = None, **arguments: Any) -> dict[str, Any]:
        """Run one try to its end."""
        runner = runner or self.runner(**arguments)
        return self.go_on(runner, runner.start)

    def go_on(self, runner: Runner, begin: Callable[[], Any]) -> dict[str, Any]:
        """Run what begins or resumes, and all waves after it."""
        step = begin
        for _ in range(MOST_WAKES):
            try:
                result: dict[str, Any] = step()
            except TaskDeferred as deferred:
                self.wakes += 1
                event = only_event(revived(deferred.trigger))
                step = _resumption(runner, deferred, event)
                continue
            return result
        raise AssertionError("It does not come to an end.")

    def json(self, name: str) -> dict[str, Any]:
        """Read a document below the destination."""
        document: dict[str, Any] = json.loads(self.bucket.body(f"out/{name}"))
        return document

    def manifest(self) -> list[dict[str, Any]]:
        """Read the manifest of the results."""
        return [json.loads(line) for line in self.bucket.body("out/manifest.jsonl").splitlines()]

    def results(self) -> list[str]:
        """Return the keys of the copied results."""
        return [key for key in self.bucket.keys() if key.startswith("out/anime/")]  # noqa: SIM118 - no dictionary


def _resumption(runner: Runner, deferred: TaskDeferred, event: dict[str, Any]) -> Callable[[], Any]:
    return lambda: runner.resume(deferred, event)


def submitted(simulator: BackgroundSimulator) -> Counter[str]:
    """How often each image was submitted, whatever became of it."""
    return Counter(task["image_url"].rpartition("/")[2] for task in simulator.ledger()["tasks"])


def accepted(simulator: BackgroundSimulator) -> int:
    """How many submissions the service has accepted."""
    return totals(simulator)["accepted"]
