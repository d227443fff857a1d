"""What others read of a batch."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wanx.batch.policy import Ceiling, Pace
from airflow_provider_wanx.batch.report import (
    INDEX,
    status,
    summary,
    write_manifests,
)
from airflow_provider_wanx.batch.row import Row, RowStatus, money
from tests.unit.batch.ledgers import DESTINATION, World

PRICE = Decimal("0.12")


def row(number: int = 0, image: str = "a.jpg", **more: Any) -> Row:
    return Row(row=number, image=image, style=2, **more)


def written(
    tmp_path: Path, rows: list[dict[str, Any]], *formats: str, columns: tuple[str, ...] = ()
) -> dict[str, Path]:
    found = {}

    def upload(path: Path, name: str, content_type: str) -> None:
        assert content_type
        found[name] = tmp_path / name
        shutil.copy(path, tmp_path / name)

    write_manifests(iter(rows), formats, own_columns=columns, upload=upload)
    return found


def test_the_summary_counts_states_and_failures_with_few_examples() -> None:
    ledger = World().planned(40)
    for each in list(ledger.rows)[:30]:
        code = "Often" if each.row < 25 else "Seldom"
        ledger.update(each, status=RowStatus.FAILED, code=code, message="bad")
    ledger.update(ledger.rows[30], status=RowStatus.SUCCEEDED, billed=1, bytes=9)
    told = summary(ledger, Ceiling(price=PRICE), destination="s3://results/out/")
    assert (told["images"], told["planned"], told["failed"], told["succeeded"]) == (40, 9, 30, 1)
    assert (told["bytes"], told["billed"], told["cost"]) == (9, 1, 0.12)
    assert [(code, each["count"]) for code, each in told["failures"].items()] == [
        ("Often", 25),
        ("Seldom", 5),
    ]
    assert len(told["failures"]["Often"]["examples"]) == 10
    assert (told["submitted"], told["removed"]) == (0, 0)


def test_the_time_left_follows_from_the_pace() -> None:
    ledger = World().planned(10)
    pace = Pace(((0.0, 0), (100.0, 50)))
    told = status(ledger, Ceiling(price=PRICE), pace, destination=DESTINATION, state="running")
    assert (told["images_per_hour"], told["seconds_left"], told["in_flight"]) == (1800.0, 20, 0)


@pytest.mark.parametrize(("amount", "told"), [("0.12", 0.12), ("11999.999", 12000.0), ("0", 0.0)])
def test_money_is_told_to_the_cent(amount: str, told: float) -> None:
    assert money(Decimal(amount)) == told


def test_own_columns_stand_beside_what_the_batch_tells() -> None:
    made = row(columns={"id": 7}, status=RowStatus.FAILED, code="X", failed_tasks=2).in_manifest(
        bucket="b", price=PRICE
    )
    assert (made["id"], made["code"], made["attempts"], made["bucket"]) == (7, "X", 2, None)


def test_an_inlined_picture_is_not_repeated_in_the_manifest() -> None:
    image = f"data:image/png;base64,{'A' * 100_000}"
    made = row(image=image).in_manifest(bucket="b", price=PRICE)
    assert made["image"].startswith("data:image/png;base64,AAA")
    assert made["image"].endswith("… (100022 characters)")


def test_both_formats_hold_the_same_rows_also_beyond_one_group(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    count = 1_003
    rows = [
        row(number, columns={"id": str(number)}).in_manifest(bucket="b", price=PRICE)
        for number in range(count)
    ]
    found = written(tmp_path, rows, "jsonl", "parquet", columns=("id",))
    lines = found["manifest.jsonl"].read_text(encoding="utf-8").splitlines()
    table = pq.read_table(found["manifest.parquet"])
    assert (
        [json.loads(line)["id"] for line in lines]
        == table["id"].to_pylist()
        == [str(n) for n in range(count)]
    )
    assert table.num_rows == count


def test_an_index_tells_where_every_hundredth_row_begins(tmp_path: Path) -> None:
    rows = [
        row(number, image=f"蜡笔{number}.png").in_manifest(bucket="b", price=PRICE) for number in range(201)
    ]
    found = written(tmp_path, rows, "jsonl")
    body, index = found["manifest.jsonl"].read_bytes(), json.loads(found[INDEX].read_bytes())
    assert (index["rows"], index["step"], index["bytes"]) == (201, 100, len(body))
    begins = [json.loads(body[offset:].partition(b"\n")[0])["row"] for offset in index["offsets"]]
    assert begins == [0, 100, 200]
    assert INDEX not in written(tmp_path, rows, "parquet")


def test_own_columns_of_any_kind_are_text_in_parquet(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    rows = [
        row(number, columns=columns).in_manifest(bucket="b", price=PRICE)
        for number, columns in enumerate([{"x": 7}, {"x": "seven"}, {"x": ["七", None]}, {}])
    ]
    table = pq.read_table(written(tmp_path, rows, "parquet", columns=("x",))["manifest.parquet"])
    assert table["x"].to_pylist() == ["7", "seven", '["七", null]', None]
    assert str(table.schema.field("row").type) == "int64"
    assert str(table.schema.field("cost").type) == "double"


def test_a_manifest_without_rows_can_be_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    found = written(tmp_path, [], "jsonl", "parquet")
    assert found["manifest.jsonl"].read_bytes() == b""
    assert pq.read_table(found["manifest.parquet"]).num_rows == 0
