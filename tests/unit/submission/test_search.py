"""Finding the task of a lost answer in the service's list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.models import TaskRow, TaskStatus
from airflow_provider_wanx.submission.record import Phase, Record
from airflow_provider_wanx.submission.search import (
    CLOCK_MARGIN,
    QUIET_MARGIN,
    Found,
    NotAccepted,
    Unclear,
    find_submission,
)

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
        assert find(row("id-1", 1), row("id-2", 2), claimed={"id-2"}) == Found("id-1")
        assert find(row("id-2", 2), claimed={"id-2"}) == NotAccepted()

    @pytest.mark.parametrize("after", [-60, 180])
    def test_somebody_elses_task_nearby_makes_it_doubtful(self, after: float) -> None:
        assert find(row("id-1", 1), row("id-2", after)) == Unclear(("id-1", "id-2"))

    @pytest.mark.parametrize("after", [-70, 190])
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
