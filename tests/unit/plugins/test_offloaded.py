"""XComs that Airflow's object storage backend keeps in files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wanx.jobs.copying.gallery_marks import MARK, copy_mark
from airflow_provider_wanx.plugins.gallery import owned_objects
from tests.unit.plugins.gallery_world import PICTURES, RUN, Browser, World, entry, origin, portrait

pytestmark = pytest.mark.needs_airflow("3.1", "the gallery")

PAGE = f"/dags/faces/runs/{RUN}"


@pytest.fixture
def offload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Let Airflow's own backend write a value; return what it leaves in the database."""
    from airflow.providers.common.io.xcom import backend

    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", f"{backend.__name__}.XComObjectStorageBackend")
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", f"file://{tmp_path}/xcoms")
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD", "0")
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_COMPRESSION", "gzip")
    for cache in (backend._get_base_path, backend._get_threshold, backend._get_compression):
        cache.cache_clear()

    def write(value: Any, dag_id: str = "faces", run_id: str = RUN) -> str:
        ids = {"dag_id": dag_id, "run_id": run_id, "task_id": "copy"}
        stored = str(backend.XComObjectStorageBackend.serialize_value(value, key="key", **ids))
        assert stored.startswith("file://")
        return stored

    return write


def test_marks_and_manifests_are_read_from_their_files(
    world: World, admin: Browser, store: Any, offload: Callable[..., str]
) -> None:
    world.task({MARK: offload(copy_mark([entry()])), "return_value": offload([entry()])})
    store.put_object(Bucket=PICTURES, Key="results/task-1.png", Body=portrait(), Metadata=origin())
    assert f'href="/wanx/gallery{PAGE.replace(":", "%3A").replace("+", "%2B")}"' in admin.get("/").text
    assert "ada.png" in admin.get(PAGE).text
    assert admin.get(f"{PAGE}/tasks/copy/-1/results/0/result").status_code == 200


def test_a_forged_value_opens_no_file_of_another_run_or_outside(
    world: World, admin: Browser, offload: Callable[..., str], tmp_path: Path
) -> None:
    mark, theirs = offload(copy_mark([entry()])), offload([entry()], dag_id="theirs")
    (tmp_path / "outside.json").write_text(json.dumps([entry()]))
    own = mark.rpartition("/")[0]
    for forged in (
        theirs,
        offload([entry()], run_id="earlier"),
        f"{own}/../../../theirs{theirs.partition('/theirs')[2]}",
        f"file://{tmp_path}/outside.json",
        f"{own}/missing.json",
    ):
        world.clear()
        world.task({MARK: mark, "return_value": forged})
        assert "ada.png" not in admin.get(PAGE).text
        assert admin.get(f"{PAGE}/tasks/copy/-1/results/0").status_code == 404


def test_a_file_that_unpacks_to_more_than_any_is_not_read(
    world: World, admin: Browser, offload: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned_objects, "MAX_BYTES", 100_000)
    stored = offload([entry()])
    Path(stored.removeprefix("file://")).write_bytes(
        gzip.compress(b" " * 200_000 + json.dumps([entry()]).encode())
    )
    world.task({MARK: offload(copy_mark([entry()])), "return_value": stored})
    assert "The manifest cannot be read" in admin.get(PAGE).text
