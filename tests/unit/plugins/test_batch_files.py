"""The page of a batch: its figures, its failures, and its manifest page by page."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wanx.batch.report import write_manifests
from airflow_provider_wanx.plugins.gallery import owned_objects
from tests.unit.plugins.gallery_world import BEGIN, PICTURES, RUN, Browser, World, origin, owned, portrait

pytestmark = pytest.mark.needs_airflow("3.1", "the gallery")

PAGE = f"/dags/faces/runs/{RUN}/tasks/repaint"
OWNER = f"task repaint of run {RUN} of DAG faces"
STATUS = {
    "state": "running",
    "updated_at": BEGIN.isoformat(),
    "owner": OWNER,
    "in_flight": 20,
    "images_per_hour": 320.5,
    "seconds_left": 9000,
    "images": 1000,
    "succeeded": 700,
    "failed": 30,
    "cost": 84.0,
    "failures": {
        "DataInspectionFailed": {
            "count": 28,
            "examples": [
                {"row": row, "image": f"s3://pictures/{row}.png", "message": f"refused {row}"}
                for row in range(12)
            ],
        },
        "<b>Bad</b>": {"count": 2, "examples": []},
    },
}


def _row(number: int) -> dict[str, Any]:
    failed = number % 10 == 9
    return {
        "row": number,
        "image": f"s3://pictures/faces/{number}.png",
        "style": 31,
        "status": "failed" if failed else "succeeded",
        "dashscope_task_id": f"task-{number}",
        "bucket": None if failed else PICTURES,
        "key": None if failed else f"bulk/{number}.png",
        "content_type": None if failed else "image/png",
        "code": "Refused<b>" if failed else None,
        "message": "because\nof this" if failed else None,
    }


def put_owned(store: Any, key: str, body: bytes) -> None:
    """Write an object as the batch does."""
    store.put_object(Bucket=PICTURES, Key=key, Body=body, Metadata=owned(task_id="repaint"))


@pytest.fixture
def manifest(store: Any) -> Callable[[int], None]:
    """Write a batch's manifest, as a batch does."""

    def write(rows: int) -> None:
        def upload(path: Path, name: str, content_type: str) -> None:
            put_owned(store, f"bulk/{name}", path.read_bytes())

        write_manifests((_row(number) for number in range(rows)), ("jsonl",), own_columns=(), upload=upload)

    return write


@pytest.fixture
def put_status(store: Any) -> Callable[..., None]:
    def put(**changes: Any) -> None:
        put_owned(store, "bulk/status.json", json.dumps({**STATUS, **changes}).encode())

    return put


def _figures(page: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)</dd>", page))


