"""The record of a submission, and the decisions over it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.errors import UnreadableError
from airflow_provider_wanx.jobs.submitting.record_stores import TaskState
from airflow_provider_wanx.jobs.submitting.submission_record import (
    CHANGED,
    CLEARED,
    STATE_KEY,
    CancelThenFresh,
    Fresh,
    Phase,
    Reattach,
    Reconcile,
    Record,
    SubmissionRecord,
    decide,
    fingerprint,
    sent_between,
)
from tests.unit.support.airflow import StateStore

NOW = 1_800_000_000.0
MODEL = "wanx-style-repaint-v1"


def intent(**fields: Any) -> Record:
    return Record(
        **{
            "phase": Phase.INTENT,
            "fingerprint": "f",
            "max_tries": 2,
            "time": NOW,
            "within": 120.0,
            "model": MODEL,
            **fields,
        }
    )


def submitted(**fields: Any) -> Record:
    return intent(**{"phase": Phase.SUBMITTED, "dashscope_task_id": "id-1", **fields})


class TestDeciding:
    """What a try has to do before it may submit."""

    def test_without_a_record_it_submits(self) -> None:
        assert decide(None, fingerprint="f", max_tries=2) == Fresh()
        assert decide(None, fingerprint=None, max_tries=2) == Fresh()

    def test_a_retry_goes_on_with_the_task(self) -> None:
        assert decide(submitted(), fingerprint="f", max_tries=2) == Reattach("id-1")

    def test_a_retry_whose_input_cannot_be_read_any_more_goes_on_with_the_task(self) -> None:
        assert decide(submitted(), fingerprint=None, max_tries=2) == Reattach("id-1")

    def test_after_a_clear_the_task_is_canceled_and_another_submitted(self) -> None:
        assert decide(submitted(), fingerprint="f", max_tries=5) == CancelThenFresh("id-1", CLEARED)
        assert decide(submitted(), fingerprint=None, max_tries=5) == CancelThenFresh("id-1", CLEARED)

    def test_after_a_change_of_the_input_the_task_is_canceled_and_another_submitted(self) -> None:
        assert decide(submitted(), fingerprint="g", max_tries=2) == CancelThenFresh("id-1", CHANGED)

    def test_a_submission_without_an_answer_is_looked_for_and_taken(self) -> None:
        assert decide(intent(), fingerprint="f", max_tries=2) == Reconcile(intent(), adopt=True)
        assert decide(intent(), fingerprint=None, max_tries=2) == Reconcile(intent(), adopt=True)

    def test_a_submission_without_an_answer_that_is_not_wanted_any_more_is_looked_for_and_not_taken(
        self,
    ) -> None:
        assert decide(intent(), fingerprint="g", max_tries=2) == Reconcile(intent(), adopt=False)
        assert decide(intent(), fingerprint="f", max_tries=3) == Reconcile(intent(), adopt=False)

    @given(
        record=st.none() | st.builds(intent) | st.builds(submitted),
        same_input=st.sampled_from(["f", "g", None]),
        max_tries=st.integers(0, 5),
    )
    def test_only_without_a_record_is_a_submission_made_without_looking_at_what_there_is(
        self, record: Record | None, same_input: str | None, max_tries: int
    ) -> None:
        decision = decide(record, fingerprint=same_input, max_tries=max_tries)
        assert isinstance(decision, Fresh) == (record is None)
        if record is not None and record.phase is Phase.SUBMITTED:
            assert isinstance(decision, Reattach | CancelThenFresh)
            assert decision.dashscope_task_id == "id-1"


class TestStoring:
    """The stored form."""

    @pytest.mark.parametrize("record", [intent(), submitted(), intent(not_ours=("id-0", "id-9"))])
    def test_a_record_is_read_as_it_was_written(self, record: Record) -> None:
        assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record

    def test_the_stored_form_has_a_version_and_plain_values(self) -> None:
        assert submitted().to_json() == {
            "version": 1,
            "phase": "submitted",
            "fingerprint": "f",
            "max_tries": 2,
            "time": NOW,
            "within": 120.0,
            "model": MODEL,
            "dashscope_task_id": "id-1",
            "not_ours": [],
        }

    @pytest.mark.parametrize(
        "damage",
        [
            {"version": 2},
            {"version": None},
            {"phase": "paid"},
            {"phase": "intent"},
            {"dashscope_task_id": None},
            {"dashscope_task_id": 7},
            {"dashscope_task_id": ""},
            {"fingerprint": ""},
            {"fingerprint": None},
            {"model": 3},
            {"max_tries": "many"},
            {"time": "noon"},
            {"time": 1e300},
            {"time": float("nan")},
            {"within": float("inf")},
            {"not_ours": 7},
            {"not_ours": [7]},
        ],
    )
    def test_a_damaged_record_is_not_taken_for_none(self, damage: dict[str, Any]) -> None:
        store = StateStore()
        store.values[STATE_KEY] = {**submitted().to_json(), **damage}
        with pytest.raises(UnreadableError, match="it is not known whether a task was paid for"):
            SubmissionRecord(TaskState(store)).read()

    def test_an_intent_that_an_earlier_release_has_written_is_read(self) -> None:
        stored = {
            "version": 1,
            "phase": "intent",
            "fingerprint": "f",
            "max_tries": 2,
            "time": NOW,
            "within": 120.0,
            "model": MODEL,
            "dashscope_task_id": None,
            "not_ours": ["id-0"],
        }
        assert Record.from_json(stored) == intent(not_ours=("id-0",))

    def test_a_record_that_an_earlier_release_has_written_is_read(self) -> None:
        stored = submitted().to_json()
        del stored["not_ours"]
        assert Record.from_json(stored) == submitted()

    def test_the_message_about_a_damaged_record_says_where_it_is_and_what_to_do(self) -> None:
        store = StateStore()
        store.values[STATE_KEY] = "damaged"
        with pytest.raises(UnreadableError) as caught:
            SubmissionRecord(TaskState(store)).read()
        assert "(task state 'dashscope_submission') cannot be read by this version" in str(caught.value)
        assert "Delete it to submit anew, or install the version" in str(caught.value)

    def test_a_record_of_a_later_version_with_more_in_it_is_not_guessed_at(self) -> None:
        with pytest.raises(
            UnreadableError, match="install the version of airflow-provider-wanx that wrote it"
        ):
            Record.from_json({**submitted().to_json(), "version": 2, "results": []})

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(list(submitted().to_json())) | st.text(max_size=3), inner, max_size=9
                )
            ),
        )
        | st.fixed_dictionaries(
            {
                "version": st.just(1),
                "phase": st.sampled_from(["intent", "submitted"]),
                "fingerprint": st.text(max_size=3),
                "max_tries": st.integers() | st.floats() | st.text(max_size=2),
                "time": st.floats() | st.integers(),
                "within": st.floats() | st.integers(),
                "model": st.text(max_size=3),
                "dashscope_task_id": st.none() | st.text(max_size=3) | st.integers(),
            }
        )
    )
    def test_whatever_is_stored_is_either_a_record_that_can_be_worked_with_or_unreadable(
        self, value: object
    ) -> None:
        try:
            record = Record.from_json(value)
        except UnreadableError:
            return
        start, end = sent_between(record)
        assert start.tzinfo is not None
        assert end.tzinfo is not None
        decide(record, fingerprint="f", max_tries=1)
        assert (record.phase is Phase.SUBMITTED) == bool(record.dashscope_task_id)

    def test_it_is_written_read_and_forgotten(self) -> None:
        store = StateStore()
        record = SubmissionRecord(TaskState(store))
        assert record.is_kept
        assert record.read() is None
        record.write(submitted())
        assert SubmissionRecord(TaskState(store)).read() == submitted()
        record.forget()
        assert store.values == {}

    def test_without_a_store_nothing_is_kept(self) -> None:
        record = SubmissionRecord(None)
        record.write(submitted())
        record.forget()
        assert not record.is_kept
        assert record.read() is None


class TestFingerprint:
    """What makes two submissions the same."""

    def test_the_order_of_keys_does_not_matter(self) -> None:
        one = fingerprint(account="a", content={"x": 1, "y": {"p": 1, "q": 2}})
        assert one == fingerprint(account="a", content={"y": {"q": 2, "p": 1}, "x": 1})

    @pytest.mark.parametrize(
        ("account", "content"),
        [("b", {"x": 1}), ("a", {"x": 2}), ("a", {"x": "1"}), ("a", {"y": 1}), ("a", {"x": 1, "y": None})],
    )
    def test_everything_else_does(self, account: str, content: dict[str, Any]) -> None:
        assert fingerprint(account=account, content=content) != fingerprint(account="a", content={"x": 1})

    def test_it_stays_the_same_from_release_to_release_or_an_upgrade_would_pay_for_everything_once_more(
        self,
    ) -> None:
        content = {
            "service": "aigc/image-generation/generation",
            "model": MODEL,
            "input": {"image_url": "s3://人像/a.png", "style_index": 3, "day": date(2026, 11, 25)},
            "parameters": None,
        }
        assert (
            fingerprint(account="https://dashscope.aliyuncs.com ws-1", content=content)
            == "da4c343e2eecf2b549fe96caad0bd492973e4ffac8acca8ddbe0c4556cb41283"
        )

    def test_it_does_not_show_what_it_was_made_of(self) -> None:
        assert "portrait" not in fingerprint(account="a", content={"image_url": "portrait"})
