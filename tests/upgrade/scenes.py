"""The moments of which snapshots are taken: what an upgrade may find in Airflow, at the service and in the bucket.

Each function takes one, under the code as it is now. A later version adds moments; what it changes about one here shows in
its own snapshots only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import Any

import pytest
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_wanx.dashscope.styles import style_name
from airflow_provider_wanx.storage.objects import ObjectStore
from airflow_provider_wanx.submission.record import Record, SubmissionRecord
from tests.unit.support.airflow import DagRun, TaskRunner, deferral
from tests.unit.support.pictures import picture
from tests.upgrade.snapshot import Snapshot
from tests.upgrade.world import BUCKET, Task, World, revived, run_trigger, stored, stored_start

QUEUED = {"speed": 0.01, "concurrency": 1, "duration": 3600.0}
"""A service that does not get on."""

RECORD_PATH = f"s3://{BUCKET}/records"


class KilledError(BaseException):
    """The worker was killed."""


def sensor(dashscope_task_id: Any, **arguments: Any) -> Task:
    return _task(
        "sensors.dashscope.DashScopeTaskSensor",
        task_id="wait",
        dashscope_task_id=dashscope_task_id,
        poll_interval=0.05,
        **arguments,
    )


def repaint(**arguments: Any) -> Task:
    return _task(
        "operators.wanx.WanxStyleRepaintOperator",
        task_id="submit",
        image=f"s3://{BUCKET}/in/ann.png",
        style="anime",
        poll_interval=0.05,
        **arguments,
    )


def copy(dashscope_task_id: Any, **arguments: Any) -> Task:
    return _task(
        "transfers.dashscope_to_s3.DashScopeToS3Operator",
        task_id="copy",
        dashscope_task_id=dashscope_task_id,
        s3_bucket=BUCKET,
        poll_interval=0.05,
        **{"s3_key": "results/", **arguments},
    )


def bulk(**arguments: Any) -> Task:
    return _task(
        "operators.wanx.WanxStyleRepaintBatchOperator",
        task_id="bulk",
        destination=f"s3://{BUCKET}/out/",
        deferrable=True,
        poll_interval=0.05,
        results_within=0.1,
        **{"images": f"s3://{BUCKET}/in/", "style": "anime", **arguments},
    )


def _task(path: str, **arguments: Any) -> Task:
    return {"class": f"airflow_provider_wanx.{path}", "arguments": arguments}


# Waits


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
        left = _with_event(stored(deferral(runner.start)))
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


def sensor_ends_in_the_triggerer(world: World) -> Snapshot:
    with world.service():
        task = sensor(world.submit(1)[0], end_from_trigger=True)
        runner = world.runner(task)
        left = stored(deferral(runner.start))
        return world.taken("trigger", runner, task, expected={"returns": "TaskSuccessEvent"}, **left)


def operator_waits(world: World) -> Snapshot:
    with world.service():
        runner, task = _repainting(world, wait_for_completion=True, deferrable=True)
        left = stored(deferral(runner.start))
        return world.taken("trigger", runner, task, expected=_returns_its_only_id(world), **left)


def operator_waits_without_a_record(world: World) -> Snapshot:
    """As before Airflow 3.3, where the id is in an XCom only."""
    with world.service():
        runner, task = _repainting(world, keeps_state=False, wait_for_completion=True, deferrable=True)
        left = stored(deferral(runner.start))
        return world.taken("trigger", runner, task, expected=_returns_its_only_id(world), **left)


def copy_waits(world: World) -> Snapshot:
    with world.service():
        ids = world.submit(1, 2)
        task = copy(ids, wait_for_completion=True, deferrable=True)
        runner = world.runner(task)
        left = stored(deferral(runner.start))
        keys = [f"results/{task_id}_0.jpg" for task_id in ids]
        entries = [{"bucket": BUCKET, "key": key, "written": True} for key in keys]
        return world.taken("trigger", runner, task, expected={"returns": entries, "results": keys}, **left)


# Copies


def copy_follows_a_submission(world: World) -> Snapshot:
    """What the submitting task has told is used by the copy."""
    with world.service():
        submitting, first = _repainting(world)
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


# Submissions


def submission_of_which_only_the_intent_was_kept(world: World) -> Snapshot:
    """The worker was killed between the service's answer and the record of it."""
    with world.service(**QUEUED):
        runner, task = _repainting(world)
        _killed_at_a_record(runner, number=1, written=False)
        return world.taken("retry", runner, task, expected=_returns_its_only_id(world))


