"""What a volume of images needs: tables for the deployment guide, reckoned from ``docs/performance.json``.

A figure that is measured anew changes the tables with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from airflow_provider_wanx.batch.policy import SECONDS_PER_IMAGE
from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT_SECONDS
from airflow_provider_wanx.dashscope.repaint import REPAINT_PRICE

DAY = 86_400

VOLUMES = {"1×": 100, "10×": 1_000, "100×": 10_000, "1,000×": 100_000}
"""Images a day."""

FAST, SLOW = 8.0, SECONDS_PER_IMAGE
"""Seconds for which the service works on an image: as others have recorded, and as the model's page says."""

ACCEPTANCE = 0.75
"""Seconds that the live service takes to accept a submission, as others have recorded. The local DashScope takes none."""

POOL = 500
"""Slots of the pool in the guide: what may wait at the service for one account."""

SHAPES = {"mapped": "submit, wait and copy, mapped", "bulk": "one bulk task"}
"""Benchmarked DAG → what the guide calls it."""


@cache
def _rows() -> tuple[Mapping[str, Any], ...]:
    figures = Path(__file__).parents[1] / "performance.json"
    return tuple(json.loads(figures.read_text(encoding="utf-8")))


def _row(**wanted: Any) -> Mapping[str, Any]:
    (row,) = (row for row in _rows() if all(row.get(name) == value for name, value in wanted.items()))
    return row


def _shape(name: str) -> Mapping[str, Any]:
    return _row(bench="bulk", client=name)


def _sum(row: Mapping[str, Any], start: str) -> float:
    """Requests for one image to everything whose name begins so."""
    return sum(value for name, value in row.items() if name.startswith(start) and name.endswith(" per image"))


def _worker_seconds(shape: str) -> float:
    return float(_shape(shape)["worker_seconds_per_image"]) + ACCEPTANCE


def accounts() -> Sequence[Sequence[str]]:
    """Return what the service's work comes to: one image at a time for each account."""
    rows = [("", "Images a day", "The service works", "Accounts", "Price")]
    for factor, images in VOLUMES.items():
        hours = [images * seconds / 3600 for seconds in (FAST, SLOW)]
        wanted = [ceil(images * seconds / DAY) for seconds in (FAST, SLOW)]
        rows.append(
            (
                factor,
                f"{images:,}",
                f"{hours[0]:,.1f} to {hours[1]:,.1f} h",
                "1" if wanted == [1, 1] else f"{wanted[0]} to {wanted[1]}",
                f"{images * REPAINT_PRICE:,.0f} CNY a day",
            )
        )
    return rows


def shapes() -> Sequence[Sequence[str]]:
    """Return what one image costs in each shape of a DAG."""
    alone = _row(bench="airflow", client="example DAG: worker seconds an image")["value"]
    rows = [("For each image", *SHAPES.values())]
    rows += [
        (
            "worker seconds, measured",
            *(
                f"{_shape(shape)['worker_seconds_per_image']:.2f}"
                + (f" ({alone:.1f} if nothing else runs)" if shape == "mapped" else "")
                for shape in SHAPES
            ),
        ),
        ("worker seconds with the live service", *(f"{_worker_seconds(shape):.2f}" for shape in SHAPES)),
        ("Airflow task instances", "3", "none of its own"),
    ]
    for title, start in (
        ("requests to S3", "S3 "),
        ("of them reading", "S3 GET"),
        ("of them writing", "S3 PUT"),
    ):
        rows.append((title, *(f"{_sum(_shape(shape), start):.2f}" for shape in SHAPES)))
    return rows


def load() -> Sequence[Sequence[str]]:
    """Return what each volume asks of Airflow and S3, in each shape of a DAG."""
    rows = [
        (
            "",
            "Shape",
            "Workers busy, on average",
            "Task instances a day",
            "Triggers at a time, at most",
            "Requests to S3 a day",
        )
    ]
    for factor, images in VOLUMES.items():
        most = ceil(images * SLOW / DAY)
        for shape, title in SHAPES.items():
            triggers = min(images, most * POOL) if shape == "mapped" else most
            row = _shape(shape)
            rows.append(
                (
                    factor,
                    title,
                    f"{images * _worker_seconds(shape) / DAY:.2f}",
                    f"{3 * images:,}" if shape == "mapped" else f"{most:,}",
                    f"{triggers:,}",
                    f"{images * _sum(row, 'S3 '):,.0f}",
                )
            )
    return rows


def triggerer() -> Sequence[Sequence[str]]:
    """Return what a triggerer needs for its waits."""
    measured = [
        row for row in _rows() if row["bench"] == "growth" and row["client"] == "provider" and row["n"] >= 100
    ]
    return [
        (
            "Waits",
            "Memory for each",
            "Memory for all",
            "Of one core",
            "Looks at a task a second",
            "Task lists a second",
        ),
        *(
            (
                f"{row['n']:,}",
                f"{row['kilobytes_per_wait']:.1f} kB",
                f"{row['n'] * row['kilobytes_per_wait'] / 1000:.0f} MB",
                f"{100 * row['cpu_share']:.0f} %",
                f"{row['gets_per_second']:.1f}",
                f"{row['lists_per_second']:.1f}",
            )
            for row in measured
        ),
    ]


def queue() -> Sequence[Sequence[str]]:
    """Return how long an account's queue may be."""
    return [
        ("Seconds an image", "Images an hour", "Images that fit into three hours"),
        *(
            (f"{seconds:.0f}", f"{3600 / seconds:.0f}", f"{QUEUE_TIMEOUT_SECONDS / seconds:,.0f}")
            for seconds in (FAST, SLOW)
        ),
    ]


TABLES = (accounts, shapes, load, triggerer, queue)
"""Tables of the guide; the first row of each is its head."""
