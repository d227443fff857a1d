"""Script in names, styles, messages and metadata, and path tricks: in the browser, all of it is text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.result_metadata import ownership
from tests import demo
from tests.browser.support.chromium import Visit
from tests.stack import LocalStack

GALLERY = "/wanx/gallery"
ATTACK = "<script>window.attacked=1</script><img src=x onerror=window.attacked=1>\"'>\u202egpj.exe"
BUCKET = "attacked"
HTML = f"<!doctype html><html><body>{ATTACK}<script>alert(1)</script></body></html>".encode()
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="window.attacked=1"><script>alert(1)</script></svg>'


def _entry(**fields: Any) -> dict[str, Any]:
    return {
        "bucket": BUCKET,
        "key": ATTACK,
        "bytes": 1,
        "content_type": "image/png",
        "dashscope_task_id": "task",
        "index": 0,
        "style": 3,
        "source": f"s3://{BUCKET}/{ATTACK}",
        "model": ATTACK,
        "written": True,
        **fields,
    }


ENTRIES = [
    _entry(),
    _entry(status="failed", code=ATTACK, message=ATTACK),
    _entry(content_type=f"text/html; {ATTACK}", source="javascript:window.attacked=1"),
    _entry(style=ATTACK),
    _entry(key="../../../etc/passwd", source="file:///etc/passwd"),
    _entry(key="page.png"),
    _entry(key="drawing.png"),
    _entry(bucket=ATTACK, source=f"https://example.invalid/{ATTACK}"),
]


@pytest.fixture(scope="module")
def run_id(stack: LocalStack) -> str:
    """A run that has left all of it."""
    mark = {"version": 1, "kind": "copy", "images": len(ENTRIES), "cost": 1.0}
    api = stack.airflow.api
    run_id = api.trigger(dag_id="hostile", conf={"entries": ENTRIES, "mark": mark, "name": ATTACK})
    said = {
        "dashscope-task-id": "task",
        "note": "<script>window.attacked=1</script>",
        **_owner(run_id),
    }
    stack.s3.client.create_bucket(Bucket=BUCKET)
    for key, body in {ATTACK: HTML, "page.png": HTML, "drawing.png": SVG}.items():
        stack.s3.client.put_object(Bucket=BUCKET, Key=key, Body=body, ContentType="text/html", Metadata=said)
    assert api.wait_for_run(dag_id="hostile", run_id=run_id).state == "success"
    return run_id


def _owner(run_id: str) -> dict[str, str]:
    """What makes an object belong to the task, so that only the browser is left to be attacked."""
    return ownership(Identity(dag_id="hostile", run_id=run_id, task_id="leave", map_index=0))


def test_all_that_a_manifest_may_hold_is_shown_as_text(run_id: str, enter: Callable[..., Visit]) -> None:
    user = enter("viewer")
    run = f"{GALLERY}/dags/hostile/runs/{run_id}"
    task = f"{run}/tasks/leave"
    for path in (f"{GALLERY}/", run, f"{task}?map_index=0"):
        assert user.open(path).status == 200
        user.assert_harmless()
    expect(user.page.locator(".tile")).to_have_count(len(ENTRIES))
    assert user.page.locator(".tile script, .tile [onerror]").count() == 0
    for number in range(len(ENTRIES)):
        answer = user.open(f"{task}/0/results/{number}")
        assert answer.status == (404 if number == 3 else 200)
        user.page.wait_for_load_state("networkidle")
        user.assert_harmless()


def test_no_object_is_shown_as_what_it_says_it_is(run_id: str, enter: Callable[..., Visit]) -> None:
    user = enter("viewer")
    for number in range(len(ENTRIES)):
        for which in ("result", "source", "result?size=small", "source?size=small"):
            answer = user.open(f"{GALLERY}/dags/hostile/runs/{run_id}/tasks/leave/0/results/{number}/{which}")
            assert answer.status >= 400
            assert answer.headers["content-type"] in ("image/svg+xml", "text/html; charset=utf-8")
            assert "attacked" not in answer.text()
            user.assert_harmless()


def test_a_name_that_turns_the_writing_around_turns_nothing_else(
    run_id: str, enter: Callable[..., Visit]
) -> None:
    user = enter("viewer")
    user.open(f"{GALLERY}/dags/hostile/runs/{run_id}/tasks/leave/0/results/0")
    heading = user.page.get_by_role("heading", level=1).locator("bdi")
    assert heading.inner_text().endswith("\u202egpj.exe")
    assert heading.evaluate("element => getComputedStyle(element).unicodeBidi") == "isolate"
    assert "\u202e" not in user.page.title()
    assert all(
        "\u202e" not in (text or "")
        for text in user.page.locator("img").evaluate_all("all => all.map(one => one.alt)")
    )


@pytest.mark.parametrize(
    "path",
    [
        "/dags/hostile/runs/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/dags/..%2f..%2f/runs/x",
        "/dags/hostile/runs/%00",
        "/dags/hostile/runs/<script>window.attacked=1<%2fscript>",
        "/static/..%2f..%2fapp.py",
        "/?before=<script>window.attacked=1</script>",
        "/?before=1;drop table xcom",
        "/dags/hostile/runs/{run_id}/tasks/leave/0/results/0/..%2f..%2f1",
        "/dags/hostile/runs/{run_id}/tasks/leave/0/results/0/result?size=<b>",
    ],
)
def test_a_trick_in_an_address_leads_nowhere(run_id: str, enter: Callable[..., Visit], path: str) -> None:
    user = enter("admin")
    answer = user.open(GALLERY + path.format(run_id=run_id))
    assert answer.status == 404
    expect(user.page.get_by_role("heading", name="There is no such")).to_be_visible()
    user.assert_harmless()


def test_a_batchs_files_are_shown_as_text(stack: LocalStack, enter: Callable[..., Visit]) -> None:
    bucket, prefix = "attacked-batch", f"{ATTACK}/"
    status = {
        "state": "running",
        "owner": ATTACK,
        "images": 2,
        "succeeded": 1,
        "failed": 1,
        "in_flight": 0,
        "cost": 0.12,
        "updated_at": "2026-11-25T10:00:00+00:00",
        "failures": {ATTACK: {"count": 1, "examples": [{"row": 1, "image": ATTACK, "message": ATTACK}]}},
    }
    row = {"row": 0, "image": ATTACK, "style": 3, "status": "failed", "code": ATTACK, "message": ATTACK}
    lines = json.dumps(row).encode() + b"\n"
    index = {"rows": 1, "step": 100, "bytes": len(lines), "offsets": [0]}
    mark = {
        "version": 1,
        "kind": "batch",
        "bucket": bucket,
        "prefix": prefix,
        "images": 1,
        "rows": 2,
        "cost": 0.12,
    }
    api = stack.airflow.api
    run_id = api.trigger(dag_id="hostile", conf={"entries": [], "mark": mark, "name": ATTACK})
    stack.s3.client.create_bucket(Bucket=bucket)
    for name, body in {
        "status.json": json.dumps(status).encode(),
        "manifest.jsonl": lines,
        "manifest.index.json": json.dumps(index).encode(),
    }.items():
        stack.s3.client.put_object(Bucket=bucket, Key=prefix + name, Body=body, Metadata=_owner(run_id))
    assert api.wait_for_run(dag_id="hostile", run_id=run_id).state == "success"
    user = enter("viewer")
    for page in ("", "/tasks/leave?map_index=0", "/tasks/leave/0/results/0"):
        assert user.open(f"{GALLERY}/dags/hostile/runs/{run_id}{page}").status == 200
        user.assert_harmless()
    user.open(f"{GALLERY}/dags/hostile/runs/{run_id}/tasks/leave?map_index=0")
    expect(user.page.locator("summary")).to_contain_text("<script>window.attacked=1</script>")


def test_a_batch_at_work_shows_its_figures_anew_until_it_ends(
    stack: LocalStack, enter: Callable[..., Visit]
) -> None:
    stack.s3.client.create_bucket(Bucket="bulk")
    for path in demo.portraits():
        stack.s3.put(bucket=demo.BUCKET, key=f"{demo.PREFIX}{path.name}", body=path.read_bytes())
    conf = {
        "destination": "s3://bulk/pictures/",
        "dry_run": False,
        "style": "clay world",
        "max_failures": None,
    }
    conf["source"] = f"s3://{demo.BUCKET}/{demo.PREFIX}"
    api = stack.airflow.api
    run_id = api.trigger(dag_id="wanx_bulk", conf=conf)
    api.wait_for_state(dag_id="wanx_bulk", run_id=run_id, task_id="repaint", state="deferred")
    user = enter("viewer")
    user.open(f"/dags/wanx_bulk/runs/{run_id}/tasks/repaint/plugin/wanx-gallery-task-instance")
    gallery = user.page.frame_locator("iframe")
    # Opened before there is a picture, it ends with all of them, and nobody has loaded it again.
    expect(gallery.locator("dd").first).to_have_text("3")
    expect(gallery.get_by_text("The batch is finished")).to_be_visible()
    expect(gallery.locator(".tile img[alt^='Result']")).to_have_count(3)
    expect(gallery.locator("[data-refresh]")).to_have_count(0)
    assert api.wait_for_run(dag_id="wanx_bulk", run_id=run_id).state == "success"
    user.assert_harmless()
