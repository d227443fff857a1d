"""Submitting once across the tries of one task instance, whatever happens."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    LostAnswerError,
    ProviderError,
    RecordStoreError,
    UnconfirmedSubmissionError,
    UnreadableError,
)
from airflow_provider_wanx.dashscope.models import Submission
from airflow_provider_wanx.jobs.submitting import lost_submissions
from airflow_provider_wanx.jobs.submitting.lost_submissions import (
    LISTED_FOR_SECONDS,
    PAUSES_BEFORE_LOOKS_SECONDS,
)
from airflow_provider_wanx.jobs.submitting.submission_record import STATE_KEY, Phase
from airflow_provider_wanx.jobs.submitting.submitter import LATE_ACCEPTANCE_SECONDS, MAX_POSTS
from tests.unit.support import submission_world
from tests.unit.support.submission_world import MODEL, POSTS, TIMEOUT, KilledError, Plan, SubmissionWorld

LOST_BUT_ACCEPTED = [name for name, (accepted, error) in POSTS.items() if accepted and error]
PERHAPS_ACCEPTED = [*LOST_BUT_ACCEPTED, "request lost", "500"]


@pytest.fixture(params=["state", "bucket"])
def kept_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the record in every kind of store in turn."""
    monkeypatch.setattr(submission_world, "KEPT_IN", request.param)


