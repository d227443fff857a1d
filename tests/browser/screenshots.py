"""Make the pictures of Airflow's web interface in ``docs/images`` anew: ``make screenshots``.

Each picture is one entry of :data:`SHOTS`. A real Airflow, a local S3 and a local DashScope make what is on them.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image
from playwright.sync_api import FrameLocator, Page, expect

from airflow_provider_wanx.simulator.painting.painter import draw_portrait
from tests import demo
from tests.browser.support.chromium import chromium, visit
from tests.stack import ROOT, LocalStack, StackConfig, StackError

IMAGES = ROOT / "docs" / "images"
MAX_BYTES = 150_000
"""Size of a picture: the documentation is to load quickly, and the repository to stay small."""

FOLDER, BULK, ONE = "wanx_repaint_folder", "wanx_bulk", "wanx_style_repaint"
NAMES = ("astronaut.png", "ada.jpg", "李雷.jpg", "grace.jpg", "韩梅梅.jpg", "max.jpg")
BATCH = 40
"""Images of the batch, of which two are no portraits."""


@dataclass(frozen=True)
class Scene:
    """What there is to be seen.

    :param folder_run: id of a run of the folder DAG that has ended.
    :param bulk_run: id of a run of a batch that is at work.
    """

    folder_run: str
    bulk_run: str


@dataclass(frozen=True)
class Shot:
    """One picture.

    :param file: its name in ``docs/images``, ending in ``.png`` or, with many colours, in ``.jpg``.
    :param path: address within Airflow, with the fields of :class:`Scene` in braces.
    :param prepare: what to do on the page, and what to wait for.
    :param scheme: light or dark.
    :param size: of the window, in pixels.
    """

    file: str
    path: str
    prepare: Callable[[Page], None]
    scheme: Literal["light", "dark"] = "light"
    size: tuple[int, int] = (1280, 760)


def _frame(page: Page) -> FrameLocator:
    return page.frame_locator("iframe")


def _pictures_loaded(page: Page) -> None:
    pictures = _frame(page).locator("img")
    expect(pictures.first).to_be_visible()
    for number in range(pictures.count()):
        pictures.nth(number).evaluate("async (image) => { image.loading = 'eager'; await image.decode(); }")


def _result(page: Page) -> None:
    _frame(page).locator(".tile a.pictures").first.click()
    expect(_frame(page).locator(".pair")).to_be_visible()
    _pictures_loaded(page)


def _form(page: Page) -> None:
    page.get_by_role("button", name="Trigger").first.click()
    page.get_by_role("dialog").get_by_role("combobox", name="Style").click()
    page.keyboard.type("蜡笔", delay=50)
    expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(1)


def _named_copies(page: Page) -> None:
    for name in NAMES:
        expect(page.get_by_text(name).first).to_be_visible()


def _batch(page: Page) -> None:
    done = _frame(page).locator(".figures div", has_text="Done").locator("dd")
    expect(done).not_to_have_text("0")


def _connection(page: Page) -> None:
    page.get_by_role("button", name="Add Connection").click()
    kind = page.get_by_role("dialog").get_by_role("combobox").first
    kind.fill("DashScope")
    page.keyboard.press("Enter")
    expect(page.get_by_text("API key").first).to_be_visible()
    page.get_by_role("dialog").get_by_text("Extra Fields", exact=True).click()
    expect(page.get_by_text("Workspace").first).to_be_visible()


_GALLERY = f"/dags/{FOLDER}/runs/{{folder_run}}/plugin/wanx-gallery-dag-run"

SHOTS = (
    Shot(
        "ui-bulk.png",
        f"/dags/{BULK}/runs/{{bulk_run}}/tasks/repaint/plugin/wanx-gallery-task-instance",
        _batch,
    ),
    Shot("ui-trigger-form.png", f"/dags/{ONE}", _form, size=(1280, 980)),
    Shot(
        "ui-named-copies.png", f"/dags/{FOLDER}/runs/{{folder_run}}/tasks/repaint.copy/mapped", _named_copies
    ),
    Shot("ui-gallery-light.jpg", _GALLERY, _pictures_loaded),
    Shot("ui-gallery-dark.jpg", _GALLERY, _pictures_loaded, scheme="dark"),
    Shot("ui-result.jpg", _GALLERY, _result, size=(1280, 1180)),
    Shot("ui-connection.png", "/connections", _connection, size=(1280, 1080)),
)


def make_scene(stack: LocalStack) -> Scene:
    """Repaint some portraits, and begin with a batch."""
    originals = {path.name: path.read_bytes() for path in demo.portraits()}
    for number, name in enumerate(NAMES):
        body = originals.get(name) or draw_portrait(seed=number)
        stack.s3.put(bucket=demo.BUCKET, key=f"{demo.PREFIX}{name}", body=body)
    stack.s3.client.create_bucket(Bucket=demo.RESULTS)
    api = stack.airflow.api
    conf = {
        "bucket": demo.BUCKET,
        "prefix": demo.PREFIX,
        "result_bucket": demo.RESULTS,
        "style": "clay world",
    }
    folder_run = api.trigger(dag_id=FOLDER, conf=conf)
    if api.wait_for_run(dag_id=FOLDER, run_id=folder_run).state != "success":
        raise StackError(f"The run {folder_run} of {FOLDER} has failed")
    for number in range(BATCH):
        body = draw_portrait(seed=number) if number > 1 else b"no picture at all"
        stack.s3.put(bucket=demo.BUCKET, key=f"guests/{number:03}.jpg", body=body)
    bulk = {
        "source": f"s3://{demo.BUCKET}/guests/",
        "destination": f"s3://{demo.RESULTS}/guests/",
        "dry_run": False,
    }
    return Scene(folder_run, api.trigger(dag_id=BULK, conf=bulk))


def shoot(browser: Any, stack: LocalStack, scene: Scene, shot: Shot) -> None:
    """Make one picture."""
    with visit(browser, stack.airflow.url, scheme=shot.scheme, size=shot.size) as window:
        window.page.add_init_script(f"localStorage.setItem('theme', '{shot.scheme}')")
        window.open(shot.path.format(folder_run=scene.folder_run, bulk_run=scene.bulk_run))
        shot.prepare(window.page)
        # Nothing may blink or move.
        window.page.wait_for_load_state("networkidle")
        seen = window.page.screenshot(animations="disabled", caret="hide")
    body = compressed(seen, shot.file)
    (IMAGES / shot.file).write_bytes(body)
    print(f"{shot.file}: {len(body) / 1000:.0f} kB", flush=True)


def compressed(picture: bytes, file: str) -> bytes:
    """Bring a picture down to :data:`MAX_BYTES`, with as little loss as that takes.

    :raises ValueError: it cannot be done.
    """
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    tries: list[dict[str, Any]]
    if file.endswith(".jpg"):
        tries = [
            {"format": "JPEG", "quality": quality, "optimize": True, "progressive": True}
            for quality in (88, 80, 72, 60)
        ]
    else:
        tries = [{"format": "PNG", "optimize": True, "colors": colors} for colors in (256, 128, 64, 32)]
    for options in tries:
        colors = options.pop("colors", None)
        ready = image if colors is None else image.quantize(colors, dither=Image.Dither.NONE)
        stream = io.BytesIO()
        ready.save(stream, **options)
        if stream.tell() <= MAX_BYTES:
            return stream.getvalue()
    raise ValueError(f"{file} has too many colours: name it .jpg, or make the window smaller")


def main() -> int:
    """Make all pictures, or those that are named; return the exit status."""
    if not shutil.which("fc-list") or not subprocess.check_output(["fc-list", ":lang=zh"]):
        print(
            "No Chinese font is installed. On Debian: apt-get install fontconfig fonts-wqy-microhei",
            file=sys.stderr,
        )
        return 1
    wanted = set(sys.argv[1:]) or {shot.file for shot in SHOTS}
    config = StackConfig(
        data=ROOT / ".test" / "screenshots",
        dag_bundles={"examples": ROOT / "dags"},
        dag_ids={FOLDER, BULK, ONE},
        speed=10,
        connections_in_database=True,
        settings=demo.GALLERY,
    )
    try:
        with chromium() as browser, LocalStack(config=config) as stack:
            scene = make_scene(stack)
            for shot in SHOTS:
                if shot.file in wanted:
                    shoot(browser, stack, scene, shot)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
