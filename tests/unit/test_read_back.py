"""Whatever was written to the places from which this package reads back, it answers with its own errors or not at all.

A hundred thousand mutations in all, the same ones in every run; ``READ_BACK_MUTATIONS`` sets another number.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_wanx.arguments import task_ids
from airflow_provider_wanx.batch.input import manifests
from airflow_provider_wanx.batch.input.rows import RowMaker
from airflow_provider_wanx.batch.ledger.stored import MAX_OBJECT_BYTES
from airflow_provider_wanx.batch.policy import Ceiling, Pace
from airflow_provider_wanx.batch.report import status
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.dashscope.errors import ObjectTooLargeError, ProviderError
from airflow_provider_wanx.dashscope.pacing.pace import PaceState
from airflow_provider_wanx.dashscope.store import Version
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE
from airflow_provider_wanx.jobs.submitting.record_stores import RecordStore
from airflow_provider_wanx.jobs.submitting.submission_record import (
    STATE_KEY,
    Phase,
    Record,
    SubmissionRecord,
    decide,
)
from airflow_provider_wanx.plugins.gallery import entries
from airflow_provider_wanx.plugins.gallery.entries import Mark, Result, results_of, rows_of
from airflow_provider_wanx.plugins.gallery.pages import plain
from airflow_provider_wanx.provenance import ids_of_earlier_iterations, published_provenance
from airflow_provider_wanx.s3.objects import MAX_SMALL_OBJECT_BYTES, ObjectStore
from tests.unit.batch.ledgers import DESTINATION, World, add, images, submit
from tests.unit.support.memory_s3 import MemoryS3
from tests.unit.support.mutations import Mutator

MUTATIONS = int(os.environ.get("READ_BACK_MUTATIONS", "100000"))

PRICE = Decimal("0.12")


class _Objects:
    """One object, whatever its name."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def url(self, name: str = "") -> str:
        return f"s3://records/{name}"

    def read(self, name: str) -> Version:
        return Version(self.body, "etag")

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        raise NotImplementedError

    def delete(self, name: str) -> None:
        raise NotImplementedError


_TASK = Identity(dag_id="portraits", run_id="monday", task_id="submit")
_RECORD = Record(
    phase=Phase.SUBMITTED,
    fingerprint="a" * 64,
    max_tries=2,
    time=1_790_000_000.0,
    within=90.0,
    model="wanx-style-repaint-v1",
    dashscope_task_id="86ecf553-d340-4e21-af6e-a0c6a421c010",
    not_ours=("b",),
)


def _read_record(body: bytes) -> None:
    record = SubmissionRecord(RecordStore(_Objects(body), _TASK)).read()
    decide(record, fingerprint="a" * 64, max_tries=2)


def _read_pace(body: bytes) -> None:
    state = PaceState.read(body)
    wait = state.reserve(rate=2.0, now=1_790_000_000.0, patience=60.0)
    state.refused(rate=2.0, now=1_790_000_000.0, retry_after=None)
    assert 0 <= wait <= 4000
    assert math.isfinite(json.loads(state.model_dump_json().encode())["next_at"])


def _ledger_world() -> World:
    world = World()
    ledger = world.planned(6)
    submit(world, ledger, ledger.rows[0])
    submit(world, ledger, ledger.rows[1])
    ledger.update(
        ledger.rows[0], status=RowStatus.SUCCEEDED, key="out/0.jpg", bytes=10, billed=1, end_time=1.8e9
    )
    ledger.update(ledger.rows[2], status=RowStatus.FAILED, code="InvalidURL", message="no")
    ledger.notes.pace = [(1.79e9, 0), (1.79e9 + 60, 4)]
    ledger.compact()
    submit(world, ledger, ledger.rows[3])
    return world


_WORLD = _ledger_world()


def _read_ledger(name: str) -> Callable[[bytes], None]:
    kept = dict(_WORLD.s3.objects)

    def read(body: bytes) -> None:
        world = World(clock=_WORLD.clock)
        world.s3.objects = {**kept, f"out/_ledger/{name}": body}
        ledger = world.acquired()
        add(ledger, images(6))
        # What may be submitted is the input, whatever the ledger says.
        wanted = {wish.image for wish in images(6)}
        assert {row.image for row in ledger.rows.in_states(RowStatus.PLANNED)} <= wanted
        assert ledger.totals.billed >= 0
        pace = Pace(ledger.notes.pace)
        told = status(ledger, Ceiling(price=PRICE), pace, destination=DESTINATION, state="running")
        rows = [row.in_manifest(bucket="b", price=PRICE) for row in ledger.rows]
        json.dumps([told, rows])

    return read


