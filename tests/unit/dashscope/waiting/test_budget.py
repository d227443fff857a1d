from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.waiting.budget import (
    FEWEST_AT_ONCE,
    GET_SHARES,
    LIST_SHARES,
    Budget,
)

LIMIT = 20.0
LATENCY = 0.02


def _budget(limit: float = LIMIT) -> Budget:
    return Budget(limit=limit, shares=GET_SHARES, now=0.0)


def _spend(budget: Budget, *, start: float, seconds: float, lateness: float = 0.0) -> list[float]:
    """Send as much as the budget allows, each request answered after LATENCY, and return the moments."""
    now, sent = start, []
    while (now := max(now, budget.next_at(now)) + lateness) < start + seconds:
        budget.take(now)
        sent.append(now)
        budget.answered(sent_at=now, now=now + LATENCY)
    return sent


def _tightest(moments: list[float], *, requests: int) -> float:
    """The shortest time between a request and the one that comes so many later."""
    pairs = zip(moments, moments[requests:], strict=False)
    return min((later - earlier for earlier, later in pairs), default=float("inf"))


@settings(max_examples=40, deadline=None)
@given(
    limit=st.sampled_from([0.5, 2.0, 20.0, 100.0]),
    pauses=st.lists(st.floats(0, 5), max_size=5),
    lateness=st.floats(0, 0.05),
)
def test_no_window_ever_holds_more_requests_than_the_service_allows(
    limit: float, pauses: list[float], lateness: float
) -> None:
    budget, now = _budget(limit), 0.0
    sent: list[float] = []
    for pause in [*pauses, 0.0]:
        sent += _spend(budget, start=now, seconds=3.0, lateness=lateness)
        now += 3.0 + pause

    allowed = max(1, int(limit))
    assert _tightest(sent, requests=allowed) > allowed / limit


def test_a_burst_is_faster_than_what_is_used_on_average() -> None:
    budget = _budget()

    burst = len(_spend(budget, start=0.0, seconds=2.0))
    long_run = len(_spend(budget, start=2.0, seconds=120.0))

    assert burst / 2.0 > LIMIT * 0.75
    assert LIMIT * 0.58 < long_run / 120.0 < LIMIT * 0.75


def test_both_endpoints_together_leave_room_for_others() -> None:
    assert GET_SHARES.usual + LIST_SHARES.usual <= 0.9
    assert GET_SHARES.usual <= 0.6


def test_a_refusal_slows_down_once_for_all_requests_that_were_on_their_way_together() -> None:
    budget = _budget()
    for moment in (0.0, 0.01, 0.02):
        budget.take(moment)
    before = budget.rate

    for moment in (0.1, 0.11, 0.12):
        budget.refused(sent_at=moment - 0.1, now=moment, retry_after=None)

    assert before * 0.5 < budget.rate < before * 0.8


def test_nothing_is_sent_before_the_moment_that_the_service_asked_for() -> None:
    budget = _budget()
    budget.take(0.0)
    budget.refused(sent_at=0.0, now=0.1, retry_after=15.0)

    assert budget.next_at(0.1) >= 15.1


def test_a_storm_of_refusals_is_met_with_single_probes_further_and_further_apart() -> None:
    budget, now, probes = _budget(), 0.0, []
    while now < 120.0:
        now = max(now, budget.next_at(now))
        budget.take(now)
        assert budget.next_at(now) == float("inf") or not probes
        probes.append(now)
        now += LATENCY
        budget.refused(sent_at=probes[-1], now=now, retry_after=None)

    gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
    assert len(probes) < 30
    assert gaps[-1] > 5 * gaps[0]
    assert budget.in_trouble


def test_a_budget_recovers_once_refusals_are_over() -> None:
    budget = _budget()
    for now in (0.0, 10.0, 30.0):
        budget.take(now)
        budget.refused(sent_at=now, now=now + 0.1, retry_after=None)
    low = budget.rate

    _spend(budget, start=60.0, seconds=60.0)
    assert budget.rate > low * 1.3
    assert not budget.in_trouble

    _spend(budget, start=120.0, seconds=300.0)
    assert budget.rate == pytest.approx(LIMIT * GET_SHARES.peak)


@pytest.mark.parametrize("budgets", [2, 4])
def test_several_budgets_on_one_account_converge_below_its_limit(budgets: int) -> None:
    """Each sends whenever it may; the service keeps to its window of a second."""
    shared = [_budget() for _ in range(budgets)]
    window: list[float] = []
    sent = refused = late_refused = late_sent = 0
    counts = [0] * budgets
    now = 0.0
    while now < 300.0:
        for number, budget in enumerate(shared):
            if budget.next_at(now) > now:
                continue
            budget.take(now)
            sent += 1
            window = [moment for moment in window if moment > now - 1]
            late_sent += now > 100
            if len(window) >= LIMIT:
                refused += 1
                late_refused += now > 100
                budget.refused(sent_at=now, now=now + 0.001, retry_after=None)
            else:
                window.append(now)
                counts[number] += 1
                budget.answered(sent_at=now, now=now + 0.001)
        now += 0.01

    assert refused / sent < 0.04
    assert late_refused / late_sent < 0.04
    assert (sent - refused) / 300.0 > LIMIT * 0.65
    assert min(counts) > max(counts) * 0.5


def test_few_requests_are_under_way_at_a_time_unless_answers_usually_take_long() -> None:
    budget = _budget()
    taken = 0
    now = 0.0
    while budget.next_at(now) < float("inf"):
        now = max(now, budget.next_at(now))
        budget.take(now)
        taken += 1
    assert taken == FEWEST_AT_ONCE

    for _ in range(taken):
        budget.drop()
    for _ in range(60):
        now = max(now, budget.next_at(now))
        budget.take(now)
        budget.answered(sent_at=now, now=now + 0.5)
    taken = 0
    while budget.next_at(now) < float("inf"):
        now = max(now, budget.next_at(now))
        budget.take(now)
        taken += 1
    assert taken > 2 * FEWEST_AT_ONCE


def test_failures_in_a_row_slow_down_and_one_answer_ends_that() -> None:
    budget, now = _budget(), 0.0
    for _ in range(8):
        now = max(now, budget.next_at(now))
        budget.take(now)
        budget.failed(now=now)
    assert budget.next_at(now) > now + 1.0

    now = budget.next_at(now)
    budget.take(now)
    budget.answered(sent_at=now, now=now)
    assert budget.next_at(now) < now + 0.2


def test_after_a_stall_of_the_process_nothing_is_made_up_for() -> None:
    budget = _budget()
    _spend(budget, start=0.0, seconds=2.0)

    budget.stalled(now=5.0, seconds=3.0)

    assert budget.next_at(5.0) >= 5.4
