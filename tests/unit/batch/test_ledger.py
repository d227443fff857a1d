"""The ledger of a batch: nothing that was paid for is ever forgotten."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wanx.batch.ledger import ledger as ledgers
from airflow_provider_wanx.batch.ledger import segments
from airflow_provider_wanx.batch.ledger.ledger import LEASE_SECONDS, LONGEST_LEASE_SECONDS
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.errors import (
    InvalidInputError,
    LedgerInUseError,
    ProviderError,
    S3Error,
    UnconditionalStoreError,
    UnreadableError,
)
from tests.unit.batch.ledgers import OTHER, OWNER, World, add, check_nothing_forgotten, images, submit, work
from tests.unit.support.memory_s3 import KilledError, MemoryS3, conflict, precondition_failed

ROWS = 8


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few rows in an object, and so small a journal, that everything happens within some writes."""
    monkeypatch.setattr(segments, "SEGMENT_ROWS", 3)
    monkeypatch.setattr(ledgers, "JOURNAL_BYTES", 700)


def _writes_of_a_whole_batch() -> int:
    world = World()
    work(world, ROWS)
    return world.s3.writes


def _is_complete(world: World, rows: int = ROWS) -> bool:
    ledger = world.acquired()
    counted = ledger.totals
    assert +counted.counts == {"succeeded": rows}
    assert [row.row for row in ledger.rows] == list(range(rows))
    assert (counted.billed, counted.bytes) == (rows, 10 * rows)
    return world.accepted == dict.fromkeys(range(rows), 1)


@pytest.mark.usefixtures("small")
class TestKilled:
    """Processes that die, and what the next one reads."""

    @pytest.mark.parametrize("written", [False, True])
    def test_after_a_kill_at_any_write_the_next_process_submits_the_rest_and_nothing_twice(
        self, written: bool
    ) -> None:
        writes = _writes_of_a_whole_batch()
        assert writes > 25
        for at in range(writes):
            world = World()
            world.s3.die(at=at, written=written)
            with pytest.raises(KilledError):
                work(world, ROWS)
            world.s3.live()
            work(world, ROWS)
            assert _is_complete(world), at

    @pytest.mark.parametrize("written", [False, True])
    def test_processes_that_all_die_young_get_there_too(self, written: bool) -> None:
        for lifetime in range(12, 22):
            world = World()
            for _ in range(50):
                world.s3.die(at=lifetime, written=written)
                try:
                    work(world, ROWS)
                    break
                except KilledError:
                    world.s3.live()
            else:
                pytest.fail(f"With {lifetime} writes each, they never got there.")
            world.s3.live()
            assert _is_complete(world), lifetime

    @settings(deadline=None, max_examples=60)
    @given(
        deaths=st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=6),
        sizes=st.lists(st.integers(1, 5), min_size=7, max_size=7),
    )
    def test_whatever_dies_while_the_input_grows_nothing_is_submitted_twice(
        self, deaths: list[tuple[int, bool]], sizes: list[int]
    ) -> None:
        world, rows = World(), 0
        for (at, written), more in zip(deaths, sizes, strict=False):
            rows += more
            world.s3.die(at=at, written=written)
            try:
                work(world, rows)
            except KilledError:
                pass
            finally:
                world.s3.live()
        work(world, rows + sizes[-1])
        assert _is_complete(world, rows + sizes[-1])

    def test_rows_that_a_broken_off_plan_has_left_behind_are_planned_anew(self, world: World) -> None:
        add(world.acquired(), images(2))
        # It fills up the object of the first two, and writes one more.
        broken = world.acquired()
        for wish in images(5, start=10):
            broken.append(wish)
        assert b"10.jpg" in world.body("rows-000000.jsonl")
        ledger = world.acquired()
        assert ledger.totals.rows == 2
        add(ledger, images(9))
        assert [row.image for row in world.acquired().rows] == [wish.image for wish in images(9)]

    def test_a_journal_that_has_grown_is_emptied_into_the_rows(self, world: World) -> None:
        ledger = world.planned(ROWS)
        for row in ledger.rows.in_states(RowStatus.PLANNED):
            submit(world, ledger, row)
            assert len(world.body("journal.jsonl")) < 700 + 400
        check_nothing_forgotten(world, world.acquired())


def test_whoever_reads_the_sums_while_a_row_changes_sees_every_row_counted_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, change, seen = world.planned(3), segments.Segments.change, []

    def watched(self: segments.Segments, changes: Any) -> None:
        seen.append(dict(ledger.totals.counts))
        change(self, changes)
        seen.append(dict(ledger.totals.counts))

    monkeypatch.setattr(segments.Segments, "change", watched)
    ledger.update(ledger.rows[0], status=RowStatus.FAILED, code="X", message="x")
    assert seen == [{"planned": 3}] * 2
    assert +ledger.totals.counts == {"planned": 2, "failed": 1}