class _Bucket:
    """S3 with one object."""

    body = b""

    def get_object(self, **_: Any) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.body), "ETag": '"1"'}

    def download_fileobj(self, bucket: str, key: str, file: Any) -> None:
        file.write(self.body)

    def get_conn(self) -> _Bucket:
        return self


_BUCKET = _Bucket()


@pytest.fixture(autouse=True)
def manifests_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "s3_hook", lambda _: _BUCKET)


def _read_manifest(name: str) -> Callable[[bytes], None]:
    maker = RowMaker(styles=(2,), style_reference=None, rule=ANYWHERE)
    source = manifests.ManifestSource(url=f"s3://b/{name}", maker=maker, aws_conn_id=None)

    def read(body: bytes) -> None:
        _BUCKET.body = body
        for row in source:
            if isinstance(row, Row):
                json.dumps([row.image, row.columns, row.identity.hex()], allow_nan=False)

    return read


def _read_with(model: Any) -> Callable[[bytes], None]:
    def read(body: bytes) -> None:
        try:
            _show(model.model_validate_json(body))
        except ValidationError:
            # The gallery says then that it cannot read it.
            return

    return read


def _read_rows(body: bytes) -> None:
    for row in rows_of(body.split(b"\n")):
        if row is not None:
            _show(row)


def _show(found: Any) -> None:
    """Do what a page does with it."""
    plain(found).encode()
    found.model_dump_json()
    if isinstance(found, Result):
        for text in (found.url, found.name, found.style_label, found.source):
            (text or "").encode()
        assert isinstance(found.is_picture, bool)
        assert isinstance(found.source_is_shown, bool)
        assert all(each is None or each >= 0 for each in (found.cost, found.seconds))


def _read_mark(body: bytes) -> None:
    for stored in (body, _value(body)):
        if (mark := Mark.read(stored)) is not None:
            _show(mark)


def _read_results(body: bytes) -> None:
    for value in (body, _value(body)):
        for result in results_of(value) or ():
            if result is not None:
                _show(result)


def _read_xcom(body: bytes) -> None:
    value = _value(body)

    class Ti:
        map_index = -1

        def xcom_pull(self, **arguments: Any) -> Any:
            return [value] if isinstance(arguments["task_ids"], list) else value

    context: Any = {"ti": Ti()}
    if isinstance(value, list):
        task_ids(value)
    published_provenance(context, [_RECORD.dashscope_task_id or ""], submitters=["submit"])
    ids_of_earlier_iterations(context)


def _value(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace")


def _lines(*values: Any) -> bytes:
    return b"\n".join(json.dumps(value).encode() for value in values)


_RESULT = {
    "bucket": "b",
    "key": "out/0.jpg",
    "bytes": 10,
    "sha256": "f" * 64,
    "content_type": "image/jpeg",
    "dashscope_task_id": "id-0",
    "index": 0,
    "source": "https://example.com/a.jpg",
    "style": 2,
    "model": "wanx-style-repaint-v1",
    "written": True,
    "submit_time": "2026-11-30T12:00:00.000+00:00",
    "end_time": "2026-11-30T12:00:09.000+00:00",
    "cost": 0.12,
}
_TABLE: list[dict[str, Any]] = [
    {"image": "s3://b/a.jpg", "style": "anime", "style_reference": None, "who": "Ada, 'x'"},
    {"image": "https://x/b.jpg", "style": -1, "style_reference": "https://x/r.png", "who": {"id": [7]}},
]


def _csv() -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_TABLE[0]))
    writer.writeheader()
    writer.writerows(_TABLE)
    return text.getvalue().encode()


@dataclass(frozen=True)
class Place:
    """A place from which something is read back.

    :param sample: what may stand there.
    :param read: reads it.
    :param share: how many of the mutations it gets: few where a whole ledger is read for each.
    """

    sample: bytes
    read: Callable[[bytes], None]
    share: int = 4


