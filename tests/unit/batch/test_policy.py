"""How many images are in flight, when a worker wakes, when a batch ends."""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_wanx.batch.ledger.stored import Totals
from airflow_provider_wanx.batch.policy import (
    LONGEST_WAIT_SECONDS,
    PAUSE_SECONDS,
    RESULTS_WITHIN_SECONDS,
    Ceiling,
    Pace,
    duration,
    most_in_flight,
    next_wait,
)
from airflow_provider_wanx.dashscope.errors import InvalidInputError


def ceiling(**limits: Any) -> Ceiling:
    return Ceiling.read(price=Decimal("0.12"), **{"max_failures": None, "max_cost": None, **limits})


def totals(billed: int = 0, **counts: int) -> Totals:
    return Totals(counts=Counter(counts), billed=billed)


class TestPace:
    def test_until_it_is_known_the_documented_time_counts(self) -> None:
        assert Pace().seconds_per_image == 15
        assert Pace(concurrency=5).seconds_per_image == 3
        assert Pace(((10.0, 0), (20.0, 0))).seconds_per_image == 15

    def test_it_is_measured_from_the_first_sample_to_the_last(self) -> None:
        assert Pace(((0.0, 0), (10.0, 9), (60.0, 30))).seconds_per_image == 2

    def test_a_clock_that_was_set_back_is_no_pace(self) -> None:
        assert Pace(((100.0, 0), (50.0, 10))).seconds_per_image == 15


class TestInFlight:
    @pytest.mark.parametrize(
        ("seconds", "queue_limit", "most"),
        [
            (15.0, None, 240),  # an hour's work
            (3.0, None, 500),  # the queue's length is not known
            (3.0, 1000, 500),  # half of the queue
            (3.0, 100, 50),
            (9000.0, 100, 1),
            (15.0, 1, 1),
        ],
    )
    def test_it_is_the_least_of_an_hour_and_half_the_queue(
        self, seconds: float, queue_limit: int | None, most: int
    ) -> None:
        pace = Pace(((0.0, 0), (10 * seconds, 10)))
        assert most_in_flight(pace, queue_limit=queue_limit) == most

    @pytest.mark.parametrize(
        ("in_flight", "more", "left"),
        [(240, True, 120), (1, True, 0), (240, False, 60), (9, False, 2), (3, False, 0), (1, False, 0)],
    )
    def test_a_worker_wakes_at_half_and_at_the_end_for_the_last_quarter(
        self, in_flight: int, more: bool, left: int
    ) -> None:
        ids = [str(number) for number in range(in_flight)]
        wait = next_wait(ids, more_to_submit=more)
        assert (wait.dashscope_task_ids, wait.wake_when_left) == (ids, left)
        assert RESULTS_WITHIN_SECONDS < wait.wake_at - time.time() <= LONGEST_WAIT_SECONDS

    def test_without_any_it_is_a_pause(self) -> None:
        wait = next_wait([], more_to_submit=True)
        assert wait.wake_when_left == 0
        assert 0 < wait.wake_at - time.time() <= PAUSE_SECONDS


class TestCeiling:
    @pytest.mark.parametrize(
        ("allowed", "failed", "is_over"),
        [
            (None, 100, False),
            (0, 0, False),
            (0, 1, True),
            (3, 3, False),
            ("3", 4, True),
            (0.05, 5, False),
            (0.05, 6, True),
            (" 0.05 ", 6, True),
            (1, 1, False),
            (1, 2, True),
            ("None", 100, False),
            ("", 100, False),
        ],
    )
    def test_failures_are_counted_or_a_share(self, allowed: Any, failed: int, is_over: bool) -> None:
        found = totals(failed=failed, succeeded=100 - failed)
        assert ceiling(max_failures=allowed).too_many_failures(found) is is_over

    @pytest.mark.parametrize(
        ("allowed", "counts", "is_over"),
        [
            ("not all", {"failed": 3}, True),
            (" Not all ", {"failed": 3, "duplicate": 2}, True),
            ("None", {"failed": 3}, True),
            ("not all", {"failed": 2, "succeeded": 1}, False),
            ("not all", {"failed": 3, "removed": 1}, True),
            ("not all", {}, False),
            (None, {"failed": 3}, False),
            (3, {"failed": 3}, False),
        ],
    )
    def test_all_may_not_fail_unless_that_is_allowed(
        self, allowed: Any, counts: dict[str, int], is_over: bool
    ) -> None:
        assert ceiling(max_failures=allowed).all_failed(totals(**counts)) is is_over

    @pytest.mark.parametrize(
        ("budget", "billed", "in_flight", "affords"),
        [
            (None, 10**6, 0, True),
            (0, 0, 0, False),
            ("1.2", 9, 0, True),
            (1.2, 10, 0, False),
            (1.2, 5, 4, True),
            (1.2, 5, 5, False),
            ("1.19", 9, 0, False),
        ],
    )
    def test_what_is_in_flight_counts_as_if_it_succeeded(
        self, budget: Any, billed: int, in_flight: int, affords: bool
    ) -> None:
        found = totals(billed=billed, submitted=in_flight // 2, intent=in_flight - in_flight // 2, planned=9)
        assert bool(ceiling(max_cost=budget).affordable(found, 1)) is affords

    @pytest.mark.parametrize(
        ("budget", "billed", "most", "count"),
        [
            (None, 10**6, 9, 9),
            ("0.36", 1, 9, 2),
            ("0.36", 1, 1, 1),
            ("0.47", 1, 9, 2),
            ("0.36", 5, 9, 0),
            ("0.1199999999999999999999999999999", 0, 9, 0),
            ("1e-999999", 0, 9, 0),
        ],
    )
    def test_the_budget_bounds_how_many_images_are_begun(
        self, budget: Any, billed: int, most: int, count: int
    ) -> None:
        assert ceiling(max_cost=budget).affordable(totals(billed=billed, planned=9), most) == count

    @pytest.mark.parametrize("name", ["max_failures", "max_cost"])
    @pytest.mark.parametrize("value", [-1, "-0.5", "5%", "many", "nan", "inf", "9e999999", 10**15])
    def test_what_is_no_number_is_told(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidInputError, match=rf"^{name} must be a number from 0 on, "):
            ceiling(**{name: value})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 h 0 min"), (89, "0 h 1 min"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"), (86_399, "1 d 0 h")],
)
def test_lengths_of_time_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
