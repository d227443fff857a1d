"""Whatever a service says, and whenever it says it, a wait keeps its promises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.errors import (
    InvalidResponseError,
    LostAnswerError,
    ProviderError,
    TransportError,
    WaitTimeoutError,
    api_error,
)
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.polling import (
    SHORTEST_WAIT_SECONDS,
    UNKNOWN_GRACE_SECONDS,
    Ended,
    GiveUp,
    TaskWait,
    Wait,
)

_START = 1_700_000_000.0
_LONGEST_STEP = 60 * 10 * 1.1

_property = settings(deadline=None, database=None, max_examples=120)

_statuses = st.sampled_from(TaskStatus).map(lambda status: Task(task_id="t-1", status=status))
_passing = st.one_of(
    st.sampled_from([TransportError("x"), LostAnswerError("x"), InvalidResponseError("x")]),
    st.builds(
        lambda status, asked: api_error(code="", service_message="", http_status=status, retry_after=asked),
        st.sampled_from([429, 500, 502, 503, 504]),
        st.none() | st.floats(0, 120),
    ),
)
_permanent = st.sampled_from([400, 401, 403, 404]).map(
    lambda status: api_error(code="", service_message="", http_status=status)
)
_looks = st.lists(st.one_of(_statuses, _passing, _passing, _permanent), min_size=1, max_size=60)
_intervals = st.floats(0, 60)
_patience = st.none() | st.floats(0, 300)


@_property
@given(looks=_looks, interval=_intervals, patience=_patience, late=st.floats(0, 1))
def test_every_wait_keeps_its_promises(
    looks: list[Task | ProviderError], interval: float, patience: float | None, late: float
) -> None:
    end_time = None if patience is None else _START + patience
    wait = TaskWait("t-1", interval, end_time)
    now, unknown_since = _START, None

    for look in looks:
        decision = wait.after(look, now=now)
        past = end_time is not None and now >= end_time
        status = look.status if isinstance(look, Task) else None
        if status is not None:
            unknown_since = (
                (now if unknown_since is None else unknown_since) if status is TaskStatus.UNKNOWN else None
            )
        match decision:
            case Ended(task):
                assert task is look
                assert task.status.is_terminal
                if task.status is TaskStatus.UNKNOWN:
                    assert unknown_since is not None
                    assert now - unknown_since >= UNKNOWN_GRACE_SECONDS
                return
            case GiveUp(error):
                if isinstance(error, WaitTimeoutError):
                    assert past
                    assert "t-1" in str(error)
                else:
                    assert error is look
                    assert not error.retryable
                return
            case Wait(seconds):
                assert not past
                assert status is None or not status.is_terminal or status is TaskStatus.UNKNOWN
                assert not isinstance(look, ProviderError) or look.retryable
                assert SHORTEST_WAIT_SECONDS <= seconds <= _LONGEST_STEP
                if end_time is not None:
                    assert now + seconds <= max(end_time, now + SHORTEST_WAIT_SECONDS) + 1e-6
                now += seconds + late


@_property
@given(
    looks=st.lists(
        st.one_of(_passing, _statuses.filter(lambda task: not task.status.is_terminal)), min_size=1
    ),
    interval=_intervals,
    patience=st.floats(0, 300),
)
def test_without_an_end_a_wait_lasts_to_its_deadline_and_hardly_longer(
    looks: list[Task | ProviderError], interval: float, patience: float
) -> None:
    wait = TaskWait("t-1", interval, _START + patience)
    now = _START

    for number in range(100_000):
        decision = wait.after(looks[number % len(looks)], now=now)
        if isinstance(decision, GiveUp):
            break
        assert isinstance(decision, Wait)
        now += decision.seconds

    assert isinstance(decision, GiveUp)
    assert isinstance(decision.error, WaitTimeoutError)
    assert _START + patience <= now <= _START + patience + SHORTEST_WAIT_SECONDS + 1e-6


@_property
@given(before=st.lists(_passing, max_size=40), task=_statuses, interval=_intervals)
def test_a_task_that_has_ended_ends_the_wait_whatever_went_before(
    before: list[ProviderError], task: Task, interval: float
) -> None:
    wait = TaskWait("t-1", interval, None)
    for error in before:
        wait.after(error, now=_START)

    decision = wait.after(task, now=_START)

    ends = task.status.is_terminal and task.status is not TaskStatus.UNKNOWN
    assert decision == Ended(task) if ends else isinstance(decision, Wait)