class TestOwners:
    """Two who want the same ledger."""

    def test_a_second_run_is_refused_with_the_owner_and_the_time_and_writes_nothing(
        self, world: World
    ) -> None:
        world.planned(3)
        before = dict(world.s3.objects)
        told = r"s3://results/out/_ledger/ belongs to task bulk of run monday of DAG portraits until 2026-09-21 14:23:20 UTC"
        with pytest.raises(LedgerInUseError, match=told):
            world.acquired(OTHER)
        assert world.s3.objects == before

    def test_another_iteration_of_a_loop_is_another_owner(self, world: World) -> None:
        first = replace(OWNER, region_id="0193", region_index=0)
        world.planned(3, first)
        with pytest.raises(LedgerInUseError, match="belongs to task bulk, iteration 0"):
            world.acquired(replace(first, region_index=1))
        world.acquired(first)

    def test_a_retry_takes_over_at_once_and_the_older_process_stops_before_its_next_submission(
        self, world: World
    ) -> None:
        older = world.planned(3)
        row = next(older.rows.in_states(RowStatus.PLANNED))
        world.acquired()
        with pytest.raises(LedgerInUseError, match=r"taken over.*so this one ends here"):
            submit(world, older, row)
        assert not world.accepted

    def test_what_the_older_process_has_submitted_is_with_the_newer_one(self, world: World) -> None:
        older = world.planned(3)
        first, second, _ = list(older.rows.in_states(RowStatus.PLANNED))
        submit(world, older, first)
        submit(world, older, second)
        newer = world.acquired()
        assert (newer.rows[0].status, newer.rows[0].dashscope_task_id) == (RowStatus.SUBMITTED, "task-0")
        assert (newer.rows[1].status, newer.rows[1].submission) == (RowStatus.INTENT, {"phase": "intent"})

    @pytest.mark.parametrize("owned_for", [LEASE_SECONDS, LONGEST_LEASE_SECONDS - LEASE_SECONDS / 2])
    def test_another_run_may_have_it_when_the_owner_has_not_renewed_it(
        self, world: World, owned_for: float
    ) -> None:
        older = world.planned(3)
        if owned_for != LEASE_SECONDS:
            older.hold()
        world.clock.now += owned_for - 1
        with pytest.raises(LedgerInUseError):
            world.acquired(OTHER)
        world.clock.now += 1
        world.acquired(OTHER)
        with pytest.raises(LedgerInUseError):
            older.hold()

    def test_it_is_renewed_in_time_and_not_more_often(self, world: World) -> None:
        ledger = world.planned(3)
        writes = world.s3.writes
        ledger.renew()
        assert world.s3.writes == writes
        world.clock.now += LEASE_SECONDS / 2 + 1
        ledger.renew()
        world.clock.now += LEASE_SECONDS - 1
        with pytest.raises(LedgerInUseError):
            world.acquired(OTHER)

    def test_what_was_given_back_is_anybodys(self, world: World) -> None:
        world.planned(3).compact(lease=0)
        world.acquired(OTHER).give_back()
        assert world.acquired().totals.rows == 3

    def test_two_that_take_it_at_the_same_moment_do_not_both_get_it(self, world: World) -> None:
        def take_it_first(number: int) -> None:
            world.s3.live()
            world.acquired(OTHER)

        world.s3.before_write = take_it_first
        with pytest.raises(LedgerInUseError):
            world.acquired()

    def test_whoever_only_reads_takes_nothing(self, world: World) -> None:
        submit(world, (owned := world.planned(3)), owned.rows[0])
        before = dict(world.s3.objects)
        reading = world.ledger(OTHER)
        reading.read()
        assert reading.rows[0].status is RowStatus.INTENT
        assert world.s3.objects == before