def submission_of_which_only_the_intent_was_kept_in_a_bucket(world: World) -> Snapshot:
    world.options = {"record_path": RECORD_PATH}
    with world.service(**QUEUED):
        runner, task = _repainting(world, keeps_state=False)
        _killed_at_a_record(runner, number=1, written=False)
        return world.taken("retry", runner, task, expected=_returns_its_only_id(world))


def submission_that_never_left(world: World) -> Snapshot:
    """The worker was killed between the record of the intent and the request."""
    with world.service(**QUEUED):
        runner, task = _repainting(world)
        _killed_at_a_record(runner, number=0, written=True)
        return world.taken("retry", runner, task, expected={"accepted": 1})


def submission_that_never_left_in_a_bucket(world: World) -> Snapshot:
    world.options = {"record_path": RECORD_PATH}
    with world.service(**QUEUED):
        runner, task = _repainting(world, keeps_state=False)
        _killed_at_a_record(runner, number=0, written=True)
        return world.taken("retry", runner, task, expected={"accepted": 1})


def submission_that_is_known(world: World) -> Snapshot:
    """The worker was killed after the record, before it had told anybody."""
    with world.service(**QUEUED):
        runner, task = _repainting(world)
        _killed_at_a_record(runner, number=1, written=True)
        return world.taken("retry", runner, task, expected=_returns_its_only_id(world))


def submission_to_any_model_that_is_known(world: World) -> Snapshot:
    with world.service(**QUEUED):
        task = _task(
            "operators.dashscope.DashScopeSubmitTaskOperator",
            task_id="paint",
            service="aigc/text2image/image-synthesis",
            model="wanx2.1-t2i-turbo",
            input={"prompt": "A lighthouse"},
            parameters={"n": 1, "size": "512*512"},
        )
        runner = world.runner(task)
        _killed_at_a_record(runner, number=1, written=True)
        return world.taken("retry", runner, task, expected=_returns_its_only_id(world))


def submission_that_is_known_in_a_bucket(world: World) -> Snapshot:
    world.options = {"record_path": RECORD_PATH}
    with world.service(**QUEUED):
        runner, task = _repainting(world, keeps_state=False)
        _killed_at_a_record(runner, number=1, written=True)
        return world.taken("retry", runner, task, expected=_returns_its_only_id(world))


def submission_that_a_user_clears(world: World) -> Snapshot:
    """The old task is canceled, and one more is submitted."""
    with world.service(**QUEUED):
        world.submit(5)
        runner, task = _repainting(world)
        runner.run_try()
        return world.taken("clear", runner, task, expected={"accepted": 3, "canceled": 1})


def submission_that_replaces_a_cleared_one(world: World) -> Snapshot:
    """The worker was killed between the service's answer and the record of it, and the record names the old task."""
    world.options = {"record_path": RECORD_PATH}
    with world.service(**QUEUED):
        runner, task = _repainting(world, keeps_state=False)
        runner.run_try()
        runner.max_tries += 3
        _killed_at_a_record(runner, number=1, written=False)
        second = world.simulator.ledger()["tasks"][1]["task_id"]
        return world.taken("retry", runner, task, expected={"returns": second})


# Batches


def batch_waits(world: World) -> Snapshot:
    """The ledger is compacted, and held for the waiting task."""
    with world.service():
        runner, task = _bulk(world)
        left = stored(deferral(runner.start))
        return world.taken("trigger", runner, task, expected=_all_succeed("anime", 3), **left)


def batch_was_woken(world: World) -> Snapshot:
    with world.service():
        runner, task = _bulk(world)
        left = _with_event(stored(deferral(runner.start)))
        return world.taken("worker", runner, task, expected=_all_succeed("anime", 3), **left)


