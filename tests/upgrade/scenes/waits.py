"""Sensors, operators and copies that wait or have waited."""

from __future__ import annotations

from tests.unit.support.airflow import DagRun, deferral
from tests.upgrade.scenes.tasks import copy, repainting, returns_its_only_id, sensor, with_event
from tests.upgrade.snapshot import Snapshot
from tests.upgrade.world import BUCKET, World, stored, stored_start


def sensor_waits(world: World) -> Snapshot:
    with world.service():
        ids = world.submit(1, 2)
        task = sensor(ids, cancel_on_kill=True)
        runner = world.runner(task)
        left = stored(deferral(runner.start))
        return world.taken("trigger", runner, task, expected={"returns": ids}, **left)


def sensor_was_woken(world: World) -> Snapshot:
    """The triggerer has sent its event, and no worker has taken it yet."""
    with world.service():
        (task_id,) = world.submit(1)
        task = sensor(task_id)
        runner = world.runner(task)
        left = with_event(stored(deferral(runner.start)))
        return world.taken("worker", runner, task, expected={"returns": task_id}, **left)


def sensor_starts_in_the_triggerer(world: World) -> Snapshot:
    with world.service():
        (task_id,) = world.submit(1)
        task = sensor("{{ ti.xcom_pull(task_ids='submit', map_indexes=-1) }}", start_from_trigger=True)
        run = DagRun(xcoms={("submit", -1): {"return_value": task_id}})
        runner = world.runner(task, run=run)
        return world.taken(
            "trigger", runner, task, expected={"returns": task_id}, **stored_start(runner.build())
        )


def operator_waits(world: World) -> Snapshot:
    with world.service():
        runner, task = repainting(world, wait_for_completion=True, deferrable=True)
        left = stored(deferral(runner.start))
        return world.taken("trigger", runner, task, expected=returns_its_only_id(world), **left)


def operator_waits_without_a_record(world: World) -> Snapshot:
    """As before Airflow 3.3, where the id is in an XCom only."""
    with world.service():
        runner, task = repainting(world, keeps_state=False, wait_for_completion=True, deferrable=True)
        left = stored(deferral(runner.start))
        return world.taken("trigger", runner, task, expected=returns_its_only_id(world), **left)


def copy_waits(world: World) -> Snapshot:
    with world.service():
        ids = world.submit(1, 2)
        task = copy(ids, wait_for_completion=True, deferrable=True)
        runner = world.runner(task)
        left = stored(deferral(runner.start))
        keys = [f"results/{task_id}_0.jpg" for task_id in ids]
        entries = [{"bucket": BUCKET, "key": key, "written": True} for key in keys]
        return world.taken("trigger", runner, task, expected={"returns": entries, "results": keys}, **left)


def copy_follows_a_submission(world: World) -> Snapshot:
    """What the submitting task has told is used by the copy."""
    with world.service():
        submitting, first = repainting(world)
        task_id = submitting.run_try()
        task = copy(
            "{{ ti.xcom_pull(task_ids='submit', map_indexes=-1) }}",
            s3_key="results/{source_name}.jpg",
            wait_for_completion=True,
            deferrable=True,
        )
        runner = world.runner(first, task, run=submitting.run)
        entry = {
            "key": "results/ann.jpg",
            "source": f"s3://{BUCKET}/in/ann.png",
            "style": 2,
            "dashscope_task_id": task_id,
        }
        return world.taken(
            "retry", runner, first, task, expected={"returns": [entry], "results": ["results/ann.jpg"]}
        )


def copy_is_done(world: World) -> Snapshot:
    """A retry keeps what is there; the gallery shows it."""
    with world.service():
        task = copy(world.submit(1), wait_for_completion=True, replace=False)
        runner = world.runner(task)
        (entry,) = runner.run_try()
        kept = {
            name: entry[name]
            for name in ("bucket", "key", "bytes", "sha256", "content_type", "dashscope_task_id")
        }
        returns = [{**kept, "written": False}]
        return world.taken("retry", runner, task, expected={"returns": returns, "results": [entry["key"]]})
