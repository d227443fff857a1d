from __future__ import annotations

import pytest

from airflow_provider_wanx.dashscope.errors import (
    NewStatusError,
    ProviderError,
    TaskNotSucceededError,
    WaitTimeoutError,
    api_error,
)
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import (
    NEW_STATUS_LOOKS,
    UNKNOWN_GRACE_SECONDS,
    Decision,
    Ended,
    GiveUp,
    TaskWait,
    Wait,
    check_outcome,
    succeeded,
)

_NOW = 1_700_000_000.0


def _wait(*, poll_interval: float = 3.0, end_time: float | None = None) -> TaskWait:
    return TaskWait("t-1", poll_interval, end_time)


def _task(status: TaskStatus, task_id: str = "t-1") -> Task:
    return Task(task_id=task_id, status=status)


def _seconds(decision: Decision) -> float:
    assert isinstance(decision, Wait)
    return decision.seconds


def _error(status: int = 503, retry_after: float | None = None) -> ProviderError:
    return api_error(code="", service_message="", http_status=status, retry_after=retry_after)


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.SUSPENDED])
def test_a_status_that_is_not_final_is_looked_at_again_after_about_the_interval(status: TaskStatus) -> None:
    pauses = [_seconds(_wait().after(_task(status), now=_NOW)) for _ in range(200)]

    assert 2.7 <= min(pauses) < max(pauses) <= 3.3
    assert len(set(pauses)) > 100  # or all who wait would ask at once


def test_unknown_is_believed_only_after_its_grace() -> None:
    wait = _wait()

    early = wait.after(_task(TaskStatus.UNKNOWN), now=_NOW)
    later = wait.after(_task(TaskStatus.UNKNOWN), now=_NOW + UNKNOWN_GRACE_SECONDS - 0.1)
    last = wait.after(_task(TaskStatus.UNKNOWN), now=_NOW + UNKNOWN_GRACE_SECONDS)

    assert UNKNOWN_GRACE_SECONDS >= 120
    assert _seconds(early) == pytest.approx(3, rel=0.1001)
    assert isinstance(later, Wait)
    assert last == Ended(_task(TaskStatus.UNKNOWN))


def test_unknown_gets_its_grace_anew_after_the_task_was_seen() -> None:
    wait = _wait()
    wait.after(_task(TaskStatus.UNKNOWN), now=_NOW)
    wait.after(_task(TaskStatus.RUNNING), now=_NOW + 5)

    assert isinstance(wait.after(_task(TaskStatus.UNKNOWN), now=_NOW + UNKNOWN_GRACE_SECONDS + 5), Wait)


def test_giving_up_says_which_task_what_was_seen_and_what_it_costs() -> None:
    wait = _wait(end_time=_NOW)
    wait.after(_task(TaskStatus.RUNNING), now=_NOW - 9)
    decision = wait.after(_error(), now=_NOW)

    assert isinstance(decision, GiveUp)
    assert str(decision.error) == (
        f"DashScope task t-1 had not ended at the deadline (last seen RUNNING; the last look failed: {_error()}). It may "
        "still run and will be billed if it succeeds; its result can be had with the same id for 24 hours after its submission."
    )


def test_a_task_that_was_never_seen_is_given_up_with_these_words() -> None:
    assert "at the deadline (never seen). It may" in str(_wait().timeout())


def test_the_last_look_is_at_the_deadline() -> None:
    wait = _wait(poll_interval=60, end_time=_NOW + 5)

    assert _seconds(wait.after(_task(TaskStatus.RUNNING), now=_NOW)) == 5


def _new_status() -> NewStatusError:
    return NewStatusError(task_id="t-1", status="ARCHIVING", http_status=200)


def test_a_state_that_nobody_knows_may_pass_but_not_for_long() -> None:
    wait = _wait(poll_interval=3.0)
    pauses = [_seconds(wait.after(_new_status(), now=_NOW)) for _ in range(NEW_STATUS_LOOKS - 1)]
    last = _new_status()

    assert max(pauses) <= 3.3
    assert wait.after(last, now=_NOW) == GiveUp(last)
    assert "'ARCHIVING'" in str(last)


def test_a_state_that_is_known_again_begins_the_count_anew_and_an_error_does_not() -> None:
    wait = _wait()
    for _ in range(NEW_STATUS_LOOKS - 1):
        wait.after(_new_status(), now=_NOW)
    wait.after(_task(TaskStatus.RUNNING), now=_NOW)
    for _ in range(NEW_STATUS_LOOKS - 1):
        assert isinstance(wait.after(_new_status(), now=_NOW), Wait)
        assert isinstance(wait.after(_error(), now=_NOW), Wait)

    assert isinstance(wait.after(_new_status(), now=_NOW), GiveUp)


def test_a_state_that_nobody_knows_does_not_outlast_the_deadline_which_tells_of_it() -> None:
    decision = _wait(end_time=_NOW).after(_new_status(), now=_NOW)

    assert isinstance(decision, GiveUp)
    assert isinstance(decision.error, WaitTimeoutError)
    assert "'ARCHIVING'" in str(decision.error)


def test_the_outcome_of_one_wait_is_its_task_or_an_error() -> None:
    good, timeout = _task(TaskStatus.SUCCEEDED), _wait().timeout()

    assert succeeded(Ended(good)) is good
    with pytest.raises(TaskNotSucceededError):
        succeeded(Ended(_task(TaskStatus.FAILED)))
    with pytest.raises(WaitTimeoutError):
        succeeded(GiveUp(timeout))


def test_errors_in_a_row_slow_the_looks_down_and_a_good_one_restores_the_pace() -> None:
    wait = _wait(poll_interval=3.0)
    pauses = [_seconds(wait.after(_error(), now=_NOW)) for _ in range(6)]

    for pause, expected in zip(pauses, (3, 6, 12, 24, 30, 30), strict=True):
        assert pause == pytest.approx(expected, rel=0.1001)
    assert _seconds(wait.after(_task(TaskStatus.RUNNING), now=_NOW)) <= 3.3
    assert wait.errors_in_a_row == 0
    assert "failed" not in str(wait.timeout())


def test_the_service_is_not_asked_again_before_the_time_it_named() -> None:
    for _ in range(100):
        assert 40 <= _seconds(_wait().after(_error(429, retry_after=40), now=_NOW)) <= 44.1


@pytest.mark.parametrize("status", [status for status in TaskStatus if status is not TaskStatus.SUCCEEDED])
def test_an_outcome_with_anything_else_names_it(status: TaskStatus) -> None:
    tasks = [_task(TaskStatus.SUCCEEDED, "good"), _task(status, "bad-1"), _task(status, "bad-2")]

    with pytest.raises(TaskNotSucceededError, match=r"bad-1.*bad-2.*4 other task\(s\) succeeded") as caught:
        check_outcome(iter(tasks), succeeded=3)

    assert [task.task_id for task in caught.value.tasks] == ["bad-1", "bad-2"]


def test_an_outcome_tells_of_no_other_tasks_where_there_are_none() -> None:
    with pytest.raises(TaskNotSucceededError) as caught:
        check_outcome([_task(TaskStatus.CANCELED)])

    assert "other task" not in str(caught.value)
