"""A ledger that somebody has written to who may write the bucket, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wanx.batch.ledger import segments
from airflow_provider_wanx.batch.ledger.ledger import LONGEST_LEASE_SECONDS
from airflow_provider_wanx.batch.ledger.stored import MAX_VALUES
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.batch.submissions import RowRecord
from airflow_provider_wanx.dashscope.errors import InvalidInputError, LedgerInUseError, UnreadableError
from tests.unit.batch.ledgers import NOW, OTHER, World, add, images, submit, work

PASSPORT = "s3://other_conn@corp-secrets/passport.png"

Json = dict[str, Any]


@pytest.fixture
def world() -> World:
    return World()


def change_index(world: World, change: Callable[[Json], object]) -> None:
    index = json.loads(world.body("index.json"))
    change(index)
    world.put("index.json", json.dumps(index).encode())


def change_lines(world: World, name: str, change: Callable[[list[Json]], object]) -> None:
    lines = [json.loads(line) for line in world.body(name).splitlines()]
    change(lines)
    lines[0]["lines"] = len(lines) - 1
    world.put(name, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def add_passport(world: World) -> None:
    """Append a row, with all that makes it look like the others."""

    def append(lines: list[Json]) -> None:
        lines.append({"row": len(lines) - 1, "image": PASSPORT, "style": 2})

    change_lines(world, "rows-000000.jsonl", append)
    change_index(
        world,
        lambda index: (
            index["segments"][0]["counts"].update(
                planned=index["segments"][0]["counts"].get("planned", 0) + 1
            ),
            index.update(etags=[]),
        ),
    )


class TestRows:
    """Rows that the input has never had."""

    def test_a_row_that_the_input_does_not_have_is_not_submitted(self, world: World) -> None:
        world.planned(3).give_back()
        add_passport(world)
        ledger = world.acquired()
        assert ledger.rows[3].image == PASSPORT
        add(ledger, images(3))
        assert [row.row for row in ledger.rows.in_states(RowStatus.PLANNED)] == [0, 1, 2]
        assert (ledger.totals.images, ledger.totals.open) == (3, 3)

    def test_what_such_a_row_has_at_the_service_is_settled_and_not_submitted_again(
        self, world: World
    ) -> None:
        ledger = world.planned(3)
        submit(world, ledger, ledger.rows[2])
        ledger.give_back()
        again = world.acquired()
        add(again, images(2))
        assert [row.row for row in again.rows.in_states(RowStatus.SUBMITTED)] == [2]
        again.update(again.rows[2], status=RowStatus.PLANNED, dashscope_task_id=None)
        assert [row.row for row in again.rows.in_states(RowStatus.PLANNED)] == [0, 1]

    def test_a_row_that_comes_back_is_wanted_again_and_what_was_done_is_not_done_again(
        self, world: World
    ) -> None:
        work(world, 3)
        ledger = world.acquired()
        add(ledger, images(1))
        assert (ledger.totals.images, ledger.totals.counts[RowStatus.REMOVED]) == (1, 2)
        assert ledger.totals.billed == 3
        ledger = world.acquired()
        assert add(ledger, images(3)) == 0
        assert ledger.totals.counts == {RowStatus.SUCCEEDED: 3}

    def test_a_picture_that_was_changed_in_a_planned_row_is_not_submitted(self, world: World) -> None:
        world.planned(2).give_back()
        change_lines(world, "rows-000000.jsonl", lambda lines: lines[2].update(image=PASSPORT))
        ledger = world.acquired()
        assert add(ledger, images(2)) == 1
        assert [row.image for row in ledger.rows.in_states(RowStatus.PLANNED)] == [
            "s3://people/0.jpg",
            "s3://people/1.jpg",
        ]


class TestLeftAs:
    """What a task believes of the ledger that it has left itself."""

    def test_a_ledger_that_nobody_has_touched_is_known_again_without_reading_what_is_done(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(segments, "SEGMENT_ROWS", 2)
        ledger = world.acquired()
        add(ledger, images(4))
        for row in list(ledger.rows.in_states(RowStatus.PLANNED))[:2]:
            ledger.update(row, status=RowStatus.SUCCEEDED, key="a.png", billed=1)
        ledger.compact()
        ledger.hold()
        world.s3.reads.clear()
        resumed = world.ledger()
        assert resumed.acquire(left_as=ledger.version)
        assert [row.row for row in resumed.rows.in_states(RowStatus.PLANNED)] == [2, 3]
        assert not any("rows-000000" in name for name in world.s3.reads)

    @pytest.mark.parametrize(
        "touch",
        [
            add_passport,
            lambda world: change_index(world, lambda index: index["notes"].update(ended=7)),
            lambda world: change_lines(world, "journal.jsonl", lambda lines: lines[0].update(expires=NOW)),
        ],
    )
    def test_one_that_somebody_has_touched_is_not(
        self, world: World, touch: Callable[[World], object]
    ) -> None:
        ledger = world.planned(3)
        ledger.hold()
        touch(world)
        assert not world.ledger().acquire(left_as=ledger.version)

    def test_rows_that_alone_were_changed_end_the_try(self, world: World) -> None:
        ledger = world.planned(3)
        ledger.hold()
        change_lines(world, "rows-000000.jsonl", lambda lines: lines[1].update(image=PASSPORT))
        resumed = world.ledger()
        assert resumed.acquire(left_as=ledger.version)
        with pytest.raises(LedgerInUseError, match=r"Somebody has changed .*rows-000000\.jsonl"):
            list(resumed.rows.in_states(RowStatus.PLANNED))
        again = world.acquired()
        add(again, images(3))
        assert {row.image for row in again.rows.in_states(RowStatus.PLANNED)} == {
            wish.image for wish in images(3)
        }


class TestNumbers:
    """Counts, costs and leases."""

    def test_what_was_billed_is_counted_from_the_rows(self, world: World) -> None:
        work(world, 3)
        change_index(world, lambda index: index["segments"][0].update(billed=0, counts={"succeeded": 3}))
        ledger = world.acquired()
        add(ledger, images(3))
        assert ledger.totals.billed == 3

    def test_a_result_counts_whatever_its_row_says(self, world: World) -> None:
        work(world, 3)
        change_lines(world, "rows-000000.jsonl", lambda lines: [line.pop("billed", 0) for line in lines])
        ledger = world.acquired()
        add(ledger, images(3))
        assert ledger.totals.billed == 3

    @pytest.mark.parametrize(
        "change",
        [
            lambda index: index["segments"][0].update(billed=-1_000_000),
            lambda index: index["segments"][0]["counts"].update(planned=-2),
            lambda index: index["segments"][0].update(bytes=float("nan")),
            lambda index: index["segments"][0]["counts"].update(painted=1),
            lambda index: index["notes"].update(pace=[["now", 1]]),
            lambda index: index["notes"].update(troubles=-5),
            lambda index: index.update(segments={}),
            lambda index: index.update(examples=[1]),
            lambda index: index.pop("identity"),
        ],
    )
    def test_sums_that_cannot_be_are_refused(self, world: World, change: Callable[[Json], object]) -> None:
        world.planned(3).give_back()
        change_index(world, change)
        with pytest.raises(UnreadableError, match="Nothing was submitted"):
            world.acquired()

    @pytest.mark.parametrize(
        "values",
        [
            {"billed": -1_000_000},
            {"billed": 1e300},
            {"style": "2"},
            {"row": True},
            {"columns": []},
            {"status": "submitted"},
            {"status": "intent"},
            {"status": "duplicate", "duplicate_of": 1},
            {"submit_time": -1.0},
            {"failed_tasks": -1},
            {"dashscope_task_id": ["x"]},
        ],
    )
    def test_rows_that_cannot_be_are_refused(self, world: World, values: Json) -> None:
        world.planned(3).give_back()
        change_lines(world, "rows-000000.jsonl", lambda lines: lines[1].update(values))
        with pytest.raises(UnreadableError, match="Nothing was submitted"):
            add(world.acquired(), images(3))

    def test_the_record_of_an_unconfirmed_submission_has_no_id(self, world: World) -> None:
        told = {"fingerprint": "f", "max_tries": 0, "time": NOW, "within": 60.0, "model": "m", "version": 1}
        submission = {"phase": "submitted", "dashscope_task_id": "somebody's", **told}
        row = Row(row=0, image="a.jpg", style=2, status=RowStatus.INTENT, submission=submission)
        with pytest.raises(UnreadableError, match="row 0 of the ledger"):
            RowRecord(world.planned(1), row, begin_sending=lambda row: None).read()

    def test_a_row_without_a_number_replaces_no_other(self, world: World) -> None:
        world.planned(3)
        line = {"image": PASSPORT, "style": 2, "revision": 99}
        change_lines(world, "journal.jsonl", lambda lines: lines.append(line))
        with pytest.raises(UnreadableError, match=r"journal\.jsonl cannot be read"):
            world.acquired()

    @pytest.mark.parametrize(
        "values",
        [
            {"expires": "soon"},
            {"expires": float("nan")},
            {"expires": 1e400},
            {"owner": "me"},
            {"owner": {"dag_id": "a"}},
            {"rows": -1},
            {"rows": "x"},
            {"token": 7},
        ],
    )
    def test_a_lease_that_cannot_be_is_refused(self, world: World, values: Json) -> None:
        world.planned(3)
        change_lines(world, "journal.jsonl", lambda lines: lines[0].update(values))
        with pytest.raises(UnreadableError, match=r"journal\.jsonl cannot be read"):
            world.acquired(OTHER)

    @pytest.mark.parametrize("ahead", [LONGEST_LEASE_SECONDS + 1, 1e11])
    def test_a_lease_that_nobody_here_would_take_is_not_believed(self, world: World, ahead: float) -> None:
        world.planned(3)
        change_lines(world, "journal.jsonl", lambda lines: lines[0].update(expires=NOW + ahead))
        assert world.acquired(OTHER).totals.rows == 3


class TestSize:
    """Objects that would take all memory."""

    @pytest.mark.parametrize("name", ["journal.jsonl", "index.json", "rows-000000.jsonl"])
    @pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"a":' * 100_000])
    def test_deep_nesting_is_refused(self, world: World, name: str, deep: bytes) -> None:
        world.planned(3).give_back()
        first, _, rest = world.body(name).partition(b"\n")
        world.put(name, first[:-1] + b',"x":' + deep + b"\n" + rest)
        with pytest.raises(UnreadableError):
            add(world.acquired(), images(3))

    def test_more_values_than_any_ledger_has_are_refused_before_they_are_read(self, world: World) -> None:
        world.planned(3).give_back()
        many = b"[" + b"[]," * MAX_VALUES + b"[]]"
        world.put("index.json", world.body("index.json")[:-2] + b',"x":' + many + b"}")
        with pytest.raises(UnreadableError, match="more than 400,000 values"):
            world.acquired()

    def test_what_could_not_be_read_again_is_not_written(self, world: World) -> None:
        ledger = world.acquired()
        with pytest.raises(InvalidInputError, match="has more than 400,000 values"):
            add(ledger, [Row(image="a.jpg", style=2, columns={"x": [0] * MAX_VALUES})])

    def test_half_a_character_in_the_services_words_does_not_spoil_the_ledger(self, world: World) -> None:
        ledger = world.planned(1)
        ledger.update(ledger.rows[0], status=RowStatus.FAILED, code="Bad\ud83d", message="no \udc00 face")
        ledger.compact()
        assert world.acquired().rows[0].message == "no ? face"
