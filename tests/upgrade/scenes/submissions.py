"""Submissions whose worker was killed, and a user who clears one."""

from __future__ import annotations

from tests.upgrade.scenes.killing import killed_at_a_record
from tests.upgrade.scenes.tasks import repainting, returns_its_only_id, task_of
from tests.upgrade.snapshot import Snapshot
from tests.upgrade.world import BUCKET, World

QUEUED = {"speed": 0.01, "concurrency": 1, "duration": 3600.0}
"""A service that does not get on."""

RECORD_PATH = f"s3://{BUCKET}/records"


def submission_of_which_only_the_intent_was_kept(world: World) -> Snapshot:
    """The worker was killed between the service's answer and the record of it."""
    with world.service(**QUEUED):
        runner, task = repainting(world)
        killed_at_a_record(runner, number=1, written=False)
        return world.taken("retry", runner, task, expected=returns_its_only_id(world))


def submission_of_which_only_the_intent_was_kept_in_a_bucket(world: World) -> Snapshot:
    world.options = {"record_path": RECORD_PATH}
    with world.service(**QUEUED):
        runner, task = repainting(world, keeps_state=False)
        killed_at_a_record(runner, number=1, written=False)
        return world.taken("retry", runner, task, expected=returns_its_only_id(world))


def submission_that_never_left(world: World) -> Snapshot:
    """The worker was killed between the record of the intent and the request."""
    with world.service(**QUEUED):
        runner, task = repainting(world)
        killed_at_a_record(runner, number=0, written=True)
        return world.taken("retry", runner, task, expected={"accepted": 1})


def submission_that_never_left_in_a_bucket(world: World) -> Snapshot:
    world.options = {"record_path": RECORD_PATH}
    with world.service(**QUEUED):
        runner, task = repainting(world, keeps_state=False)
        killed_at_a_record(runner, number=0, written=True)
        return world.taken("retry", runner, task, expected={"accepted": 1})


def submission_that_is_known(world: World) -> Snapshot:
    """The worker was killed after the record, before it had told anybody."""
    with world.service(**QUEUED):
        runner, task = repainting(world)
        killed_at_a_record(runner, number=1, written=True)
        return world.taken("retry", runner, task, expected=returns_its_only_id(world))


def submission_to_any_model_that_is_known(world: World) -> Snapshot:
    with world.service(**QUEUED):
        task = task_of(
            "operators.dashscope.DashScopeSubmitTaskOperator",
            task_id="paint",
            service="aigc/text2image/image-synthesis",
            model="wanx2.1-t2i-turbo",
            input={"prompt": "A lighthouse"},
            parameters={"n": 1, "size": "512*512"},
        )
        runner = world.runner(task)
        killed_at_a_record(runner, number=1, written=True)
        return world.taken("retry", runner, task, expected=returns_its_only_id(world))


def submission_that_is_known_in_a_bucket(world: World) -> Snapshot:
    world.options = {"record_path": RECORD_PATH}
    with world.service(**QUEUED):
        runner, task = repainting(world, keeps_state=False)
        killed_at_a_record(runner, number=1, written=True)
        return world.taken("retry", runner, task, expected=returns_its_only_id(world))


def submission_that_a_user_clears(world: World) -> Snapshot:
    """The old task is canceled, and one more is submitted."""
    with world.service(**QUEUED):
        world.submit(5)
        runner, task = repainting(world)
        runner.run_try()
        return world.taken("clear", runner, task, expected={"accepted": 3, "canceled": 1})


def submission_that_replaces_a_cleared_one(world: World) -> Snapshot:
    """The worker was killed between the service's answer and the record of it, and the record names the old task."""
    world.options = {"record_path": RECORD_PATH}
    with world.service(**QUEUED):
        runner, task = repainting(world, keeps_state=False)
        runner.run_try()
        runner.max_tries += 3
        killed_at_a_record(runner, number=1, written=False)
        second = world.simulator.ledger()["tasks"][1]["task_id"]
        return world.taken("retry", runner, task, expected={"returns": second})
