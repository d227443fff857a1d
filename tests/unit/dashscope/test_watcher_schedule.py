from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.schedule import Schedule
from airflow_provider_wanx.dashscope.watched import Row, Tuning

WALL = 1_700_000_000.0
MANY = Tuning(direct=0.0)
PENDING, RUNNING, SUCCEEDED = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.SUCCEEDED


def _schedule(tuning: Tuning = MANY, *, ids: Iterable[str] = (), interval: float = 3.0) -> Schedule:
    schedule = Schedule(limit=20.0, rate=12.0, tuning=tuning)
    for task_id in ids:
        schedule.add(task_id, interval=interval, now=0.0, wall=WALL)
    return schedule


def _row(
    task_id: str,
    status: TaskStatus = SUCCEEDED,
    *,
    created: float = 1.0,
    started: float = 0.0,
    ended: float = 0.0,
    model: str = "m",
) -> Row:
    moments = [WALL + moment if moment else 0.0 for moment in (created, started, ended)]
    return Row(task_id, status, model, *moments)


def _task(task_id: str, status: TaskStatus = PENDING, **moments: float) -> Task:
    times = {name: datetime.fromtimestamp(WALL + moment, UTC) for name, moment in moments.items()}
    fields: dict[str, Any] = {"task_id": task_id, "status": status, **times}
    return Task(**fields)


def _take(schedule: Schedule, *rows: Row, now: float = 1.0) -> tuple[int, int]:
    return schedule.take_rows(rows, audit=0, now=now, wall=WALL + now)


def _due(schedule: Schedule, now: float) -> list[str]:
    found = []
    while (task_id := schedule.next_task(now)) is not None:
        found.append(task_id)
    return found


def _locate(schedule: Schedule, ids: Iterable[str], status: TaskStatus = PENDING) -> None:
    _take(
        schedule, *(_row(task_id, status, created=number + 1) for number, task_id in enumerate(ids)), now=0.0
    )


def test_few_tasks_are_asked_for_at_once_and_then_at_their_interval() -> None:
    schedule = _schedule(Tuning(), ids=["a", "b"])
    assert _due(schedule, 0.0) == ["a", "b"]

    schedule.asked("a", _task("a"), pause=3.0, now=1.0, wall=WALL)

    assert schedule.next_task(3.9) is None
    assert schedule.next_task_at(1.0) == 4.0
    assert _due(schedule, 4.0) == ["a"]


def test_long_intervals_let_more_tasks_be_asked_for_directly() -> None:
    ids = [f"task-{number}" for number in range(100)]

    assert not _schedule(Tuning(), ids=ids, interval=3.0).direct
    assert _schedule(Tuning(), ids=ids, interval=60.0).direct


def test_when_few_are_left_they_are_asked_for_at_their_interval_again() -> None:
    ids = [f"task-{number}" for number in range(50)]
    schedule = _schedule(Tuning(), ids=ids)
    assert not schedule.direct
    _locate(schedule, ids)

    for task_id in ids[2:]:
        schedule.remove(task_id)

    assert schedule.direct
    assert set(_due(schedule, 3.1)) == set(ids[:2])


def test_many_tasks_are_left_alone_until_the_list_speaks_of_them() -> None:
    schedule = _schedule(ids=["a", "b", "c"])
    assert schedule.next_task(10.0) is None

    assert _take(schedule, _row("x"), _row("b"), _row("c", RUNNING), now=10.0) == (2, 2)

    assert _due(schedule, 10.0) == ["b"]


def test_a_row_that_says_ended_only_leads_to_one_question() -> None:
    schedule = _schedule(ids=["a"])
    _take(schedule, _row("a"))
    _take(schedule, _row("a"))

    assert _due(schedule, 1.0) == ["a"]
    assert _take(schedule, _row("a")) == (1, 0)
    assert "a" in schedule


def test_a_row_that_was_wrong_is_believed_less_and_less() -> None:
    schedule, now, asked = _schedule(ids=["a"]), 0.0, []
    while now < 300:
        now += 1.0
        _take(schedule, _row("a"), now=now)
        if schedule.next_task(now) is not None:
            asked.append(now)
            schedule.asked("a", _task("a", RUNNING), pause=3.0, now=now, wall=WALL + now)

    assert 4 <= len(asked) < 25


def test_unknown_in_the_list_is_no_news() -> None:
    schedule = _schedule(ids=["a"])

    assert _take(schedule, _row("a", TaskStatus.UNKNOWN)) == (1, 0)
    assert schedule.next_task(1.0) is None


def test_every_task_is_asked_for_now_and_then_whatever_the_list_says() -> None:
    ids = [f"task-{number}" for number in range(100)]
    schedule, asked = _schedule(ids=ids), dict.fromkeys(ids, 0)
    for now in range(400):
        _locate(schedule, ids)
        for task_id in _due(schedule, float(now)):
            asked[task_id] += 1
            schedule.asked(task_id, _task(task_id), pause=3.0, now=now, wall=WALL + now)

    assert min(asked.values()) >= 4
    assert max(asked.values()) <= 9