class TestFigures:
    """How far a batch is."""

    def test_they_are_those_of_its_status(
        self, world: World, admin: Browser, put_status: Callable[..., None]
    ) -> None:
        world.batch()
        put_status()
        page = admin.get(PAGE).text
        assert _figures(page) == {
            "Images": "1,000",
            "Done": "700",
            "Failed": "30",
            "In flight": "20",
            "Images an hour": "320",
            "Time left": "2 h",
            "Cost": "84.00 CNY",
        }
        assert '<progress value="730" max="1000"' in page

    def test_failures_come_by_code_with_the_first_ten_of_each(
        self, world: World, admin: Browser, put_status: Callable[..., None]
    ) -> None:
        world.batch()
        put_status()
        page = admin.get(PAGE).text
        assert re.findall(r"<summary><bdi>(.*?)</bdi> <span class=\"count\">(\d+)", page) == [
            ("DataInspectionFailed", "28"),
            ("&lt;b&gt;Bad&lt;/b&gt;", "2"),
        ]
        assert re.findall(r"<bdi>refused (\d+)</bdi>", page) == [str(row) for row in range(10)]

    @pytest.mark.parametrize(
        ("status", "task", "refreshes"),
        [
            ("running", "deferred", True),
            ("running", "running", True),
            ("finished", "success", False),
            ("running", "failed", False),
            ("stopped", "failed", False),
        ],
    )
    def test_the_page_loads_itself_again_as_long_as_somebody_works_on_it(
        self,
        world: World,
        admin: Browser,
        put_status: Callable[..., None],
        status: str,
        task: str,
        refreshes: bool,
    ) -> None:
        world.batch(state=task)
        put_status(state=status)
        page = admin.get(PAGE).text
        assert ('data-refresh="5"' in page, 'http-equiv="refresh"' in page) == (refreshes, refreshes)

    def test_before_the_first_figures_it_waits_for_them(
        self, world: World, admin: Browser, store: Any
    ) -> None:
        world.batch(state="running")
        page = admin.get(PAGE).text
        assert "There are no figures yet" in page
        assert 'data-refresh="5"' in page
        world.clear()
        world.batch(state="failed")
        page = admin.get(PAGE).text
        assert "The object cannot be shown" in page
        assert "data-refresh" not in page

    def test_it_says_so_if_another_run_has_gone_on_with_the_destination(
        self, world: World, admin: Browser, put_status: Callable[..., None]
    ) -> None:
        world.batch()
        put_status()
        assert "Another task" not in admin.get(PAGE).text
        put_status(owner="task repaint of run later of DAG faces")
        assert "<bdi>task repaint of run later of DAG faces</bdi>" in admin.get(PAGE).text

    def test_a_status_full_of_failures_makes_a_page_of_a_few_hundred_kilobytes(
        self, world: World, admin: Browser, put_status: Callable[..., None]
    ) -> None:
        world.batch()
        example = {"row": 1, "image": '"' * 500, "message": '"' * 700}
        put_status(
            failures={f"Code{number}": {"count": 9, "examples": [example] * 3} for number in range(45)}
        )
        page = admin.get(PAGE).text
        assert page.count("<summary>") == 10
        assert "35 other codes" in page
        assert len(page) < 400_000

    def test_a_status_that_is_larger_than_any_is_not_read(
        self, world: World, admin: Browser, put_status: Callable[..., None]
    ) -> None:
        world.batch()
        put_status(padding="x" * 600_000)
        assert "is too large to be shown" in admin.get(PAGE).text

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'{"state": 7}', b'{"state": "running", "images": -1}']
    )
    def test_a_status_that_is_none_is_told_of(
        self, world: World, admin: Browser, store: Any, body: bytes
    ) -> None:
        world.batch()
        put_owned(store, "bulk/status.json", body)
        page = admin.get(PAGE)
        assert (page.status_code, "The manifest cannot be read" in page.text) == (200, True)

    def test_a_run_shows_its_batches(self, world: World, admin: Browser) -> None:
        world.batch(rows=1000, done=700)
        page = admin.get(f"/dags/faces/runs/{RUN}").text
        assert "700 of 1,000 images" in page
        assert "s3://pictures/bulk/" in page
        assert re.findall(r'<td class="amount">([^<]*)<', admin.get("/").text) == ["700", "84.00 CNY"]