@pytest.mark.usefixtures("kept_in")
class TestOneTry:
    """A try without mishaps, and with one."""

    def test_the_id_is_returned_and_kept(self) -> None:
        world = SubmissionWorld()
        task_id = world.run(Plan())
        assert world.accepted(1) == [task_id]
        record = world.record()
        assert record is not None
        assert (record.phase, record.dashscope_task_id) == (Phase.SUBMITTED, task_id)

    @pytest.mark.parametrize(
        ("workspace", "fingerprint"),
        [
            (None, "14ffb2829718c5c5c11d185483fb5f57b2521dd18f8698990eec25b74506fb8e"),
            ("ws-1", "fe5a184254bcb0c0c0b33d9d545841564f608f39e690e6f3d935e686e6e5ac49"),
        ],
    )
    def test_its_fingerprint_stays_the_same_from_release_to_release(
        self, workspace: str | None, fingerprint: str
    ) -> None:
        world = SubmissionWorld(workspace=workspace)
        world.run(Plan())
        record = world.record()
        assert record is not None
        assert record.fingerprint == fingerprint

    def test_what_is_sent_is_what_was_asked_for(self) -> None:
        world = SubmissionWorld()
        world.run(Plan())
        (call,) = world.calls
        assert call.url == "/services/a/b"
        assert call.json == {"model": MODEL, "input": {"picture": 0}, "parameters": {"n": 1}}

    @pytest.mark.parametrize("outcome", LOST_BUT_ACCEPTED)
    def test_a_task_whose_answer_was_lost_is_found(self, outcome: str) -> None:
        world = SubmissionWorld()
        assert world.run(Plan(posts=(outcome,))) == "id-0"
        assert world.accepted(1) == ["id-0"]

    @pytest.mark.parametrize("outcome", LOST_BUT_ACCEPTED)
    def test_it_is_found_though_the_list_lags_behind(self, outcome: str) -> None:
        world = SubmissionWorld(lag=sum(PAUSES_BEFORE_LOOKS_SECONDS) - 1)
        assert world.run(Plan(posts=(outcome,))) == "id-0"

    def test_it_is_found_however_long_the_answer_took_to_get_lost(self) -> None:
        world = SubmissionWorld()
        assert world.run(Plan(latency=600, posts=("answer lost",))) == "id-0"
        assert world.accepted(1) == ["id-0"]

    def test_it_is_found_though_the_service_accepted_it_after_the_time_of_the_request_was_over(self) -> None:
        world = SubmissionWorld()
        late = TIMEOUT + LATE_ACCEPTANCE_SECONDS - 1
        assert isinstance(world.run(Plan(killed_at=5, latency=2 * late)), KilledError)
        assert world.accepted(1) == ["id-0"]
        assert world.run(Plan(gap=300)) == "id-0"

    def test_it_is_found_though_the_submission_had_waited_long_for_its_turn(self) -> None:
        world = SubmissionWorld()
        original = world.post

        def post(before_sending: Callable[[], object]) -> Submission:
            world.now += 1800
            return original(before_sending)

        world.post = post  # type: ignore[method-assign]
        assert isinstance(world.run(Plan(killed_at=5)), KilledError)
        assert world.accepted(1) == ["id-0"]
        assert world.run(Plan()) == "id-0"
        assert len(world.ledger) == 1

    def test_a_task_that_is_found_is_believed_after_three_looks(self) -> None:
        world = SubmissionWorld()
        began = world.now
        world.run(Plan(gap=0, latency=0, posts=("answer lost",)))
        assert world.now - began == sum(PAUSES_BEFORE_LOOKS_SECONDS[:3])

    @pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
    @pytest.mark.parametrize("totals", [True, False])
    @pytest.mark.parametrize("page_cap", [1, 3, 100])
    @pytest.mark.parametrize("lag", [0.0, 9.0])
    def test_it_is_found_whatever_the_habits_of_the_list_are(
        self, order: str, totals: bool, page_cap: int, lag: float
    ) -> None:
        world = SubmissionWorld(order=order, totals=totals, page_cap=page_cap, lag=lag)
        world.others_submit(7)
        ended = world.run(Plan(gap=600, posts=("answer lost",)))
        assert world.accepted(1) == ["id-7"]
        if order == "shuffled" and not totals and page_cap < 8:
            # Nothing tells whether such a list was read whole: it may show the task, but never that there is none.
            assert ended == "id-7" or isinstance(ended, UnconfirmedSubmissionError)
        else:
            assert ended == "id-7"

    @pytest.mark.parametrize("outcome", ["request lost", "500"])
    def test_a_submission_that_was_not_accepted_is_made_again(self, outcome: str) -> None:
        world = SubmissionWorld()
        assert world.run(Plan(posts=(outcome,))) == "id-0"

    @pytest.mark.parametrize("outcome", ["refused", "throttled", "not sent"])
    def test_what_was_certainly_refused_is_told_and_leaves_no_record(self, outcome: str) -> None:
        world = SubmissionWorld()
        assert isinstance(world.run(Plan(posts=(outcome,))), ProviderError)
        assert (world.ledger, world.record()) == ([], None)

    def test_there_is_an_end_to_trying(self) -> None:
        world = SubmissionWorld()
        ended = world.run(Plan(posts=("request lost",) * 10))
        assert isinstance(ended, LostAnswerError)
        assert world._worker.posts == MAX_POSTS
        assert world.record() is None

    def test_a_list_that_cannot_be_read_stops_it_and_the_next_try_asks_again(self) -> None:
        world = SubmissionWorld()
        ended = world.run(Plan(posts=("answer lost",), lists=(False,) * len(PAUSES_BEFORE_LOOKS_SECONDS)))
        assert isinstance(ended, UnconfirmedSubmissionError)
        assert "the list cannot be read whole" in str(ended)
        assert world.run(Plan()) == "id-0"

    def test_a_list_that_can_be_read_at_last_is_enough(self) -> None:
        for looks in range(1, len(PAUSES_BEFORE_LOOKS_SECONDS)):
            assert SubmissionWorld().run(Plan(posts=("answer lost",), lists=(False,) * looks)) == "id-0"

    def test_so_old_an_intent_that_the_list_has_forgotten_it_stops_for_a_person(self) -> None:
        for killed_at in (4, 5):
            for gap in (LISTED_FOR_SECONDS + 60, RESULT_LIFETIME_SECONDS + 60, 10 * RESULT_LIFETIME_SECONDS):
                world = SubmissionWorld()
                world.run(Plan(killed_at=killed_at))
                assert world.record() is not None
                assert isinstance(world.run(Plan(gap=gap)), UnconfirmedSubmissionError)

    def test_an_unreadable_record_stops_it_before_anything_is_asked(self) -> None:
        world = SubmissionWorld()
        world.open_store().write(STATE_KEY, b'{"version": 7}', replacing=None)
        for why in ("retry", "clear", "change"):
            assert isinstance(world.run(Plan(why=why)), UnreadableError)
        assert (world._worker.posts, world._worker.lists) == (0, 0)
        assert world.open_store().read(STATE_KEY).body == b'{"version": 7}'


