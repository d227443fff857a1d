"""How often tasks are asked for that the list shows as queued: the images of a batch are queued for an hour."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import TaskWait
from airflow_provider_wanx.dashscope.waiting.schedule import Row, Schedule
from airflow_provider_wanx.dashscope.waiting.waits import Waits

TASKS = 100
HOUR = 3600.0
WALL = 1_800_000_000.0


def questions(patience: float, *, listed: bool = True) -> int:
    """Number of questions in an hour about tasks that stay queued."""
    schedule = Schedule(limit=20.0, rate=12.0)
    names = [f"t-{number}" for number in range(TASKS)]
    waits = Waits(schedule)
    group: Any = type("Group", (), {"begun": 0.0, "size": TASKS})()
    for name in names:
        waits.add(TaskWait(name, 3.0, None, patience=patience), group, now=0.0, wall=WALL)
    if listed:
        rows = [Row(name, TaskStatus.PENDING, created=WALL) for name in names]
        schedule.take_rows(rows, now=1.0, wall=WALL + 1.0)
    else:
        schedule.list_works = False
    queued: dict[str, Any] = {"status": TaskStatus.PENDING}
    count, now = 0, 1.0
    while (now := max(now + 1 / 12, schedule.next_task_at(now))) < HOUR:
        if (name := schedule.next_task(now)) is not None:
            count += 1
            schedule.asked(name, Task(task_id=name, **queued), pause=3.0, now=now)
    return count


def test_patient_waits_ask_about_once_in_their_patience_and_others_once_a_minute() -> None:
    assert questions(patience=HOUR) < 1.3 * TASKS
    assert questions(patience=0.0) > 30 * TASKS


def test_patient_waits_ask_by_themselves_when_the_list_cannot_be_read() -> None:
    assert questions(patience=HOUR, listed=False) > 30 * TASKS


@pytest.mark.parametrize("order", [(HOUR, 0.0), (0.0, HOUR)])
def test_a_task_that_two_wait_for_is_asked_for_as_often_as_the_less_patient_one_wants(
    order: tuple[float, float],
) -> None:
    schedule = Schedule(limit=20.0, rate=12.0)
    for patience in order:
        schedule.add("t-1", interval=3.0, now=0.0, wall=WALL, patience=patience)
    assert schedule.next_task_at(0.0) == 0.0