def batch_was_killed_after_an_answer(world: World) -> Snapshot:
    """Two rows of the journal are submitted, a third one has its intent only, and the lease has not run out."""
    with world.service():
        runner, task = _bulk(world)
        _killed_at_a_record(runner, number=5, written=False)
        return world.taken("retry", runner, task, expected=_all_succeed("anime", 3))


def batch_was_killed_while_it_planned(world: World) -> Snapshot:
    """Its rows are there, and its index is not."""
    with world.service():
        runner, task = _bulk(world)
        _killed_after_an_object(runner, "rows-000000.jsonl", number=0)
        return world.taken("retry", runner, task, expected={"accepted": 3, **_all_succeed("anime", 3)})


def batch_was_killed_while_it_compacted(world: World) -> Snapshot:
    """Its rows are newer than its index, and the journal has them too."""
    with world.service():
        runner, task = _bulk(world)
        _killed_after_an_object(runner, "rows-000000.jsonl", number=1)
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
        runner, task = _bulk(world, images=None, style=None, manifest=f"s3://{BUCKET}/rows.jsonl")
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
        runner, task = _bulk(world, images=None, manifest=f"s3://{BUCKET}/rows.jsonl")
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


def _repainting(
    world: World, *, keeps_state: bool = True, **arguments: Any
) -> tuple[TaskRunner[BaseOperator], Task]:
    world.bucket.put("in/ann.png", picture(300, 320))
    task = repaint(**arguments)
    return world.runner(task, keeps_state=keeps_state), task


def _returns_its_only_id(world: World) -> dict[str, Any]:
    (task,) = world.simulator.ledger()["tasks"]
    return {"returns": task["task_id"]}


def _with_event(left: dict[str, Any]) -> dict[str, Any]:
    """Add the trigger's event, as Airflow does in the task instance's row."""
    event = run_trigger(revived(left.pop("trigger"))).payload
    return {**left, "next_kwargs": {**left["next_kwargs"], "event": event}}


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


def _killed_at_a_record(runner: TaskRunner[BaseOperator], *, number: int, written: bool) -> None:
    """Kill the worker before or after it has written a record of a submission."""
    write, writes = SubmissionRecord.write, iter(range(99))

    def dying(self: SubmissionRecord, record: Record) -> None:
        last = next(writes) == number
        if last and not written:
            raise KilledError
        write(self, record)
        if last:
            raise KilledError

    with _dies(SubmissionRecord, "write", dying):
        runner.start()


def _killed_after_an_object(runner: TaskRunner[BaseOperator], name: str, *, number: int) -> None:
    """Kill the worker after it has written an object of the ledger."""
    write, writes = ObjectStore.write, iter(range(99))

    def dying(self: ObjectStore, written: str, body: bytes, **more: Any) -> str:
        etag = write(self, written, body, **more)
        if written == name and next(writes) == number:
            raise KilledError
        return etag

    with _dies(ObjectStore, "write", dying):
        runner.start()


@contextmanager
def _dies(owner: type, method: str, dying: Callable[..., Any]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, method, dying)
        with pytest.raises(KilledError):
            yield


SCENES: tuple[Callable[[World], Snapshot], ...] = (
    sensor_waits,
    sensor_was_woken,
    sensor_starts_in_the_triggerer,
    sensor_ends_in_the_triggerer,
    operator_waits,
    operator_waits_without_a_record,
    copy_waits,
    copy_follows_a_submission,
    copy_is_done,
    submission_of_which_only_the_intent_was_kept,
    submission_of_which_only_the_intent_was_kept_in_a_bucket,
    submission_that_never_left,
    submission_that_never_left_in_a_bucket,
    submission_that_is_known,
    submission_to_any_model_that_is_known,
    submission_that_is_known_in_a_bucket,
    submission_that_a_user_clears,
    submission_that_replaces_a_cleared_one,
    batch_waits,
    batch_was_woken,
    batch_was_killed_after_an_answer,
    batch_was_killed_while_it_planned,
    batch_was_killed_while_it_compacted,
    batch_of_a_shard_waits,
    batch_met_trouble,
    batch_is_done,
    batch_has_failures,
    batch_has_an_uncertain_image,
    batch_has_a_result_that_was_not_copied,
)
