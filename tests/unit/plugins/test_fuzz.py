"""Whatever is written into an XCom or a batch's objects, the gallery reads it or passes over it, and never breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.plugins.gallery_world import entry
from tests.unit.support.airflow_names import AIRFLOW
from tests.unit.support.mutations import Mutator

pytestmark = pytest.mark.needs_airflow("3.1", "the gallery")

if AIRFLOW >= (3, 1):
    from airflow_provider_wanx.plugins.gallery.entries import (
        Mark,
        Result,
        Status,
        _Index,
        results_of,
        rows_of,
    )
    from airflow_provider_wanx.plugins.gallery.pages import plain

MUTATIONS = 4000

_STATUS = {
    "state": "running",
    "updated_at": "2026-11-01T00:00:00+00:00",
    "owner": "task",
    "images": 9,
    "cost": 0.1,
    "failures": {"Code": {"count": 1, "examples": [{"row": 1, "image": "a", "message": "b"}]}},
}


def _text(model: Any) -> None:
    """Do what a page does with it."""
    plain(model).encode()
    model.model_dump_json()


def _mark(stored: bytes) -> None:
    if (mark := Mark.read(stored.decode(errors="surrogateescape"))) is not None:
        _text(mark)


def _results(found: list[Result | None]) -> None:
    for result in filter(None, found):
        _text(result)
        for text in (result.name, result.url, result.style_label, result.source):
            (text or "").encode()
        assert isinstance(result.is_picture, bool)
        assert isinstance(result.source_is_shown, bool)
        assert result.seconds is None or result.seconds >= 0


def _document(model: Any) -> Callable[[bytes], None]:
    def read(stored: bytes) -> None:
        try:
            found = model.model_validate_json(stored)
        except ValidationError:
            return
        _text(found)

    return read


@pytest.mark.parametrize(
    ("document", "read"),
    [
        (
            {
                "version": 1,
                "kind": "batch",
                "images": 3,
                "cost": 0.3,
                "rows": 4,
                "bucket": "b",
                "prefix": "p/",
            },
            "mark",
        ),
        ([entry(), entry("task-2")], "manifest"),
        ({**entry(), "image": "s3://b/k?sign=1", "status": "failed", "code": "C", "message": "m"}, "row"),
        (_STATUS, "status"),
        ({"rows": 230, "step": 100, "bytes": 9000, "offsets": [0, 3000, 6000]}, "index"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_mutation_of_what_is_read_raises_anything_else(document: Any, read: str) -> None:
    readers: dict[str, Callable[[bytes], None]] = {
        "mark": _mark,
        "manifest": lambda stored: _results(results_of(stored.decode(errors="surrogateescape")) or []),
        "row": lambda stored: _results(rows_of(stored.split(b"\n"))),
        "status": _document(Status),
        "index": _document(_Index),
    }
    sample, mutator = json.dumps(document).encode(), Mutator(len(read))
    readers[read](sample)
    for _ in range(MUTATIONS):
        readers[read](mutator.body(sample))
    for deep in (b"[" * 200_000, json.dumps("[" * 200_000).encode()):
        readers[read](deep)
