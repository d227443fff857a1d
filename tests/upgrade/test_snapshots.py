"""What earlier versions have left goes on under this one, ends well, and nothing is submitted a second time."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException

from airflow_provider_wanx import __version__
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.gallery_marks import MARK
from airflow_provider_wanx.jobs.copying.result_metadata import AIRFLOW_TASK, ownership
from airflow_provider_wanx.jobs.submitting.submission_record import STATE_KEY, Record
from airflow_provider_wanx.links.dashscope import S3ObjectLink, StoredLink
from airflow_provider_wanx.plugins.gallery import entries, owned_objects
from airflow_provider_wanx.plugins.gallery.entries import Mark, results_of
from airflow_provider_wanx.plugins.gallery.owned_objects import Reader
from airflow_provider_wanx.triggers.batch import DashScopeBatchTrigger
from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger
from tests.stack import ROOT
from tests.upgrade.scenes import SCENES
from tests.upgrade.snapshot import WRITTEN, Snapshot
from tests.upgrade.world import World

RUN = "manual__2026-11-23T10:00:00\\+00:00"
VERSIONS = sorted(folder.name for folder in WRITTEN.iterdir())
FOLDERS = sorted(path.parent for path in WRITTEN.glob("*/*/airflow.json"))


def _name(folder: Path) -> str:
    return "-".join(folder.parts[-2:])


@pytest.mark.parametrize("folder", FOLDERS, ids=_name)
def test_it_ends_as_the_version_promised_that_wrote_it(folder: Path, world: World) -> None:
    snapshot = Snapshot.load(folder)
    expected = snapshot.expected
    with world.restored(snapshot):
        returned = world.go_on(snapshot)
        tasks = world.simulator.ledger()["tasks"]
    assert len(tasks) == expected["accepted"]
    assert sum(task["status"] == "CANCELED" for task in tasks) == expected["canceled"]
    assert (
        _agrees(returned, expected["returns"]) if "returns" in expected else returned == tasks[-1]["task_id"]
    )
    keys = world.bucket.keys()
    assert [key for key in keys if key.endswith(".jpg")] == sorted(expected["results"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ledger_stays_the_waiting_tasks_own(version: str, world: World) -> None:
    snapshot = replace(Snapshot.load(WRITTEN / version / "batch_waits"), then="next run")
    with world.restored(snapshot):
        with pytest.raises(AirflowException, match=f"belongs to task bulk of run {RUN}"):
            world.go_on(snapshot)
        assert len(world.simulator.ledger()["tasks"]) == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_the_gallery_shows_a_batch_of_then_after_its_next_run(version: str, world: World) -> None:
    snapshot = Snapshot.load(WRITTEN / version / "batch_is_done")
    for cache in (owned_objects._clients, entries._bodies):
        cache.clear()
    mark = Mark.read(snapshot.xcoms["bulk"][MARK])
    assert mark is not None
    said = ownership(Identity(dag_id="dag", run_id=snapshot.run_id, task_id="bulk"))
    reader = Reader(None, frozenset({(AIRFLOW_TASK, said[AIRFLOW_TASK])}))
    with world.restored(snapshot):
        world.go_on(snapshot)
        status, rows = (
            entries.read_status(reader, mark),
            entries.read_rows(reader, mark, start=0, count=100),
        )
        assert entries.count_rows(reader, mark) == 3
    assert (status.state, status.images, status.succeeded, status.duplicate) == ("finished", 3, 2, 1)
    shown = [(row.key or "").rpartition("/")[2] if row else None for row in rows]
    assert shown == ["ann-000000.jpg", "bob-000001.jpg", ""]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_gallery_shows_a_copy_of_then(version: str) -> None:
    snapshot = Snapshot.load(WRITTEN / version / "copy_is_done")
    xcoms = snapshot.xcoms["copy"]
    mark, results = Mark.read(xcoms[MARK]), results_of(xcoms["return_value"])
    assert mark is not None
    assert mark.images == 1
    assert results is not None
    assert [result and result.key for result in results] == snapshot.expected["results"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("scene", "task_id"), [("batch_is_done", "bulk"), ("copy_is_done", "copy"), ("sensor_waits", "wait")]
)
def test_the_buttons_of_a_task_of_then_are_still_there(
    version: str, scene: str, task_id: str, world: World
) -> None:
    snapshot = Snapshot.load(WRITTEN / version / scene)
    links = world.runner(*snapshot.tasks).build().operator_extra_links
    # The local S3 has no console.
    stored = {each.xcom_key for each in links if isinstance(each, StoredLink)} - {S3ObjectLink.key}
    assert stored
    assert stored <= set(snapshot.xcoms[task_id])


def test_there_are_snapshots_of_this_version_and_of_every_released_one() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = set(re.findall(r"^## \[?(\d+\.\d+\.\d+)\]? - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE))
    assert set(VERSIONS) >= released
    wanted = {scene.__name__ for scene in SCENES}
    if __version__ in VERSIONS:
        assert {folder.name for folder in (WRITTEN / __version__).iterdir()} == wanted


@pytest.mark.skipif(__version__ not in VERSIONS, reason="They are written when this version is released.")
class TestWhatThisVersionWrites:
    """If a field is new, a scene has to write it: only then does a later version learn that it still has to read it."""

    def test_every_field_of_a_ledgers_row_is_in_a_snapshot(self) -> None:
        rows = (json.loads(line) for body in _bodies("_ledger/*.jsonl") for line in body.splitlines()[1:])
        assert {name for row in rows for name in row} == {field.name for field in fields(Row)}

    def test_every_field_of_a_submissions_record_is_in_a_snapshot(self) -> None:
        stored = [json.loads(body) for body in _bodies("records/*.json")]
        records = [each[STATE_KEY] for each in stored if STATE_KEY in each]
        told = {name for record in records for name, value in record.items() if value not in (None, [])}
        assert told == {field.name for field in fields(Record)}

    def test_every_argument_of_a_trigger_is_in_a_snapshot(self) -> None:
        stored = [snapshot.trigger for snapshot in _snapshots() if snapshot.trigger]
        for trigger_class in (DashScopeTaskTrigger, DashScopeBatchTrigger):
            path = f"{trigger_class.__module__}.{trigger_class.__qualname__}"
            told = {name for each in stored if each["classpath"] == path for name in each["kwargs"]}
            parameters = inspect.signature(trigger_class).parameters
            assert told >= {name for name in parameters if name != "arguments"}


def _snapshots() -> Iterator[Snapshot]:
    return (Snapshot.load(folder) for folder in FOLDERS if folder.parent.name == __version__)


def _bodies(pattern: str) -> Iterator[bytes]:
    return (path.read_bytes() for path in (WRITTEN / __version__).rglob(pattern))


def _agrees(value: Any, expected: Any) -> bool:
    """Whether a value has what is expected; later versions may tell more."""
    if isinstance(expected, Mapping):
        return all(name in value and _agrees(value[name], wanted) for name, wanted in expected.items())
    if isinstance(expected, Sequence) and not isinstance(expected, str):
        return len(value) == len(expected) and all(map(_agrees, value, expected))
    return bool(value == expected)
