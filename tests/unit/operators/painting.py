"""A task of the generic operator, to run and to look at."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from tests.unit.support.airflow import DagRun, TaskRunner

PAINT: dict[str, Any] = {"service": "aigc/text2image/image-synthesis", "model": "wanx2.1-t2i-turbo"}


def paint(
    *,
    max_tries: int = 0,
    keeps_state: bool = True,
    run: DagRun | None = None,
    map_index: int = -1,
    **arguments: Any,
) -> TaskRunner[DashScopeSubmitTaskOperator]:
    """A task that paints a lighthouse."""

    def build() -> DashScopeSubmitTaskOperator:
        return DashScopeSubmitTaskOperator(
            **{
                "task_id": "paint",
                **PAINT,
                "input": {"prompt": "A lighthouse"},
                "poll_interval": 0.05,
                **arguments,
            }
        )

    return TaskRunner(build, run=run, map_index=map_index, max_tries=max_tries, keeps_state=keeps_state)


def iterations(count: int, **arguments: Any) -> list[TaskRunner[DashScopeSubmitTaskOperator]]:
    """The same task in some iterations of a loop, which see nothing of each other's XComs."""
    runners = [paint(run=DagRun(), **arguments) for _ in range(count)]
    for index, runner in enumerate(runners):
        runner.region = {"region_id": UUID(int=7), "region_index": index}
    return runners