class TestStore:
    """What the store may do to a write."""

    def test_a_write_whose_answer_was_lost_is_recognized(self, world: World) -> None:
        ledger = world.planned(3)

        def repeated(number: int) -> None:
            # boto sends a write again whose answer it has not got; the store has it, and refuses the second.
            raise precondition_failed()

        world.s3.after_write = repeated
        for row in ledger.rows.in_states(RowStatus.PLANNED):
            submit(world, ledger, row)
        ledger.compact()
        world.s3.live()
        assert {row.status for row in world.acquired().rows} == {RowStatus.SUBMITTED}

    def test_two_requests_that_meet_are_no_other_owner(self, world: World) -> None:
        ledger = world.planned(3)
        met: list[int] = []

        def meet(number: int) -> None:
            if not met:
                met.append(number)
                raise conflict()

        world.s3.before_write = meet
        submit(world, ledger, ledger.rows[0])
        assert met
        check_nothing_forgotten(world, world.acquired())

    @pytest.mark.parametrize(
        ("ignored", "header"), [("IfNoneMatch", "If-None-Match"), ("IfMatch", "If-Match")]
    )
    def test_one_that_ignores_conditions_is_refused(self, ignored: str, header: str) -> None:
        world = World(s3=MemoryS3(ignores=(ignored,)))
        with pytest.raises(
            UnconditionalStoreError,
            match=rf"does not know conditional writes \({header}\).*Amazon S3 and MinIO",
        ):
            world.acquired()

    def test_an_error_of_the_store_leaves_the_ledger_with_its_owner(self, world: World) -> None:
        ledger = world.planned(3)

        def refuse(number: int) -> None:
            raise S3Error("Could not write.", retryable=True)

        world.s3.before_write = refuse
        with pytest.raises(S3Error):
            submit(world, ledger, ledger.rows[0])
        world.s3.live()
        assert not world.accepted
        check_nothing_forgotten(world, world.acquired())


def _newer(body: bytes) -> bytes:
    return body.replace(b'"version":1', b'"version":7').replace(b'"version": 1', b'"version": 7')