@pytest.mark.usefixtures("kept_in")
class TestSiblings:
    """Others who submit to the same model at the same time."""

    def test_a_sibling_that_publishes_its_id_a_moment_later_is_not_taken_for_ours(self) -> None:
        world = SubmissionWorld()
        (sibling,) = world.others_submit()
        original = world.sleep

        def sleep(seconds: float, /) -> None:
            if seconds:
                world.claimed.add(sibling)
            original(seconds)

        world.sleep = sleep  # type: ignore[method-assign]
        task_id = world.run(Plan(gap=1, posts=("request lost",)))
        assert task_id != sibling
        assert world.accepted(1) == [task_id]

    def test_two_that_could_be_ours_stop_it(self) -> None:
        world = SubmissionWorld()
        world.others_submit()
        ended = world.run(Plan(gap=1, posts=("answer lost",)))
        assert isinstance(ended, UnconfirmedSubmissionError)
        assert "2 task(s) of model" in str(ended)
        assert "other-0" in str(ended)

    def test_it_pays_twice_rather_than_stop_where_told_to(self) -> None:
        world = SubmissionWorld(on_unconfirmed="resubmit")
        world.others_submit()
        task_id = world.run(Plan(gap=1, posts=("answer lost",)))
        assert world.accepted(1)[-1] == task_id
        assert len(world.accepted(1)) == 2

    def test_many_pages_of_others_are_read(self) -> None:
        world = SubmissionWorld()
        world.others_submit(20)
        assert world.run(Plan(gap=600, posts=("answer lost",))) == "id-20"

    def test_a_list_with_more_pages_than_are_read_stops_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lost_submissions, "MAX_PAGES", 3)
        world = SubmissionWorld()
        world.others_submit(20)
        assert isinstance(world.run(Plan(gap=600, posts=("answer lost",))), UnconfirmedSubmissionError)

    @pytest.mark.parametrize("totals", [True, False])
    def test_a_list_that_always_shows_its_first_page_stops_it_soon(self, totals: bool) -> None:
        world = SubmissionWorld(totals=totals)
        world.others_submit(20)
        original = world.list
        world.list = lambda **query: original(**query | {"page_no": 1})  # type: ignore[method-assign]
        assert isinstance(world.run(Plan(gap=600, posts=("answer lost",))), UnconfirmedSubmissionError)
        assert world._worker.lists <= 8 * len(PAUSES_BEFORE_LOOKS_SECONDS)


@pytest.mark.usefixtures("kept_in")
class TestClears:
    """A user who wants it anew."""

    def test_a_clear_cancels_and_submits(self) -> None:
        world = SubmissionWorld()
        assert [world.run(Plan()), world.run(Plan(why="clear"))] == ["id-0", "id-1"]
        assert world.canceled == ["id-0"]

    def test_a_clear_of_a_task_whose_answer_was_lost_cancels_that_too(self) -> None:
        world = SubmissionWorld()
        assert isinstance(world.run(Plan(killed_at=5)), KilledError)
        assert world.accepted(1) == ["id-0"]
        assert world.run(Plan(why="clear")) == "id-1"
        assert world.canceled == ["id-0"]

    def test_a_clear_lets_an_unsettled_submission_go(self) -> None:
        world = SubmissionWorld()
        world.others_submit()
        assert isinstance(world.run(Plan(gap=1, posts=("answer lost",))), UnconfirmedSubmissionError)
        assert world.run(Plan(why="clear")) == "id-2"

    def test_a_clear_that_discards_the_record_submits_once_more_and_leaves_the_old_task_alone(self) -> None:
        world = SubmissionWorld()
        assert [world.run(Plan()), world.run(Plan(why="discard")), world.run(Plan())] == [
            "id-0",
            "id-1",
            "id-1",
        ]
        assert world.canceled == []

    @pytest.mark.parametrize("killed_at", range(1, 10))
    def test_so_it_does_when_the_worker_is_killed_after_the_clear(self, killed_at: int) -> None:
        world = SubmissionWorld()
        world.run(Plan())
        world.run(Plan(why="discard", gap=600, killed_at=killed_at))
        assert world.run(Plan()) == "id-1"
        assert len(world.ledger) == 2

    def test_and_when_an_unsettled_submission_was_discarded(self) -> None:
        world = SubmissionWorld()
        world.run(Plan(killed_at=5))
        assert world.run(Plan(why="discard")) == "id-1"

    def test_a_lost_answer_soon_after_it_stops_for_a_person_because_the_old_task_could_be_the_new_one(
        self,
    ) -> None:
        world = SubmissionWorld()
        world.run(Plan())
        ended = world.run(Plan(why="discard", gap=20, posts=("answer lost",)))
        assert isinstance(ended, UnconfirmedSubmissionError)
        assert "(id-1, id-0)" in str(ended)
        assert len(world.ledger) == 2

    def test_what_a_quick_clear_has_replaced_is_not_taken_for_the_new_submission(self) -> None:
        world = SubmissionWorld()
        world.run(Plan(latency=0.1))
        task_id = world.run(Plan(why="change", gap=1, latency=0.1, posts=("request lost",)))
        assert task_id != "id-0"
        assert world.accepted(2) == [task_id]

    def test_nor_is_it_when_the_worker_that_knew_is_killed(self) -> None:
        for killed_at in range(1, 20):
            world = SubmissionWorld()
            world.run(Plan(latency=0.1))
            world.run(Plan(why="change", gap=1, latency=0.1, posts=("request lost",), killed_at=killed_at))
            task_id = world.run(Plan(gap=1, latency=0.1))
            assert task_id != "id-0"

    def test_a_retry_without_input_goes_on_with_what_was_paid_for(self) -> None:
        world = SubmissionWorld()
        task_id = world.run(Plan())
        assert world.run(Plan(input_gone=True)) == task_id