def test_more_tasks_than_the_budget_carries_are_asked_for_less_often() -> None:
    assert _schedule(ids=[f"task-{number}" for number in range(30)]).sweep == 60.0
    assert _schedule(ids=[f"task-{number}" for number in range(3000)]).sweep == 1000.0


def test_who_ran_and_does_not_any_more_is_asked_for() -> None:
    schedule = _schedule(ids=["a", "b"])
    _take(schedule, _row("a", RUNNING), _row("b", RUNNING))
    schedule.running_listed({"a": _row("a", RUNNING)}, now=5.0)

    assert _due(schedule, 5.0) == ["b"]


def test_who_was_submitted_before_all_that_run_is_asked_for_once() -> None:
    schedule = _schedule(ids=["a", "b", "c", "d"])
    _take(
        schedule,
        _row("a", PENDING, created=1),
        _row("b", PENDING, created=5, model="other"),
        _row("c", PENDING, created=8),
        _row("d", PENDING, created=9),
    )
    running = {"x": _row("x", RUNNING, created=8.5), "y": _row("y", RUNNING, created=20)}

    schedule.running_listed(running, now=5.0)
    assert _due(schedule, 5.0) == ["a", "c"]

    for task_id in ("a", "c"):
        schedule.asked(task_id, _task(task_id), pause=3.0, now=5.0, wall=WALL + 5)
    schedule.running_listed(running, now=20.0)
    assert _due(schedule, 20.0) == []


def test_what_was_searched_for_in_vain_is_asked_for() -> None:
    schedule = _schedule(ids=["a", "b"])
    schedule.add("new", interval=3.0, now=2.0, wall=WALL + 2.0)
    _take(schedule, _row("a", PENDING))

    schedule.search_over(since=WALL + 1.0, now=3.0)

    assert _due(schedule, 4.0) == ["b"]
    assert list(schedule.unlocated) == ["new"]


def test_without_a_list_everyone_is_asked_for_in_turn() -> None:
    ids = [f"task-{number}" for number in range(20)]
    schedule = _schedule(ids=ids)
    _locate(schedule, ids)
    schedule.list_works = False

    assert len(_due(schedule, 0.0)) == 1
    assert len(_due(schedule, 20 / 12.0)) == 19
    for task_id in ids:
        schedule.asked(task_id, _task(task_id), pause=3.0, now=2.0, wall=WALL)
    assert schedule.next_task(4.9) is None
    assert len(_due(schedule, 5.1)) == 20


def test_a_list_that_is_late_is_not_relied_on_where_asking_is_faster() -> None:
    ids = [f"task-{number}" for number in range(20)]
    schedule = _schedule(ids=ids)
    for number, task_id in enumerate(ids[:6]):
        now = 100.0 + number
        _take(schedule, _row(task_id, created=1, started=5, ended=now - 40), now=now)

    assert not schedule.trusting
    huge = _schedule(ids=[f"task-{number}" for number in range(5000)])
    for number in range(6):
        now = 100.0 + number
        _take(huge, _row(f"task-{number}", created=1, started=5, ended=now - 40), now=now)
    assert huge.trusting


def test_what_had_ended_before_anyone_waited_says_nothing_about_the_list() -> None:
    schedule = _schedule(ids=["a", "b", "c", "d", "e"])
    for task_id in ("a", "b", "c", "d", "e"):
        _take(schedule, _row(task_id, created=-500, started=-490, ended=-400), now=100.0)

    assert schedule.trusting


def test_those_added_while_the_list_worked_are_not_forgotten_among_those_asked_for_often() -> None:
    ids = [f"task-{number}" for number in range(20)]
    schedule = _schedule(ids=ids)
    schedule.next_task(0.0)
    schedule.list_works = False
    schedule.add("often", interval=0.5, now=0.0, wall=WALL)
    asked: set[str] = set()
    for step in range(40):
        now = step * 0.1
        for task_id in _due(schedule, now):
            asked.add(task_id)
            schedule.asked(task_id, _task(task_id, RUNNING), pause=0.5, now=now, wall=WALL + now)

    assert asked == {*ids, "often"}


def test_without_a_list_a_running_task_is_asked_for_when_it_should_have_ended() -> None:
    schedule = _schedule(ids=["a", "b", *(f"task-{number}" for number in range(300))])
    _take(schedule, _row("a", created=1, started=2, ended=32), now=33.0)
    schedule.list_works = False
    _due(schedule, 1000.0)

    running = _task("b", RUNNING, submit_time=3, scheduled_time=34)
    schedule.asked("b", running, pause=3.0, now=40.0, wall=WALL + 40)

    assert schedule.next_task_at(40.0) == pytest.approx(64.0)


