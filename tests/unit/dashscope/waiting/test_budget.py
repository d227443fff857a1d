"""How many requests are sent, and when, whatever the service says to them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.errors import ProviderError, TransportError, api_error
from airflow_provider_wanx.dashscope.waiting.budget import LIST_SHARE, TASK_SHARE, Budget

LIMIT = 20.0
LATENCY = 0.02


def _budget(limit: float = LIMIT) -> Budget:
    return Budget(limit=limit, share=TASK_SHARE)


def _refusal(retry_after: float | None = None) -> ProviderError:
    return api_error(
        code="Throttling.RateQuota", service_message="", http_status=429, retry_after=retry_after
    )


def _send(budget: Budget, *answers: object, at: float) -> float:
    """Send a request for each answer as soon as it may be, the first not before a moment; return when the last was answered."""
    for answer in answers:
        at = max(at, budget.next_at)
        budget.take(at)
        budget.answered(answer, sent_at=at, now=at + LATENCY)
        at += LATENCY
    return at


def _spend(budget: Budget, *, start: float, seconds: float, lateness: float = 0.0) -> list[float]:
    now, sent = start, []
    while (now := max(now, budget.next_at) + lateness) < start + seconds:
        budget.take(now)
        sent.append(now)
        budget.answered(object(), sent_at=now, now=now + LATENCY)
    return sent


@settings(max_examples=40, deadline=None)
@given(
    limit=st.sampled_from([0.5, 2.0, 20.0, 100.0]),
    pauses=st.lists(st.floats(0, 5), max_size=5),
    lateness=st.floats(0, 0.05),
)
def test_no_window_ever_holds_more_requests_than_its_share(
    limit: float, pauses: list[float], lateness: float
) -> None:
    budget, now, sent = _budget(limit), 0.0, []
    for pause in [*pauses, 0.0]:
        sent += _spend(budget, start=now, seconds=3.0, lateness=lateness)
        now += 3.0 + pause
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert min(gaps, default=1e9) >= 1 / (limit * TASK_SHARE) - 1e-9


def test_both_endpoints_leave_room_for_others() -> None:
    assert len(_spend(_budget(), start=0.0, seconds=60.0)) == pytest.approx(60 * LIMIT * TASK_SHARE, abs=2)
    assert TASK_SHARE <= 0.75
    assert LIST_SHARE <= 0.25


def test_a_refusal_slows_down_once_for_all_requests_that_were_on_their_way_together() -> None:
    budget = _budget()
    before = budget.rate
    for moment in (0.1, 0.11, 0.12):
        budget.answered(_refusal(), sent_at=moment - 0.1, now=moment)
    assert before * 0.5 < budget.rate < before * 0.8


@pytest.mark.parametrize("earlier", [False, True])
def test_nothing_is_sent_before_the_moment_that_the_service_asked_for(earlier: bool) -> None:
    budget = _budget()
    if earlier:
        budget.answered(_refusal(), sent_at=0.0, now=0.05)
    budget.answered(_refusal(15.0), sent_at=0.0, now=0.1)
    assert 15.1 <= budget.next_at <= 23


def test_a_time_that_would_stop_the_account_is_not_believed() -> None:
    budget = _budget()
    budget.answered(_refusal(300.0), sent_at=0.0, now=0.0)
    assert 20 <= budget.next_at <= 30


@pytest.mark.parametrize("trouble", [_refusal(), TransportError("x")], ids=["refused", "failed"])
def test_a_storm_is_met_with_single_probes_further_and_further_apart(trouble: ProviderError) -> None:
    budget, now = _budget(), 0.0
    probes: list[Any] = []
    while now < 120.0:
        now = _send(budget, trouble, at=now)
        probes.append(now)
        assert budget.at_once == 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
    assert len(probes) < 30
    assert gaps[-1] > 5 * gaps[0]
    assert max(gaps) < 8


def test_one_answer_ends_the_pauses_and_failures_do_not_lower_the_rate() -> None:
    budget = _budget()
    now = _send(budget, *[TransportError("x")] * 8, object(), at=0.0)
    assert budget.next_at < now + 0.2
    assert budget.at_once > 1
    assert budget.rate == LIMIT * TASK_SHARE


def test_a_permanent_error_is_an_answer() -> None:
    budget = _budget()
    error = api_error(code="AccessDenied", service_message="", http_status=403, retry_after=None)
    assert _send(budget, error, at=0.0) + 0.1 > budget.next_at
    assert budget.at_once > 1


def test_a_budget_recovers_once_refusals_are_over_and_never_falls_to_nothing() -> None:
    budget = _budget()
    now = _send(budget, *[_refusal()] * 30, at=0.0)
    low = budget.rate
    assert low >= LIMIT * 0.01
    _spend(budget, start=now, seconds=30.0)
    assert low < budget.rate < LIMIT * TASK_SHARE
    _spend(budget, start=now + 30, seconds=60.0)
    assert budget.rate == LIMIT * TASK_SHARE


@pytest.mark.parametrize("budgets", [2, 4])
def test_several_budgets_on_one_account_converge_below_its_limit(budgets: int) -> None:
    """Each sends whenever it may; the service keeps to its window of a second."""
    shared = [_budget() for _ in range(budgets)]
    window: list[float] = []
    refused, counts, now = 0, [0] * budgets, 0.0
    while now < 300.0:
        for number, budget in enumerate(shared):
            if budget.next_at > now:
                continue
            budget.take(now)
            window = [moment for moment in window if moment > now - 1]
            if len(window) >= LIMIT:
                refused += 1
                budget.answered(_refusal(), sent_at=now, now=now + 0.001)
            else:
                window.append(now)
                counts[number] += 1
                budget.answered(object(), sent_at=now, now=now + 0.001)
        now += 0.01
    assert refused < 0.04 * (refused + sum(counts))
    assert sum(counts) / 300.0 > LIMIT * 0.65
    assert min(counts) > max(counts) * 0.5


def test_fewer_requests_are_under_way_at_a_time_than_the_service_allows_in_a_second() -> None:
    assert 1 <= Budget(limit=0.5, share=TASK_SHARE).at_once < _budget().at_once <= LIMIT * 0.75


def test_each_failure_in_a_row_doubles_the_pause() -> None:
    budget = _budget()
    for pause in (0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        budget.answered(TransportError("x"), sent_at=0.0, now=100.0)
        assert budget.next_at <= 100 + 1.5 * pause
        assert budget.next_at >= 100 + pause