class TestPlacesOfTheUsers:
    """What only a place that the user names can show."""

    def test_a_try_that_was_overtaken_while_it_waited_for_its_turn_submits_nothing(self) -> None:
        world = SubmissionWorld(kept_in="bucket")
        original = world.post

        def post(before_sending: Callable[[], object]) -> Submission:
            world.post = original  # type: ignore[method-assign]
            assert world.run(Plan()) == "id-0"
            return original(before_sending)

        world.post = post  # type: ignore[method-assign]
        overtaken = world.run(Plan())
        assert isinstance(overtaken, RecordStoreError)
        assert re.search(r"Another try.* Nothing was sent", str(overtaken))
        assert world.accepted(1) == ["id-0"]
        assert world.run(Plan()) == "id-0"

    @pytest.mark.parametrize("write", [0, 1])
    def test_a_write_that_fails_never_makes_a_second_submission(self, write: int) -> None:
        world = SubmissionWorld(kept_in="bucket")

        def fail(number: int) -> None:
            if number == write:
                raise OSError("out of order")

        world.bucket.before_write = fail
        if write == 0:
            failed = world.run(Plan())
            assert isinstance(failed, RecordStoreError)
            assert "out of order" in str(failed)
            assert world.ledger == []
        else:
            assert world.run(Plan()) == "id-0"
            assert "DashScope task id-0 could not be recorded" in world.warnings[0]
        assert world.run(Plan()) == "id-0"
        assert world.accepted(1) == ["id-0"]


def _unhurried(plan: Plan) -> Plan:
    """Let nobody discard a record within seconds: a task as new as that could be taken for its own successor."""
    return replace(plan, gap=max(plan.gap, 30.0)) if plan.why == "discard" else plan


plans = st.builds(
    Plan,
    why=st.sampled_from(["retry", "retry", "retry", "clear", "discard", "change"]),
    gap=st.sampled_from([0.5, 3.0, 30.0, 300.0, 4000.0, 90_000.0]) | st.floats(0.5, 8000),
    skew=st.floats(-2, 2),
    latency=st.sampled_from([0.1, 0.75, 5.0, 30.0]),
    posts=st.lists(st.sampled_from(list(POSTS)), max_size=4).map(tuple),
    lists=st.lists(st.sampled_from([True, True, False]), max_size=6).map(tuple),
    killed_at=st.none() | st.integers(1, 30),
    input_gone=st.sampled_from([False, False, False, True]),
).map(_unhurried)

worlds = st.fixed_dictionaries(
    {
        "lag": st.sampled_from([0.0, 0.0, 2.0, 8.0]),
        "offset": st.sampled_from([0.0, 0.4, -30.0, 3600.0]),
        "zone_error": st.sampled_from([0.0, 8 * 3600.0]),
        "kept_in": st.sampled_from(["state", "bucket"]),
    }
)