def test_without_a_list_a_queued_task_is_asked_for_the_later_the_further_behind_it_is() -> None:
    ids = [f"task-{number}" for number in range(300)]
    schedule = _schedule(ids=ids)
    schedule.list_works = False
    _due(schedule, 1000.0)
    for number in range(6):
        ended = _task(ids[number], SUCCEEDED, submit_time=number, end_time=10.0 * (number + 1))
        schedule.ended(ids[number], ended, now=60.0, wall=WALL + 60)
        schedule.remove(ids[number])

    for number in (7, 11):
        task = _task(ids[number], submit_time=number)
        schedule.asked(ids[number], task, pause=3.0, now=60.0, wall=WALL + 60)

    assert _due(schedule, 75.0) == [ids[7]]
    assert _due(schedule, 120.0) == [ids[11]]


def test_an_error_is_followed_by_its_own_pause() -> None:
    schedule = _schedule(ids=["a"])
    _take(schedule, _row("a"))
    assert schedule.next_task(1.0) == "a"

    schedule.asked("a", None, pause=12.0, now=1.0, wall=WALL)

    assert schedule.next_task(12.9) is None
    assert schedule.next_task(13.1) == "a"


def test_a_question_that_was_put_back_keeps_its_precedence() -> None:
    schedule = _schedule(ids=["a", "b"])
    _take(schedule, _row("a"), _row("b"))
    assert schedule.next_task(1.0) == "a"

    schedule.put_back("a", now=1.0)

    assert _due(schedule, 1.0) == ["a", "b"]


def test_the_first_running_task_to_end_is_foreseen() -> None:
    schedule = _schedule(ids=["a", "b", "c"])
    assert schedule.soonest_end_in(0.0) is None
    _take(schedule, _row("a", created=1, started=2, ended=10), now=11.0)
    _take(schedule, _row("b", RUNNING, started=10), _row("c", RUNNING, started=12), now=13.0)

    assert schedule.soonest_end_in(13.0) == pytest.approx(5.0)


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "rows", "running", "ask", "list works", "search", "urge"]),
        st.integers(0, 7),
        st.sampled_from([PENDING, RUNNING, SUCCEEDED, TaskStatus.UNKNOWN]),
        st.booleans(),
        st.floats(0, 20),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(events=_EVENTS, direct=st.sampled_from([0.0, 0.1, 10.0]))
def test_whatever_happens_every_task_is_asked_for_again_in_bounded_time(  # noqa: C901
    events: list[tuple[str, int, TaskStatus, bool, float]], direct: float
) -> None:
    schedule = _schedule(Tuning(direct=direct))
    now, alive, asking = 0.0, set[str](), set[str]()

    def answer(task_id: str, status: TaskStatus, well: bool) -> None:
        task = _task(task_id, status if not status.is_terminal else RUNNING) if well else None
        schedule.asked(task_id, task, pause=3.0, now=now, wall=WALL + now)

    for event, number, status, flag, pause in events:
        now += pause
        task_id = f"task-{number}"
        match event:
            case "add":
                schedule.add(task_id, interval=3.0, now=now, wall=WALL + now)
                alive.add(task_id)
            case "remove":
                schedule.remove(task_id)
                alive.discard(task_id)
                asking.discard(task_id)
            case "rows":
                _take(schedule, _row(task_id, status, created=number + 1), now=now)
            case "running":
                schedule.running_listed({task_id: _row(task_id, RUNNING, created=number + 1)}, now=now)
            case "list works":
                schedule.list_works = flag
            case "search":
                schedule.search_over(since=WALL + now, now=now)
            case "urge":
                schedule.urge(task_id)
            case "ask" if (chosen := schedule.next_task(now)) is not None:
                assert chosen in alive
                assert chosen not in asking
                if flag:
                    answer(chosen, status, well=status is not SUCCEEDED)
                else:
                    asking.add(chosen)
    for task_id in asking:
        answer(task_id, RUNNING, well=False)

    assert len(schedule) == len(alive)
    unasked, end = set(alive), now + 200.0
    while unasked and now < end:
        now = max(now + 0.001, schedule.next_task_at(now))
        assert math.isfinite(now)
        while (chosen := schedule.next_task(now)) is not None:
            unasked.discard(chosen)
            answer(chosen, RUNNING, well=True)
    assert not unasked


def test_what_is_not_watched_any_more_is_not_kept() -> None:
    schedule = _schedule()
    for round_ in range(20):
        ids = [f"task-{round_}-{number}" for number in range(100)]
        for task_id in ids:
            schedule.add(task_id, interval=3.0, now=0.0, wall=WALL)
        _locate(schedule, ids, RUNNING)
        for task_id in ids:
            schedule.remove(task_id)

    assert len(schedule._heap) <= 200
    assert sum(map(len, schedule._queues.values())) <= 200
    assert not schedule._running
    assert not schedule.unlocated
    assert schedule.shortest_interval == math.inf