PLACES = {
    "record": Place(json.dumps({**_TASK.to_json(), STATE_KEY: _RECORD.to_json()}).encode(), _read_record),
    "pace": Place(
        PaceState(next_at=1.79e9, paused_until=1.79e9 + 5, reach=4.0).model_dump_json().encode(), _read_pace
    ),
    **{
        f"ledger's {name}": Place(_WORLD.body(name), _read_ledger(name), share=1)
        for name in ("journal.jsonl", "index.json", "rows-000000.jsonl")
    },
    "manifest in JSONL": Place(_lines(*_TABLE), _read_manifest("m.jsonl")),
    "manifest in CSV": Place(_csv(), _read_manifest("m.csv")),
    "manifest in gzip": Place(gzip.compress(_csv(), mtime=0), _read_manifest("m.csv.gz")),
    "status": Place(
        _lines(
            status(
                _WORLD.acquired(),
                Ceiling(price=PRICE),
                Pace(),
                destination=DESTINATION,
                state="running",
            )
        ),
        _read_with(entries.Status),
    ),
    "manifest's index": Place(
        _lines({"rows": 250, "step": 100, "bytes": 9000, "offsets": [0, 3000, 6000]}),
        _read_with(entries._Index),
    ),
    "manifest of results": Place(
        _lines(*(row.in_manifest(bucket="b", price=PRICE) for row in _WORLD.acquired().rows)),
        _read_rows,
    ),
    "mark": Place(
        _lines(
            {
                "version": 1,
                "kind": "batch",
                "aws_conn_id": "aws_default",
                "bucket": "b",
                "prefix": "out/",
                "rows": 3,
                "images": 2,
                "cost": 0.24,
            }
        ),
        _read_mark,
    ),
    "XCom of a copy": Place(_lines([_RESULT, {**_RESULT, "index": 1}]), _read_results),
    "XCom of a submission": Place(
        _lines(
            {
                "dashscope_task_id": _RECORD.dashscope_task_id,
                "source": "s3://b/a.jpg",
                "style": 2,
                "model": "m",
            }
        ),
        _read_xcom,
    ),
    "XCom of ids": Place(_lines([_RECORD.dashscope_task_id, "id-1"]), _read_xcom),
}


@pytest.mark.parametrize("name", PLACES)
def test_what_belongs_there_is_read(name: str) -> None:
    PLACES[name].read(PLACES[name].sample)


@pytest.mark.parametrize("name", PLACES)
def test_what_somebody_has_left_there_ends_in_an_own_error_or_is_read(name: str) -> None:
    place, mutator = PLACES[name], Mutator(seed=len(name))
    refused = 0
    mutations = -(-MUTATIONS * place.share // sum(each.share for each in PLACES.values()))
    # Of those that are alike, which are half of them, one is read.
    for number, body in enumerate(dict.fromkeys(mutator.body(place.sample) for _ in range(mutations))):
        try:
            place.read(body)
        except ProviderError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name}: {body[:2000]!r}") from error
    assert refused or name not in ("record", "ledger's index.json", "manifest in CSV")


class _Endless(io.RawIOBase):
    """An object without end, and how much of it was read."""

    sent = 0

    def read(self, size: int = -1, /) -> bytes:
        self.sent += size
        return b"[" * size


class _EndlessStore(MemoryS3):
    """S3 in which one object has no end."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.stream = _Endless()
        self._key = key

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        if Key == self._key:
            return {"Body": self.stream, "ETag": '"1"'}
        return super().get_object(Bucket=Bucket, Key=Key)


@pytest.mark.parametrize("name", ["journal.jsonl", "index.json", "rows-000000.jsonl"])
def test_an_endless_object_of_a_ledger_is_read_no_further_than_the_largest_that_is_written(name: str) -> None:
    store = _EndlessStore(f"out/_ledger/{name}")
    store.objects = dict(_WORLD.s3.objects)
    world = World(s3=store, clock=_WORLD.clock)
    with pytest.raises(ObjectTooLargeError):
        add(world.acquired(), images(6))
    assert store.stream.sent <= MAX_OBJECT_BYTES + 1


def test_an_endless_record_is_read_no_further_than_the_largest_that_is_written() -> None:
    store = _EndlessStore("records/x")
    objects = ObjectStore(store, bucket="b", prefix="records/")
    with pytest.raises(ObjectTooLargeError):
        objects.read("x")
    assert store.stream.sent <= MAX_SMALL_OBJECT_BYTES + 1
