"""Airflow on several machines, with kills: every image is submitted once, and arrives."""

from __future__ import annotations

from pathlib import PurePosixPath

from tests.system.distributed.fleet import Outcome


def test_one_of_each_kind_was_killed_while_it_mattered(outcome: Outcome, images: int) -> None:
    assert list(outcome.killed) == ["task process", "worker", "triggerer", "scheduler"]
    assert all(0 < accepted < 2 * images for accepted in outcome.killed.values())


def test_every_image_was_submitted_once(outcome: Outcome, images: int) -> None:
    wanted = {f"{folder}/{number:03d}.png" for folder in ("mapped", "bulk") for number in range(images)}
    assert dict(outcome.submissions) == dict.fromkeys(wanted, 1)


def test_every_task_has_ended_well(outcome: Outcome, images: int) -> None:
    each = {"success": images}
    assert {name: dict(states) for name, states in outcome.states.items()} == {
        "fleet.pictures": {"success": 1},
        "fleet.repaint.submit": each,
        "fleet.repaint.wait": each,
        "fleet.repaint.copy": each,
        "fleet_bulk.repaint": {"success": 1},
    }


def test_every_result_is_in_the_bucket_as_the_service_has_it(outcome: Outcome, images: int) -> None:
    objects = {PurePosixPath(key).stem: body for key, body in outcome.objects.items()}
    assert len(outcome.results) == 2 * images
    missing = [task_id for task_id, body in outcome.results.items() if objects.get(task_id) != body]
    assert missing == []


def test_hardly_any_request_was_refused_for_the_rate(outcome: Outcome) -> None:
    assert outcome.requests > 0
    assert outcome.refused <= 0.02 * outcome.requests, outcome.endpoints


def test_machines_kept_to_one_pace(outcome: Outcome) -> None:
    submit = outcome.endpoints["submit"]
    assert submit["refused"] <= 0.1 * submit["requests"], submit