class TestManifest:
    """Pages of the manifest."""

    def test_every_row_is_on_one_page_and_in_order(
        self, world: World, admin: Browser, manifest: Callable[[int], None]
    ) -> None:
        world.batch()
        manifest(230)
        pages = [admin.get(PAGE, page=page).text for page in range(1, 11)]
        shown = [re.findall(r'class="name"><bdi>(\d+)\.png', page) for page in pages]
        assert [len(page) for page in shown] == [24] * 9 + [14]
        assert [int(name) for page in shown for name in page] == list(range(230))
        assert "Refused&lt;b&gt;" in pages[0]

    def test_a_page_reads_a_part_of_a_large_manifest_only(
        self, world: World, admin: Browser, manifest: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.batch()
        manifest(20_000)
        read, sizes = owned_objects.read, []

        def noted(*args: Any, **kwargs: Any) -> owned_objects.Content:
            content = read(*args, **kwargs)
            sizes.append(len(content.body))
            return content

        monkeypatch.setattr(owned_objects, "read", noted)
        assert ">19992.png<" in admin.get(PAGE, page=834).text
        assert len(sizes) == 2
        assert sum(sizes) < 60_000
        admin.get(PAGE, page=834)
        assert len(sizes) == 2

    def test_the_picture_of_a_row_is_shown(
        self, world: World, admin: Browser, manifest: Callable[[int], None], store: Any
    ) -> None:
        world.batch()
        manifest(230)
        metadata = origin("s3://pictures/faces/120.png", "task-120", owned(task_id="repaint"))
        store.put_object(Bucket=PICTURES, Key="bulk/120.png", Body=portrait(), Metadata=metadata)
        store.put_object(Bucket=PICTURES, Key="faces/120.png", Body=portrait("red"))
        row = f"{PAGE}/-1/results/120"
        assert [admin.get(f"{row}/{which}").status_code for which in ("result", "source")] == [200, 200]
        assert "s3://pictures/bulk/120.png" in admin.get(row).text
        assert admin.get(f"{PAGE}/-1/results/230").status_code == 404
        assert "because\nof this" in admin.get(f"{PAGE}/-1/results/119").text

    def test_what_is_kept_of_manifests_is_bounded_by_bytes(
        self, world: World, admin: Browser, store: Any
    ) -> None:
        row = json.dumps({"row": 1, "status": "failed", "message": "m" * 39_000}).encode() + b"\n"
        index = {"rows": 100, "step": 100, "bytes": 100 * len(row), "offsets": [0]}
        for number in range(12):
            put_owned(store, f"{number}/manifest.jsonl", row * 100)
            put_owned(store, f"{number}/manifest.index.json", json.dumps(index).encode())
            world.batch(prefix=f"{number}/", run_id=f"run-{number}")
        tracemalloc.start()
        try:
            for number in range(12):
                page = admin.get(f"/dags/faces/runs/run-{number}/tasks/repaint").text
                assert page.count('class="tile"') == 24
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 40_000_000

    @pytest.mark.parametrize(("spaces", "padding"), [(300_000, 0), (0, 5_000_000)], ids=["index", "part"])
    def test_what_is_larger_than_any_is_not_read(
        self, world: World, admin: Browser, store: Any, spaces: int, padding: int
    ) -> None:
        world.batch()
        row = b" " * padding + json.dumps(_row(9)).encode() + b"\n"
        index = {"rows": 1, "step": 1, "bytes": len(row), "offsets": [0]}
        put_owned(store, "bulk/manifest.jsonl", row)
        put_owned(store, "bulk/manifest.index.json", json.dumps(index).encode() + b" " * spaces)
        page = admin.get(PAGE).text
        assert "is too large to be shown" in page or "The manifest cannot be read" in page
        assert 'class="tile"' not in page

    def test_before_the_end_there_is_none_and_the_page_says_when_there_will_be(
        self, world: World, admin: Browser, store: Any
    ) -> None:
        world.batch()
        assert "There is no manifest yet" in admin.get(PAGE).text

    @pytest.mark.parametrize(
        ("name", "body"),
        [
            ("manifest.index.json", b"{"),
            ("manifest.index.json", b'{"rows": 230, "step": 0, "bytes": 9, "offsets": []}'),
            ("manifest.index.json", b'{"rows": 230, "step": 100, "bytes": 9, "offsets": [0]}'),
            (
                "manifest.index.json",
                b'{"rows": 230, "step": 100, "bytes": 900000000000, "offsets": [0, 800000000000, 1]}',
            ),
            ("manifest.jsonl", b"\n" * 100),
            ("manifest.jsonl", b"not even JSON"),
        ],
    )
    def test_parts_that_do_not_belong_together_are_told_of(
        self,
        world: World,
        admin: Browser,
        manifest: Callable[[int], None],
        store: Any,
        name: str,
        body: bytes,
    ) -> None:
        world.batch()
        manifest(230)
        put_owned(store, f"bulk/{name}", body)
        page = admin.get(PAGE)
        assert (page.status_code, "The manifest cannot be read" in page.text) == (200, True)
        assert admin.get(f"{PAGE}/-1/results/0").status_code == 422

    def test_a_bucket_that_is_gone_is_told_of(self, world: World, admin: Browser, store: Any) -> None:
        from airflow_provider_wanx.jobs.copying.gallery_marks import MARK, batch_mark

        mark = batch_mark({"images": 1, "cost": 0.0}, bucket="gone", prefix="")
        world.task({MARK: mark}, task_id="repaint")
        assert "The object cannot be shown" in admin.get(PAGE).text
