"""Finding the task of a lost answer in the service's list."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.models import TaskPage, TaskRow, TaskStatus
from airflow_provider_wanx.jobs.submitting.lost_submissions import (
    CLOCK_MARGIN,
    PAUSES_BEFORE_LOOKS_SECONDS,
    QUIET_MARGIN,
    READINGS_WITHOUT_NEWS,
    Found,
    NotAccepted,
    TaskSearch,
    Unclear,
    find_submission,
)
from airflow_provider_wanx.jobs.submitting.submission_record import Phase, Record

NOW = 1_800_000_000.0
MODEL = "wanx-style-repaint-v1"
INTENT = Record(phase=Phase.INTENT, fingerprint="f", max_tries=2, time=NOW, within=120.0, model=MODEL)


def row(task_id: str, after: float | None, *, model: str | None = MODEL) -> TaskRow:
    """A row of the task list, created so many seconds after the intent was written."""
    created = None if after is None else datetime.fromtimestamp(NOW + after, tz=UTC)
    return TaskRow(task_id=task_id, status=TaskStatus.PENDING, model_name=model, create_time=created)


def find(*rows: TaskRow, claimed: set[str] | None = None, offset: float = 0.0) -> object:
    """Search a list that was read two hours after the intent was written."""
    return find_submission(
        INTENT,
        rows,
        claimed=frozenset(claimed or ()),
        clock_offset=timedelta(seconds=offset),
        now=datetime.fromtimestamp(NOW + 7200, tz=UTC),
    )


class TestFinding:
    """The task of a lost answer in the task list."""

    @pytest.mark.parametrize("after", [-5, 0, 60, 120, 125])
    def test_the_only_task_of_the_time_is_it(self, after: float) -> None:
        assert find(row("id-1", after)) == Found("id-1")

    @pytest.mark.parametrize("after", [-3600, -6, 126, 3600])
    def test_a_task_of_another_time_is_not(self, after: float) -> None:
        assert find(row("id-1", after)) == NotAccepted()

    def test_an_empty_list_means_that_it_was_not_accepted(self) -> None:
        assert find() == NotAccepted()

    def test_of_two_either_may_be_it(self) -> None:
        assert find(row("id-1", 1), row("id-2", 2)) == Unclear(("id-1", "id-2"))

    def test_of_two_the_one_that_is_claimed_is_not_it(self) -> None:
        for rows in ([row("id-1", 1), row("id-2", 2)], [row("id-2", 2), row("id-1", 1)]):
            assert find(*rows, claimed={"id-2"}) == Found("id-1")
        assert find(row("id-2", 2), claimed={"id-2"}) == NotAccepted()

    @pytest.mark.parametrize("after", [-65, -60, 180, 185])
    def test_somebody_elses_task_nearby_makes_it_doubtful(self, after: float) -> None:
        assert find(row("id-1", 1), row("id-2", after)) == Unclear(("id-1", "id-2"))

    @pytest.mark.parametrize("after", [-70, -66, 186, 190])
    def test_somebody_elses_task_far_away_does_not(self, after: float) -> None:
        assert find(row("id-1", 1), row("id-2", after)) == Found("id-1")

    def test_a_task_of_another_model_is_not_it_wherever_the_list_shows_it(self) -> None:
        assert find(row("id-1", 1), row("id-2", 2, model="wanx-v1")) == Found("id-1")
        assert find(row("id-2", 2, model="wanx-v1")) == NotAccepted()

    def test_a_list_that_does_not_name_models_is_taken_as_asked_for(self) -> None:
        assert find(row("id-1", 1, model=None)) == Found("id-1")

    def test_a_task_without_a_time_may_be_it(self) -> None:
        assert find(row("id-1", None)) == Unclear(("id-1",))
        assert find(row("id-1", 1), row("id-2", None)) == Unclear(("id-1", "id-2"))

    def test_a_task_whose_time_is_yet_to_come_may_be_it(self) -> None:
        assert find(row("id-1", 8 * 3600)) == Unclear(("id-1",))
        assert find(row("id-2", 8 * 3600), claimed={"id-2"}) == NotAccepted()

    @pytest.mark.parametrize(
        ("after", "finding"), [(7203, NotAccepted()), (7205, NotAccepted()), (7206, Unclear(("id-1",)))]
    )
    def test_a_time_that_is_to_come_only_because_clocks_differ_a_little_is_believed(
        self, after: float, finding: object
    ) -> None:
        assert find(row("id-1", after)) == finding

    def test_a_task_without_a_time_that_is_somebody_elses_for_certain_makes_nothing_doubtful(self) -> None:
        assert find(row("id-2", None), claimed={"id-2"}) == NotAccepted()
        assert find(row("id-2", None, model="wanx-v1")) == NotAccepted()

    def test_the_services_clock_may_differ(self) -> None:
        assert find(row("id-1", 3600), offset=3600) == Found("id-1")
        assert find(row("id-1", 1), offset=3600) == NotAccepted()

    @given(
        after=st.floats(0, 120),
        offset=st.floats(-86_400, 86_400),
        skew=st.floats(-CLOCK_MARGIN.total_seconds() + 1, CLOCK_MARGIN.total_seconds() - 1),
        others=st.lists(st.floats(-86_400, 86_400), max_size=5),
    )
    def test_a_task_that_was_accepted_is_never_said_not_to_be(
        self, after: float, offset: float, skew: float, others: list[float]
    ) -> None:
        rows = [row("id-1", after + offset + skew)]
        rows += [row(f"other-{number}", each) for number, each in enumerate(others)]
        finding = find(*rows, offset=offset)
        assert isinstance(finding, Found | Unclear)
        if isinstance(finding, Found):
            assert finding.dashscope_task_id == "id-1"
        else:
            assert "id-1" in finding.candidates

    @given(others=st.lists(st.floats(-86_400, 86_400), max_size=4))
    def test_two_tasks_close_to_each_other_are_never_told_apart(self, others: list[float]) -> None:
        near = [each for each in others if abs(each) <= QUIET_MARGIN.total_seconds()]
        finding = find(row("id-1", 1), *(row(f"other-{n}", each) for n, each in enumerate(others)))
        if near:
            assert isinstance(finding, Unclear)


Reading = list[list[str]]
"""The ids that the pages of a list show while it is read once; further pages are empty."""

OURS, FOUND = "ours", Found("ours")


class Listing:
    """A hook whose list shows one reading after the other; the last one stays.

    :param total: how many rows the list says it has.
    :param wraps: whether it begins anew after its last page.
    """

    def __init__(self, *readings: Reading, total: int | None = None, wraps: bool = False) -> None:
        self._readings = list(readings)
        self._total = total
        self._wraps = wraps
        self._pages: Reading = []
        self.requests = 0

    def list_tasks(self, *, page_no: int, **filters: Any) -> TaskPage:
        self.requests += 1
        if page_no == 1:
            self._pages = self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]
        number = (page_no - 1) % len(self._pages) if self._wraps else page_no - 1
        ids = self._pages[number] if number < len(self._pages) else []
        rows = tuple(row(task_id, 1 if task_id == OURS else -3600) for task_id in ids)
        return TaskPage(tasks=rows, total=self._total, total_page=None, page_no=page_no, page_size=100)


class Clock:
    """A clock that a search moves."""

    now = NOW + 10

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


def search(listing: Listing) -> object:
    finder = TaskSearch(
        client=listing,  # type: ignore[arg-type]
        claimed=frozenset,
        log=logging.getLogger(__name__),
        clock=Clock(),
    )
    return finder.find(INTENT, not_ours=())


class TestReading:
    """When a list has been read whole, though its rows move while it is read."""

    def test_a_list_that_tells_no_time_is_taken_to_go_by_our_clock(self) -> None:
        assert search(Listing([["a", OURS]])) == FOUND

    def test_an_empty_list_is_asked_for_once_at_each_look(self) -> None:
        listing = Listing([[]])
        assert search(listing) == NotAccepted()
        assert listing.requests == len(PAUSES_BEFORE_LOOKS_SECONDS)

    def test_while_rows_come_twice_others_may_be_missed_so_nothing_counts_as_not_accepted(self) -> None:
        assert search(Listing([["a", "b"], ["b", "c"]])) == Unclear(())

    def test_it_is_read_again_from_its_first_page_until_no_row_comes_twice(self) -> None:
        listing = Listing([["a", "b"], ["b", "c"]], [[OURS, "a"], ["b", "c"]])
        assert search(listing) == FOUND
        # Two readings at the first look, and one at each of two more; the third page is the empty one.
        assert listing.requests == 4 * 3

    def test_a_list_that_begins_anew_after_its_end_has_been_read_when_all_its_rows_have_come(self) -> None:
        listing = Listing([["a"], ["b"], [OURS]], total=3, wraps=True)
        assert search(listing) == FOUND
        assert listing.requests == 3 * 4

    def test_it_is_read_on_as_long_as_every_reading_brings_something_new(self) -> None:
        slow = [[["a", "b"], ["a", f"new-{number}"]] for number in range(READINGS_WITHOUT_NEWS + 2)]
        listing = Listing(*slow, [["a", "b"], [OURS]])
        assert search(listing) == FOUND
        assert listing.requests == 3 * (len(slow) + 3)

    @pytest.mark.parametrize("progress", [0, 1])
    def test_it_is_given_up_when_readings_in_a_row_have_brought_nothing(self, progress: int) -> None:
        stuck: Reading = [["a", "b"], ["b"]]
        first = [[["a"], ["a", "c"]]] * progress
        almost = Listing(*first, *[stuck] * READINGS_WITHOUT_NEWS, [["a", "b"], [OURS]])
        assert search(almost) == FOUND

        listing = Listing(stuck)
        assert search(listing) == Unclear(())
        # At the first look one more reading, which has brought all there is.
        assert listing.requests == 2 * (1 + READINGS_WITHOUT_NEWS * len(PAUSES_BEFORE_LOOKS_SECONDS))