def _half(body: bytes) -> bytes:
    return body[: len(body) * 2 // 3]


def _foreign(body: bytes) -> bytes:
    return b"PK\x03\x04 no ledger \xff\n"


def _without_a_line(body: bytes) -> bytes:
    return body[: body[:-1].rindex(b"\n") + 1]


def _with_unknown_field(body: bytes) -> bytes:
    return body.replace(b'"row":0', b'"row":0,"colour":"blue"')


class TestDamaged:
    """Objects that somebody else has touched."""

    @pytest.mark.parametrize(
        ("name", "damage", "error", "told"),
        [
            ("journal.jsonl", _half, UnreadableError, r"journal\.jsonl cannot be read"),
            ("journal.jsonl", _foreign, UnreadableError, r"journal\.jsonl cannot be read"),
            ("journal.jsonl", _without_a_line, UnreadableError, "announces other than its 0 lines"),
            ("journal.jsonl", _newer, InvalidInputError, "has version 7 of the ledger.*knows version 1"),
            ("index.json", _half, UnreadableError, r"index\.json cannot be read"),
            ("index.json", _newer, InvalidInputError, "has version 7 of the ledger.*Install a later"),
            ("rows-000000.jsonl", _half, UnreadableError, r"rows-000000\.jsonl cannot be read"),
            (
                "rows-000000.jsonl",
                _without_a_line,
                UnreadableError,
                r"announces other than its 2 lines",
            ),
            ("rows-000000.jsonl", _newer, InvalidInputError, "has version 7 of the ledger"),
            ("rows-000000.jsonl", _with_unknown_field, UnreadableError, "colour"),
            ("rows-000000.jsonl", None, UnreadableError, r"rows-000000\.jsonl is missing or too old"),
            ("index.json", None, UnreadableError, r"index\.json is missing or too old"),
            ("journal.jsonl", None, UnreadableError, r"journal\.jsonl is missing or too old"),
        ],
    )
    def test_it_is_told_and_left_as_it_is(
        self,
        world: World,
        name: str,
        damage: Callable[[bytes], bytes] | None,
        error: type[ProviderError],
        told: str,
    ) -> None:
        ledger = world.planned(3)
        submit(world, ledger, ledger.rows[0])
        if damage is None:
            world.remove(name)
        else:
            world.put(name, damage(world.body(name)))
        before = dict(world.s3.objects)
        with pytest.raises(error, match=told) as caught:
            world.acquired()
        assert "Nothing was submitted" in str(caught.value)
        assert "choose another destination" in str(caught.value)
        before.pop("out/_ledger/journal.jsonl", None)
        assert {key: world.s3.objects[key] for key in before} == before

    def test_what_cannot_be_read_is_not_kept_from_others(self, world: World) -> None:
        ledger = world.planned(3)
        submit(world, ledger, ledger.rows[0])
        ledger.give_back()
        kept = world.body("rows-000000.jsonl")
        world.remove("rows-000000.jsonl")
        with pytest.raises(UnreadableError):
            world.acquired()
        world.put("rows-000000.jsonl", kept)
        assert world.acquired(OTHER).rows[0].status is RowStatus.SUBMITTED

    def test_a_deleted_index_is_missed_even_if_the_journal_is_empty(self, world: World) -> None:
        work(world, 3)
        world.remove("index.json")
        with pytest.raises(UnreadableError, match=r"index\.json is missing.*which images were paid for"):
            world.acquired()

    def test_done_rows_that_are_missing_are_told_before_anything_is_planned(self, world: World) -> None:
        work(world, 3)
        world.remove("rows-000000.jsonl")
        with pytest.raises(UnreadableError, match=r"rows-000000\.jsonl is missing"):
            add(world.acquired(), images(4))

    def test_another_batchs_is_told_with_what_differs(self, world: World) -> None:
        world.planned(3).compact(lease=0)
        before = dict(world.s3.objects)
        with pytest.raises(InvalidInputError, match=r"of another batch: styles was \[2\] and is \[4\]"):
            world.ledger(styles=[4]).acquire()
        assert world.s3.objects == before


class TestRows:
    """What is kept of a row, and for how long in memory."""

    def test_everything_comes_back_as_it_was(self, world: World) -> None:
        ledger = world.acquired()
        columns = {"id": 0, "name": "李雷\u2028\n", "tags": ["a", None], "blank": ""}
        ledger.append(Row(image="a.jpg", style=0, columns=columns))
        ledger.append(Row(image="a.jpg", style=0), duplicate_of=0)
        ledger.append(Row(image="b.jpg", style=-1, style_reference="c.jpg"))
        ledger.compact()
        ledger.update(
            ledger.rows[2], status=RowStatus.FAILED, code="", message="no reason", bytes=0, billed=2
        )
        ledger.flush()
        again = world.acquired()
        assert [again.rows[number] for number in range(3)] == [ledger.rows[number] for number in range(3)]
        assert again.rows[1].duplicate_of == 0
        assert dict(again.rows[0].columns) == columns
        assert again.totals == ledger.totals

    def test_examples_of_failures_are_few_and_hold_no_secret(self, world: World) -> None:
        ledger = world.acquired()
        for number in range(15):
            ledger.append(Row(image=f"https://example.com/{number}.jpg?Signature=abc", style=2))
        ledger.compact()
        for row in ledger.rows:
            ledger.update(row, status=RowStatus.FAILED, code="Bad", message="x" * 9000)
        ledger.compact()
        examples = world.acquired().examples["Bad"]
        assert [example.row for example in examples] == list(range(10))
        told = json.dumps([vars(example) for example in examples])
        assert "Signature" not in told
        assert len(told) < 10_000

    def test_planning_many_rows_keeps_one_object_of_them_in_memory(self, world: World) -> None:
        most = 0

        def counted() -> Iterator[Row]:
            nonlocal most
            for number, wish in enumerate(images(6000)):
                if number % 1499 == 0:
                    most = max(most, _rows_in_memory())
                yield wish

        # Else each count looks through all of Airflow.
        gc.collect()
        gc.freeze()
        ledger = world.acquired()
        assert add(ledger, counted()) == 6000
        assert 400 < most <= segments.SEGMENT_ROWS
        assert sum(1 for _ in ledger.rows) == 6000
        assert _rows_in_memory() <= segments.SEGMENT_ROWS

    def test_what_has_nothing_left_to_do_is_not_read_again(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(segments, "SEGMENT_ROWS", 3)
        work(world, 9)
        add(world.acquired(), images(12))
        world.s3.reads.clear()
        ledger = world.acquired()
        assert [row.row for row in ledger.rows.in_states(RowStatus.PLANNED)] == [9, 10, 11]
        assert ledger.totals.rows == 12
        assert [key for key in world.s3.reads if re.search("rows-", key)] == ["out/_ledger/rows-000003.jsonl"]

    def test_ids_are_told_apart_by_their_time(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(segments, "SEGMENT_ROWS", 2)
        ledger = world.planned(4)
        for row in list(ledger.rows.in_states(RowStatus.PLANNED)):
            ledger.update(
                row,
                status=RowStatus.SUCCEEDED,
                key=f"{row.row}.png",
                dashscope_task_id=f"task-{row.row}",
                submit_time=100.0 * (row.row // 2 + 1),
            )
        ledger.compact()
        assert world.acquired().rows.task_ids(since=0) == {"task-0", "task-1", "task-2", "task-3"}
        assert world.acquired().rows.task_ids(since=150) == {"task-2", "task-3"}


def _rows_in_memory() -> int:
    gc.collect()
    return sum(type(each) is Row for each in gc.get_objects())
