"""Batches: their ledger on the way, and what they leave at their end."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import PurePath
from typing import Any

from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_wanx.dashscope.styles import style_name
from tests.unit.support.airflow import TaskRunner, deferral
from tests.unit.support.pictures import picture
from tests.upgrade.scenes.killing import killed_after_an_object, killed_at_a_record
from tests.upgrade.scenes.tasks import bulk, with_event
from tests.upgrade.snapshot import Snapshot
from tests.upgrade.world import BUCKET, Task, World, revived, run_trigger, stored


def batch_waits(world: World) -> Snapshot:
    """The ledger is compacted, and held for the waiting task."""
    with world.service():
        runner, task = _bulk(world)
        left = stored(deferral(runner.start))
        return world.taken("trigger", runner, task, expected=_all_succeed("anime", 3), **left)


def batch_was_woken(world: World) -> Snapshot:
    with world.service():
        runner, task = _bulk(world)
        left = with_event(stored(deferral(runner.start)))
        return world.taken("worker", runner, task, expected=_all_succeed("anime", 3), **left)


def batch_was_killed_after_an_answer(world: World) -> Snapshot:
    """Two rows of the journal are submitted, a third one has its intent only, and the lease has not run out."""
    with world.service():
        runner, task = _bulk(world)
        killed_at_a_record(runner, number=5, written=False)
        return world.taken("retry", runner, task, expected=_all_succeed("anime", 3))


def batch_was_killed_while_it_planned(world: World) -> Snapshot:
    """Its rows are there, and its index is not."""
    with world.service():
        runner, task = _bulk(world)
        killed_after_an_object(runner, "rows-000000.jsonl", number=0)
        return world.taken("retry", runner, task, expected={"accepted": 3, **_all_succeed("anime", 3)})


def batch_was_killed_while_it_compacted(world: World) -> Snapshot:
    """Its rows are newer than its index, and the journal has them too."""
    with world.service():
        runner, task = _bulk(world)
        killed_after_an_object(runner, "rows-000000.jsonl", number=1)
        return world.taken("retry", runner, task, expected=_all_succeed("anime", 3))


def batch_of_a_shard_waits(world: World) -> Snapshot:
    with world.service():
        images = [f"s3://{BUCKET}/in/{name}.png" for name in ("ann", "bob", "cleo", "ann")]
        runner, task = _bulk(world, images=images, shard="1/2")
        left = stored(deferral(runner.start))
        wanted = [row for row in _rows(world) if row.get("status") != "duplicate"]
        expected = {
            "returns": {"images": len(_rows(world)), "succeeded": len(wanted), "billed": len(wanted)},
            "results": [f"out/anime/{_name(row)}-{row['row']:06d}.jpg" for row in wanted],
        }
        return world.taken("trigger", runner, task, expected=expected, **left)


def batch_met_trouble(world: World) -> Snapshot:
    """One image has failed for a passing reason and is submitted again; another one's result could not be copied yet."""
    rows = [
        {"image": f"s3://{BUCKET}/in/ann.png", "style": 2},
        {"image": f"s3://{BUCKET}/in/bob.png", "style": 5},
        {"image": f"s3://{BUCKET}/in/cleo.png", "style": -1, "style_reference": f"s3://{BUCKET}/in/ann.png"},
    ]
    world.bucket.put("rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
    with world.service():
        world.simulator.add_fault(
            endpoint="job", kind="outcome", outcome="FAILED", code="InternalError.Algo", style=2, times=1
        )
        world.simulator.add_fault(endpoint="result", kind="status", status=403, style=5)
        runner, task = _bulk(world, images=f"s3://{BUCKET}/rows.jsonl", style=None)
        deferred = deferral(runner.start)
        while not {"failed_tasks", "failed_copies"} <= {name for row in _rows(world) for name in row}:
            event = run_trigger(revived(stored(deferred)["trigger"])).payload
            deferred = deferral(partial(runner.resume, deferred, event))
        done = {"images": 3, "succeeded": 3, "billed": 3}
        results = [f"out/{_style(row)}/{_name(row)}-{row['row']:06d}.jpg" for row in _rows(world)]
        return world.taken(
            "trigger", runner, task, expected={"returns": done, "results": results}, **stored(deferred)
        )


def batch_is_done(world: World) -> Snapshot:
    """Another run has nothing to do. Rows have columns of their own, and one is the same as another."""
    rows = [
        {"image": f"s3://{BUCKET}/in/ann.png", "customer": 7},
        {"image": f"s3://{BUCKET}/in/bob.png", "style": 5, "customer": 8},
        {"image": f"s3://{BUCKET}/in/ann.png", "customer": 9},
    ]
    world.bucket.put("rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
    with world.service():
        runner, task = _bulk(world, images=f"s3://{BUCKET}/rows.jsonl")
        _run(runner)
        results = [
            each.key for each in world.objects() if each.key.startswith("out/") and each.key.endswith(".jpg")
        ]
        returns = {"images": 3, "succeeded": 2, "duplicate": 1, "billed": 2, "cost": 0.24}
        return world.taken("next run", runner, task, expected={"returns": returns, "results": results})


def batch_has_failures(world: World) -> Snapshot:
    """Another run submits again what has failed, and nothing else."""
    with world.service():
        world.simulator.add_fault(
            endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL", times=1
        )
        runner, task = _bulk(world, retry_failed=True)
        _run(runner)
        return world.taken("next run", runner, task, expected={"accepted": 4, **_all_succeed("anime", 3)})


def batch_has_an_uncertain_image(world: World) -> Snapshot:
    """An answer was lost, and the task list could not be read. Another run finds the task there."""
    with world.service():
        world.simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
        world.simulator.add_fault(endpoint="list_tasks", kind="status", status=500)
        runner, task = _bulk(world, retry_failed=True)
        _run(runner)
        return world.taken("next run", runner, task, expected={"accepted": 3, **_all_succeed("anime", 3)})


def batch_has_a_result_that_was_not_copied(world: World) -> Snapshot:
    """It was paid for, and is still there: another run only copies it."""
    with world.service():
        world.simulator.add_fault(endpoint="result", kind="status", status=403, after=2)
        runner, task = _bulk(world, retry_failed=True)
        _run(runner)
        return world.taken("next run", runner, task, expected=_all_succeed("anime", 3))


def batch_lacks_a_picture_that_comes_back(world: World) -> Snapshot:
    """It was repainted, deleted, and put back: another run has nothing to do."""
    with world.service():
        runner, task = _bulk(world)
        _run(runner)
        key = "in/cleo.png"
        picture_of_cleo = world.bucket.body(key)
        world.bucket.client.delete_object(Bucket=BUCKET, Key=key)
        _run(world.runner(task))
        world.bucket.put(key, picture_of_cleo)
        return world.taken("next run", runner, task, expected={"accepted": 3, **_all_succeed("anime", 3)})


def _bulk(world: World, **arguments: Any) -> tuple[TaskRunner[BaseOperator], Task]:
    for number, name in enumerate(("ann", "bob", "cleo")):
        world.bucket.put(f"in/{name}.png", picture(300 + number, 320))
    task = bulk(**arguments)
    return world.runner(task), task


def _rows(world: World) -> list[dict[str, Any]]:
    """Read the ledger's rows."""
    _, *rows = world.bucket.body("out/_ledger/rows-000000.jsonl").splitlines()
    return [json.loads(row) for row in rows]


def _name(row: dict[str, Any]) -> str:
    return PurePath(row["image"]).stem


def _style(row: dict[str, Any]) -> str:
    return style_name(row["style"]).lower().replace(" ", "-")


def _all_succeed(style: str, images: int) -> dict[str, Any]:
    names = ("ann", "bob", "cleo")[:images]
    return {
        "returns": {"images": images, "succeeded": images, "billed": images},
        "results": [f"out/{style}/{name}-{number:06d}.jpg" for number, name in enumerate(names)],
    }


def _run(runner: TaskRunner[BaseOperator]) -> None:
    step: Callable[[], Any] = runner.start
    while True:
        try:
            step()
        except TaskDeferred as deferred:
            event = run_trigger(revived(stored(deferred)["trigger"])).payload
            step = partial(runner.resume, deferred, event)
        else:
            return