thorough = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def check_epoch(world: SubmissionWorld, plan: Plan) -> None:
    """Run a try, and check what must hold after every one, as long as nobody has chosen to pay twice."""
    ended = world.run(plan)
    event(type(ended).__name__)
    accepted = world.accepted(world.epoch)
    assert len(accepted) <= 1, f"paid {len(accepted)} times"
    # A try that cannot read its input cannot know that it has changed, and goes on with what was paid for.
    if isinstance(ended, str) and not plan.input_gone:
        assert accepted == [ended], "went on with a task that is not its own"
    if accepted:
        record = world.record()
        assert record is not None, "forgot what was paid for"
        assert record.dashscope_task_id in (None, accepted[0])


@thorough
@given(setting=worlds, tries=st.lists(plans, min_size=1, max_size=8))
def test_whatever_happens_one_submission_is_paid_once_and_never_forgotten(
    setting: dict[str, Any], tries: list[Plan]
) -> None:
    world = SubmissionWorld(**setting)
    for plan in tries:
        check_epoch(world, plan)
    clears = sum(plan.why != "retry" for plan in tries[1:])
    assert len(world.ledger) <= 1 + clears


@thorough
@given(
    setting=worlds, tries=st.lists(plans, min_size=1, max_size=6), others=st.lists(st.booleans(), max_size=6)
)
def test_other_peoples_submissions_do_not_change_that(
    setting: dict[str, Any], tries: list[Plan], others: list[bool]
) -> None:
    world = SubmissionWorld(**setting)
    for number, plan in enumerate(tries):
        if number < len(others) and others[number]:
            world.claimed.update(world.others_submit())
        check_epoch(world, plan)


@thorough
@given(
    setting=worlds,
    posts=st.lists(st.sampled_from(["accepted", *LOST_BUT_ACCEPTED]), min_size=1, max_size=4),
    others=st.lists(st.booleans(), max_size=6),
    gap=st.floats(0.5, 600),
)
def test_what_was_accepted_is_never_confused_with_what_strangers_submit_at_the_same_time(
    setting: dict[str, Any], posts: list[str], others: list[bool], gap: float
) -> None:
    world = SubmissionWorld(**setting)
    for number, outcome in enumerate(posts):
        if number < len(others) and others[number]:
            world.others_submit()
        check_epoch(world, Plan(gap=gap, posts=(outcome,)))


@thorough
@given(setting=worlds, tries=st.lists(plans, min_size=1, max_size=6))
def test_a_worker_that_is_left_alone_comes_to_an_end_that_says_what_is_paid(
    setting: dict[str, Any], tries: list[Plan]
) -> None:
    world = SubmissionWorld(**setting)
    for plan in tries:
        world.run(plan)
    ended = world.run(Plan(gap=300.0))
    check_epoch(world, Plan(gap=300.0))
    if isinstance(ended, str):
        assert world.returned[-1][1] == ended
    else:
        # Only what a person has to settle stays unsettled.
        assert isinstance(ended, UnconfirmedSubmissionError)
        assert isinstance(world.run(Plan(why="clear", gap=300.0)), str)


@thorough
@given(setting=worlds, tries=st.lists(plans, min_size=1, max_size=6))
def test_whoever_chooses_to_resubmit_pays_once_more_for_each_time_that_the_log_says_so(
    setting: dict[str, Any], tries: list[Plan]
) -> None:
    world = SubmissionWorld(**setting, on_unconfirmed="resubmit")
    for plan in tries:
        ended = world.run(plan)
        assert not isinstance(ended, UnconfirmedSubmissionError)
    clears = sum(plan.why != "retry" for plan in tries[1:])
    said = sum("Submitting again" in warning for warning in world.warnings)
    assert len(world.ledger) <= 1 + clears + said


@given(setting=worlds, killed_at=st.integers(1, 12), outcome=st.sampled_from(PERHAPS_ACCEPTED))
def test_killed_at_any_step_the_next_try_ends_with_one_paid_task(
    setting: dict[str, Any], killed_at: int, outcome: str
) -> None:
    world = SubmissionWorld(**setting)
    world.run(Plan(killed_at=killed_at, posts=(outcome,)))
    ended = world.run(Plan(gap=30.0))
    assert world.accepted(1) == [ended]


@pytest.mark.usefixtures("kept_in")
@pytest.mark.parametrize("outcome", POSTS)
def test_every_end_of_a_submission_is_followed_by_a_retry_that_pays_at_most_once(outcome: str) -> None:
    world = SubmissionWorld()
    ended = world.run(Plan(posts=(outcome,)))
    again = world.run(Plan())
    assert world.accepted(1) == [again]
    assert ended == again or isinstance(ended, ApiError | ProviderError)
