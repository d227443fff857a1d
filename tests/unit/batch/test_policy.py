"""How many images are in flight, when a worker wakes, when a batch ends."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.batch.ledger.stored import Totals
from airflow_provider_wanx.batch.policy import (
    PACE_SAMPLES,
    Ceiling,
    Pace,
    Sample,
    duration,
    most_in_flight,
    wake_when_left,
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
        assert Pace((Sample(10.0, 0), Sample(20.0, 0))).seconds_per_image == 15

    def test_it_is_measured_over_the_last_wakes(self) -> None:
        pace = Pace()
        for number in range(PACE_SAMPLES + 5):
            # At first an image takes a minute, then two seconds.
            pace = pace.after(Sample(60.0 * number if number < 5 else 240 + 2.0 * (number - 4), number))
        assert len(pace.samples) == PACE_SAMPLES
        assert pace.seconds_per_image == 2

    def test_a_clock_that_was_set_back_is_no_pace(self) -> None:
        assert Pace((Sample(100.0, 0), Sample(50.0, 10))).seconds_per_image == 15


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
        pace = Pace((Sample(0.0, 0), Sample(10 * seconds, 10)))
        assert most_in_flight(pace, queue_limit=queue_limit) == most

    @pytest.mark.parametrize(
        ("in_flight", "more", "left"),
        [(240, True, 120), (1, True, 0), (240, False, 60), (9, False, 2), (3, False, 0), (1, False, 0)],
    )
    def test_a_worker_wakes_at_half_and_at_the_end_for_the_last_quarter(
        self, in_flight: int, more: bool, left: int
    ) -> None:
        assert wake_when_left(in_flight, more_to_submit=more) == left

    @given(in_flight=st.integers(1, 10_000), more=st.booleans())
    def test_something_has_always_ended_when_a_worker_wakes(self, in_flight: int, more: bool) -> None:
        assert 0 <= wake_when_left(in_flight, more_to_submit=more) < in_flight


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
        assert ceiling(max_cost=budget).affords_one_more(found) is affords

    @pytest.mark.parametrize("name", ["max_failures", "max_cost"])
    @pytest.mark.parametrize("value", [-1, "-0.5", "5%", "many", "nan", "inf"])
    def test_what_is_no_number_is_told(self, name: str, value: Any) -> None:
        with pytest.raises(InvalidInputError, match=rf"^{name} must be a number from 0 on, not"):
            ceiling(**{name: value})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 h 0 min"), (89, "0 h 1 min"), (3600, "1 h 0 min"), (90_000, "1 d 1 h"), (86_399, "1 d 0 h")],
)
def test_lengths_of_time_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
