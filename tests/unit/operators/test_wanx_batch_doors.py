"""What a bulk task does not do for somebody who may write its bucket: submit what is not its input, or spend more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wanx.dashscope.models import Usage
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.repainting import Bulk, submitted
from tests.unit.support.airflow import deferral, only_event, revived
from tests.unit.support.pictures import picture

Service = Callable[..., BackgroundSimulator]

ROWS, INDEX = "out/_ledger/rows-000000.jsonl", "out/_ledger/index.json"


def add_to_ledger(bulk: Bulk, image: str) -> None:
    """Append a row, and let the index say that nothing was paid for."""
    header, *rows = bulk.bucket.body(ROWS).splitlines()
    extra = {"row": len(rows), "image": image, "style": 2}
    lines = [
        json.dumps({**json.loads(header), "lines": len(rows) + 1}).encode(),
        *rows,
        json.dumps(extra).encode(),
    ]
    bulk.bucket.put(ROWS, b"\n".join(lines) + b"\n")
    index = json.loads(bulk.bucket.body(INDEX))
    sums = index["segments"][0]
    sums["billed"] = 0
    sums["counts"]["planned"] = sums["counts"].get("planned", 0) + 1
    index["etags"] = [bulk.bucket.head(ROWS)["ETag"]]
    bulk.bucket.put(INDEX, json.dumps(index).encode())


class TestLedger:
    def test_rows_that_somebody_has_added_are_not_submitted_by_the_next_run(
        self, bulk: Bulk, service: Service
    ) -> None:
        simulator = service()
        bulk.run()
        bulk.bucket.put("secret/passport.png", picture(300, 320))
        add_to_ledger(bulk, f"s3://{bulk.bucket.name}/secret/passport.png")
        summary = bulk.run(run_id="tuesday")
        assert set(submitted(simulator)) == {"ann.png", "bob.png", "cleo.png"}
        assert (summary["images"], summary["removed"]) == (3, 1)
        assert [row["row"] for row in bulk.manifest()] == [0, 1, 2]

    def test_nor_by_a_task_that_is_woken(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        bulk.at_most(1)
        runner = bulk.runner()
        deferred = deferral(runner.start)
        event = only_event(revived(deferred.trigger))
        bulk.bucket.put("secret/passport.png", picture(300, 320))
        add_to_ledger(bulk, f"s3://{bulk.bucket.name}/secret/passport.png")
        assert bulk.go_on(runner, lambda: runner.resume(deferred, event))["succeeded"] == 3
        assert set(submitted(simulator)) == {"ann.png", "bob.png", "cleo.png"}

    def test_a_changed_sum_does_not_lift_the_budget(self, bulk: Bulk, service: Service) -> None:
        simulator = service()
        bulk.run(max_cost="0.36")
        bulk.portraits("dora")
        index = json.loads(bulk.bucket.body(INDEX))
        index["segments"][0]["billed"] = 0
        bulk.bucket.put(INDEX, json.dumps(index).encode())
        with pytest.raises(AirflowFailException, match="could cost more than max_cost"):
            bulk.run(run_id="tuesday", max_cost="0.36")
        index["segments"][0]["billed"] = -1_000_000
        bulk.bucket.put(INDEX, json.dumps(index).encode())
        with pytest.raises(AirflowFailException, match=r"index\.json cannot be read"):
            bulk.run(run_id="wednesday", max_cost="0.36")
        assert len(submitted(simulator)) == 3

    @pytest.mark.parametrize("told", [-5, 0])
    def test_a_result_counts_against_the_budget_whatever_the_service_says(
        self, bulk: Bulk, service: Service, monkeypatch: pytest.MonkeyPatch, told: int
    ) -> None:
        simulator = service()
        get_task = DashScopeHook.get_task

        def get(self: DashScopeHook, *args: Any, **more: Any) -> Any:
            task = get_task(self, *args, **more)
            return task.model_copy(update={"usage": Usage.model_validate({"image_count": told})})

        monkeypatch.setattr(DashScopeHook, "get_task", get)
        bulk.at_most(1)
        with pytest.raises(AirflowFailException, match=r"could cost more than max_cost=0\.24"):
            bulk.run(max_cost="0.24")
        assert submitted(simulator) == {"ann.png": 1, "bob.png": 1}


class TestDestination:
    @pytest.mark.parametrize(
        "arguments", [{"s3_key": "_ledger/{row}"}, {"destination": "s3://{bucket}/other/_ledger/"}]
    )
    def test_results_are_not_written_into_a_ledger(
        self, bulk: Bulk, service: Service, arguments: dict[str, str]
    ) -> None:
        service()
        given = {name: value.replace("{bucket}", bulk.bucket.name) for name, value in arguments.items()}
        with pytest.raises(AirflowFailException, match="where a batch remembers what it has paid for"):
            bulk.runner(**given).start()
