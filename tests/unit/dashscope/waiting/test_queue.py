"""Whom a poller asks next."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wanx.dashscope.polling import TaskWait
from airflow_provider_wanx.dashscope.waiting.progress import ALL, NEVER, Group
from airflow_provider_wanx.dashscope.waiting.queue import TaskQueue

LIMIT = 20.0


def group(*ids: str, interval: float = 3.0) -> Group:
    return Group([TaskWait(each, interval, None) for each in ids], enough=ALL, log=None)


def names(count: int) -> list[str]:
    return [f"t-{number}" for number in range(count)]


def queue_of(count: int, **more: Any) -> TaskQueue:
    queue = TaskQueue(limit=LIMIT)
    queue.add(group(*names(count), **more), now=0.0)
    return queue


def sweep(queue: TaskQueue, *, seconds: float, start: float = 0.0, pause: float = 3.0) -> list[str]:
    """Ask for whoever is next, and hear that nothing has changed; return ids in the order in which they were asked for."""
    asked, now = [], start
    while (now := max(now + 0.05, queue.next_at(now))) < start + seconds:
        if (watched := queue.next(now)) is not None:
            asked.append(watched.task_id)
            queue.asked(watched, due=now + pause, answered=True)
    return asked


def test_few_tasks_are_asked_for_at_their_interval_and_many_share_the_sweep() -> None:
    few, many = queue_of(12), queue_of(13)
    assert (few.reads_list, many.reads_list) == (False, True)
    assert len(sweep(few, seconds=30)) == pytest.approx(120, abs=12)
    assert len(sweep(many, seconds=30)) == pytest.approx(120, abs=12)
    assert len(sweep(queue_of(1_000), seconds=30)) == pytest.approx(120, abs=12)


def test_the_shortest_interval_decides_until_nobody_waits() -> None:
    queue, hasty = queue_of(2, interval=60.0), group("t-9", interval=0.0)
    queue.add(hasty, now=0.0)
    assert queue.interval == pytest.approx(0.05)
    for watched in queue:
        assert queue.interval == pytest.approx(0.05)
        for each in list(watched.groups):
            queue.leave(watched.task_id, each)
    assert (queue.interval, len(queue), queue.next_at(0.0)) == (NEVER, 0, NEVER)


def test_half_of_the_sweep_goes_to_the_oldest_and_half_to_whoever_was_unasked_longest() -> None:
    asked = sweep(queue_of(200), seconds=60)
    assert asked.count("t-0") > 15
    assert {f"t-{number}" for number in range(60)} <= set(asked)


def test_nobody_is_passed_over_for_ever() -> None:
    assert set(sweep(queue_of(200), seconds=150)) == set(names(200))


def test_the_list_speaks_for_whoever_is_in_it() -> None:
    queue = queue_of(100)
    queue.runs("t-0")
    queue.read({"t-0", "a stranger's"}, now=0.0)
    assert sweep(queue, seconds=30).count("t-0") == 1
    queue.read(set(), now=30.0)
    assert sweep(queue, seconds=1, start=30)[0] == "t-0"


def test_whoever_has_left_the_list_is_asked_for_at_once_though_it_was_asked_for_just_before() -> None:
    queue = queue_of(100)
    watched = queue.next(0.0)
    assert watched is not None
    assert watched.task_id == "t-0"
    queue.runs("t-0")
    queue.asked(watched, due=3.0, answered=True)
    queue.read({"t-0"}, now=0.5)
    queue.read(set(), now=1.0)
    assert sweep(queue, seconds=1, start=1.0)[0] == "t-0"


def test_whoever_is_known_to_run_and_not_in_the_list_is_asked_for_at_its_interval() -> None:
    queue, asked = queue_of(100), []
    queue.runs("a stranger's")
    queue.runs("t-70")
    for second in range(30):
        queue.read(set(), now=float(second))
        asked += sweep(queue, seconds=1, start=float(second))
    assert 9 <= asked.count("t-70") <= 12


def test_without_the_list_the_whole_budget_goes_to_the_sweep_until_it_is_read_again() -> None:
    queue = queue_of(100)
    queue.read({"t-0"}, now=0.0)
    queue.unreadable()
    assert len(sweep(queue, seconds=10)) > 150
    queue.read(set(), now=20.0)
    assert len(sweep(queue, seconds=10, start=20)) == pytest.approx(40, abs=4)


def test_an_end_that_the_sweep_finds_lets_it_go_on_at_once() -> None:
    queue = queue_of(100)
    watched = queue.next(0.0)
    assert watched is not None
    assert queue.next(0.0) is None
    queue.ended(watched)
    assert queue.next(0.0) is not None


def test_an_end_that_the_list_has_told_of_does_not() -> None:
    queue = queue_of(100)
    queue.urge("t-5", 0.0)
    urgent, swept = queue.next(0.0), queue.next(0.0)
    assert urgent is not None
    assert swept is not None
    queue.ended(urgent)
    assert queue.next(0.0) is None


def test_a_task_is_not_asked_for_twice_at_a_time() -> None:
    queue = queue_of(1)
    watched = queue.next(0.0)
    assert watched is not None
    queue.urge("t-0", 0.0)
    queue.add(group("t-0"), now=0.0)
    assert queue.next(99.0) is None
    assert queue.next_at(99.0) == NEVER
    queue.asked(watched, due=103.0, answered=True)
    assert (queue.next_at(99.0), queue.next(103.0)) == (103.0, watched)


@pytest.mark.parametrize("left", [False, True])
def test_a_question_without_an_answer_comes_first_when_its_pause_is_over_if_anybody_still_waits(
    left: bool,
) -> None:
    queue = queue_of(100)
    first = queue.next(0.0)
    assert first is not None
    if left:
        queue.leave(first.task_id, first.groups[0])
    queue.asked(first, due=10.0, answered=False)
    assert (queue.next(10.0) is first) is not left


def test_a_task_that_two_wait_for_is_asked_for_until_both_have_left() -> None:
    queue, second = queue_of(1), group("t-0")
    queue.add(second, now=0.0)
    (watched,) = queue
    queue.leave("t-0", watched.groups[0])
    assert queue.next(0.0) is watched
    queue.leave("t-0", second)
    assert len(queue) == 0


def test_a_new_wait_for_a_task_has_it_asked_for_at_once() -> None:
    queue = queue_of(1)
    watched = queue.next(0.0)
    assert watched is not None
    queue.asked(watched, due=60.0, answered=True)
    queue.add(group("t-0"), now=1.0)
    assert queue.next(1.0) is watched


def test_whoever_was_urgent_and_has_answered_waits_for_its_turn_again() -> None:
    queue = queue_of(100)
    queue.urge("t-50", 0.0)
    watched = queue.next(0.0)
    assert watched is not None
    assert watched.task_id == "t-50"
    queue.asked(watched, due=5.0, answered=True)
    assert queue.next(5.0) is not watched


def test_whoever_waits_is_told_that_a_task_runs() -> None:
    said: list[object] = []
    queue = TaskQueue(limit=LIMIT)
    waits = [TaskWait("t-0", 3.0, None)]
    queue.add(Group(waits, enough=ALL, log=lambda *words: said.extend(words)), now=0.0)
    queue.runs("t-0")
    assert said[1:] == ["t-0"]
