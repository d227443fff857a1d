"""What an input becomes in the ledger."""

from __future__ import annotations

import re

import pytest

from airflow_provider_wanx.batch.input.rows import InvalidRow
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from tests.unit.batch.ledgers import World, add, images, submit


@pytest.fixture
def world() -> World:
    return World()


def image(name: str, style: int = 2, **columns: object) -> Row:
    return Row(image=name, style=style, columns=columns)


def test_an_image_that_is_wanted_twice_is_planned_once_and_both_rows_are_kept(world: World) -> None:
    ledger = world.acquired()
    assert add(ledger, [image("a"), image("b"), image("a", id=7), image("a", 4), image("a")]) == 5
    assert [(row.status, row.duplicate_of) for row in ledger.rows] == [
        (RowStatus.PLANNED, None),
        (RowStatus.PLANNED, None),
        (RowStatus.DUPLICATE, 0),
        (RowStatus.PLANNED, None),
        (RowStatus.DUPLICATE, 0),
    ]
    assert ledger.totals.open == 3


def test_the_same_input_again_adds_nothing_and_writes_no_row(world: World) -> None:
    rows = [image("a"), image("b"), image("a")]
    add(world.acquired(), rows)
    before = world.body("rows-000000.jsonl")
    assert add(world.acquired(), reversed(rows)) == 0
    assert world.body("rows-000000.jsonl") == before


def test_only_what_is_new_is_added_wherever_it_stands(world: World) -> None:
    ledger = world.acquired()
    add(ledger, [image("b"), image("d"), image("b")])
    submit(world, ledger, ledger.rows[0])
    again = world.acquired()
    assert add(again, [image("a"), image("b"), image("c"), image("b"), image("b"), image("d")]) == 3
    assert [(row.image, row.duplicate_of) for row in again.rows] == [
        ("b", None),
        ("d", None),
        ("b", 0),
        ("a", None),
        ("c", None),
        ("b", 0),
    ]
    assert again.rows[0].status is RowStatus.INTENT


def test_the_names_of_own_columns_are_those_of_the_last_input_in_their_order(world: World) -> None:
    add(world.acquired(), [image("a", id=1), image("b", team="x", id=2)])
    again = world.acquired()
    add(again, [image("a", id=1), image("c", age=3)])
    assert world.acquired().notes.columns == ["id", "age"]


@pytest.mark.parametrize(("count", "more"), [(12, "; and 2 more."), (1, ".")])
def test_bad_rows_refuse_the_whole_input_and_the_first_ten_are_quoted(
    world: World, count: int, more: str
) -> None:
    bad = [InvalidRow(f"line {number}", "image is empty") for number in range(1, count + 1)]
    ledger = world.acquired()
    with pytest.raises(InvalidInputError) as caught:
        add(ledger, [image("a"), *bad, image("b")])
    told = "; ".join(f"{each.place}: {each.reason}" for each in bad[:10])
    assert str(caught.value).startswith(f"{count} of {count + 2} rows cannot be repainted: {told}{more}")
    ledger.give_back()
    assert world.acquired().totals.rows == 0


def test_a_refused_input_does_not_keep_its_good_rows_for_the_corrected_one(world: World) -> None:
    ledger = world.planned(2)
    with pytest.raises(InvalidInputError):
        add(ledger, [*images(2), image("wrong"), InvalidRow("line 4", "no")])
    ledger.give_back()
    again = world.acquired()
    add(again, [*images(2), image("right")])
    assert [row.image for row in again.rows][2:] == ["right"]


@pytest.mark.parametrize(
    ("template", "rows", "row"),
    [
        ("{name}{extension}", [image("a/x.jpg"), image("b/x.jpg")], "1 (b/x.jpg)"),
        ("{name}{extension}", [image("x.jpg"), image("x.png")], "1 (x.png)"),
        ("{name}{extension}", [image("x.jpg", 2), image("x.jpg", 3)], "1 (x.jpg)"),
        ("{name}-{style}", [image("y?z.jpg"), image("y*z.jpg")], "1 (y*z.jpg)"),
    ],
)
def test_two_results_under_one_key_are_found_out_before_anything_is_submitted(
    world: World, template: str, rows: list[Row], row: str
) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(f"gives row {row} the key of another row")):
        add(world.acquired(), rows, template)


def test_a_key_of_an_earlier_run_is_not_given_again(world: World) -> None:
    template = "{name}{extension}"
    add(world.acquired(), [image("a/x.jpg")], template)
    assert add(world.acquired(), [image("a/x.jpg")], template) == 0
    with pytest.raises(InvalidInputError, match="the key of another row"):
        add(world.acquired(), [image("a/x.jpg"), image("b/x.jpg")], template)


@pytest.mark.parametrize("template", ["{name}-{row}", "{dashscope_task_id}", "{style_name}/"])
def test_keys_that_always_differ_are_not_compared(world: World, template: str) -> None:
    assert add(world.acquired(), [image("a/x.jpg"), image("b/x.jpg"), image("a/x.jpg")], template) == 3
