"""From login to the trigger form to the picture in S3, as a user goes; and what a stranger gets on the way."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from PIL import Image
from playwright.sync_api import FrameLocator, Page, expect

from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests import demo
from tests.browser.support.auth import HIDDEN_DAG
from tests.browser.support.chromium import Visit
from tests.stack import LocalStack
from tests.stack.dashscope import API_KEY
from tests.stack.waiting import PATIENCE

GALLERY = "/wanx/gallery"


@pytest.fixture(scope="module")
def buckets(stack: LocalStack) -> None:
    """What the trigger form's own values name."""
    for path in demo.portraits():
        stack.s3.put(bucket=demo.BUCKET, key=f"{demo.PREFIX}{path.name}", body=path.read_bytes())
    stack.s3.client.create_bucket(Bucket=demo.RESULTS)


@pytest.fixture
def simulator(stack: LocalStack) -> Iterator[SimulatorHandle]:
    """The local DashScope, to be told what to do."""
    handle = SimulatorHandle(url=stack.simulator.url, api_key=API_KEY)
    yield handle
    handle.close()


@pytest.fixture(scope="module")
def run_id(stack: LocalStack, buckets: None) -> str:
    """A run of the DAG that viewers may not see, which has ended well."""
    api = stack.airflow.api
    run_id = api.trigger(dag_id=HIDDEN_DAG)
    assert api.wait_for_run(dag_id=HIDDEN_DAG, run_id=run_id).state == "success"
    return run_id


def tab(page: Page) -> FrameLocator:
    """The frame in which Airflow shows the gallery."""
    return page.frame_locator("iframe")


def shown(picture: Any) -> bool:
    """Whether a picture was loaded, and has more than a pixel."""
    expect(picture).to_be_visible()
    width: int = picture.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }")
    return width > 100


def test_from_the_login_to_the_object_in_s3(
    stack: LocalStack, buckets: None, simulator: SimulatorHandle, enter: Callable[..., Visit]
) -> None:
    simulator.add_fault(endpoint="job", kind="outcome", runs_for=900, times=1)
    user = enter("admin")
    page = user.page
    user.open(f"/dags/{HIDDEN_DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox", name="Style").click()
    page.keyboard.type("蜡笔")
    page.keyboard.press("Enter")
    form.get_by_role("button", name="Trigger").click()
    # Airflow leads to the run that has begun. Its task waits for the service, and links to the gallery meanwhile.
    page.wait_for_url(f"**/dags/{HIDDEN_DAG}/runs/**")
    run = unquote(page.url).rpartition("/runs/")[2].partition("/")[0]
    stack.airflow.api.wait_for_state(dag_id=HIDDEN_DAG, run_id=run, task_id="wait", state="deferred")
    user.open(f"/dags/{HIDDEN_DAG}/runs/{run}/tasks/wait/details")
    page.locator("a[href*='/wanx/gallery/dags/']").click()
    expect(page.get_by_text("No pictures here yet")).to_be_visible()
    simulator.advance(900)
    # Nobody loads the page again: it does so itself until the picture is there.
    tile = page.locator(".tile a.pictures")
    expect(tile).to_be_visible()
    assert shown(tile.get_by_role("img", name="Portrait: astronaut.png"))
    assert shown(tile.get_by_role("img", name="Result: astronaut.png"))
    tile.click()
    for which in ("Portrait", "Result"):
        assert shown(page.get_by_role("figure").filter(has_text=which).get_by_role("img"))
    for fact in ("38 · crayon world · 蜡笔世界", "wanx-style-repaint-v1", "0.12 CNY"):
        expect(page.get_by_text(fact)).to_be_visible()
    address = page.locator("dd code", has_text="s3://wanx-results/").inner_text()
    # The link leads to the object itself.
    with page.expect_response(lambda response: response.url.endswith("/result")) as object_response:
        page.get_by_role("link", name=address).click()
    body = object_response.value.body()
    bucket, _, key = address.removeprefix("s3://").partition("/")
    assert body == stack.s3.get(bucket=bucket, key=key)
    assert Image.open(io.BytesIO(body)).format in {"JPEG", "PNG"}
    user.assert_harmless()


def test_a_results_page_leads_to_its_task_and_its_log_in_airflow(
    run_id: str, enter: Callable[..., Visit]
) -> None:
    user = enter("admin")
    page = user.page
    for link, end in (("copy", "/tasks/copy/details"), ("Log", "/tasks/copy")):
        user.open(f"/dags/{HIDDEN_DAG}/runs/{run_id}/plugin/wanx-gallery-dag-run")
        tab(page).locator(".tile a.pictures").click()
        tab(page).locator("a[data-top]", has_text=link).last.click()
        # The window itself goes there, though the gallery lives in a frame of it.
        page.wait_for_url(f"**{end}")
    user.assert_harmless()


@pytest.mark.parametrize(
    "place",
    [
        "/plugin/wanx-gallery",
        "/dags/{dag_id}/plugin/wanx-gallery-dag",
        "/dags/{dag_id}/tasks/copy/plugin/wanx-gallery-task",
        "/dags/{dag_id}/runs/{run_id}/plugin/wanx-gallery-dag-run",
        "/dags/{dag_id}/runs/{run_id}/tasks/copy/plugin/wanx-gallery-task-instance",
        "/dags/{dag_id}/runs/{run_id}/tasks/submit/plugin/wanx-gallery-task-instance",
    ],
)
def test_the_gallery_is_in_the_navigation_and_a_tab_of_everything_that_has_pictures(
    run_id: str, enter: Callable[..., Visit], place: str
) -> None:
    user = enter("admin")
    user.open(place.format(dag_id=HIDDEN_DAG, run_id=run_id))
    assert shown(tab(user.page).locator("img[alt^='Result']").first)
    user.assert_harmless()


@pytest.mark.parametrize(("scheme", "paper"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 24, 29)")])
def test_it_is_light_or_dark_as_the_system_is_and_as_airflow_is(
    run_id: str, enter: Callable[..., Visit], scheme: Any, paper: str
) -> None:
    user = enter("admin", scheme=scheme)

    def background() -> str:
        user.open(f"{GALLERY}/dags/{HIDDEN_DAG}/runs/{run_id}")
        color: str = user.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return color

    user.page.evaluate("localStorage.removeItem('theme')")
    assert background() == paper
    for theme, expected in {"dark": "rgb(22, 24, 29)", "light": "rgb(255, 255, 255)"}.items():
        user.page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        assert background() == expected
    user.assert_harmless()


def test_the_keyboard_is_enough(run_id: str, enter: Callable[..., Visit], stack: LocalStack) -> None:
    conf = {"bucket": demo.BUCKET, "prefix": demo.PREFIX, "result_bucket": demo.RESULTS}
    api, dag_id = stack.airflow.api, "wanx_repaint_folder"
    folder_run = api.trigger(dag_id=dag_id, conf=conf)
    assert api.wait_for_run(dag_id=dag_id, run_id=folder_run).state == "success"
    user = enter("viewer", size=(1100, 900))
    page, focused = (
        user.page,
        "document.activeElement.getAttribute('href').match(/\\d+\\/results\\/\\d+$/)[0]",
    )
    user.open(f"{GALLERY}/dags/{dag_id}/runs/{folder_run}")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    seen = []
    # Three tiles in a row, and nothing below them.
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(page.evaluate(focused))
    assert seen == [f"{place}/results/0" for place in (0, 1, 2, 2, 1, 1, 1)]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/1/results/0")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/2/results/0")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/1/results/0")
    page.keyboard.press("Escape")
    page.wait_for_url(f"**/runs/{folder_run.replace(':', '%3A').replace('+', '%2B')}")
    user.assert_harmless()


def _routes(run_id: str) -> list[str]:
    task = f"/dags/{HIDDEN_DAG}/runs/{run_id}/tasks/copy"
    result = f"{task}/-1/results/0"
    return [
        f"/dags/{HIDDEN_DAG}",
        f"/dags/{HIDDEN_DAG}/tasks/copy",
        f"/dags/{HIDDEN_DAG}/runs/{run_id}",
        task,
        f"{task}?map_index=-1",
        result,
        *(f"{result}/{which}{size}" for which in ("result", "source") for size in ("", "?size=small")),
    ]


def test_a_user_without_permission_gets_nothing_by_page_and_by_each_route(
    run_id: str, enter: Callable[..., Visit]
) -> None:
    admin, viewer, nobody = enter("admin"), enter("viewer"), enter()
    for path in _routes(run_id):
        assert viewer.open(GALLERY + path).status == 403, path
        expect(viewer.page.get_by_role("heading", name="You may not see this")).to_be_visible()
        assert viewer.page.locator("img").count() == 0
        assert nobody.open(GALLERY + path).status == 401, path
        expect(nobody.page.get_by_role("link", name="Log in")).to_be_visible()
    for user, number in ((admin, 1), (viewer, 0)):
        user.open(f"{GALLERY}/")
        assert user.page.locator(f"a[href$='/dags/{HIDDEN_DAG}']").count() >= number
        assert bool(user.page.get_by_text(run_id).count()) == bool(number)
    nobody.page.goto(nobody.base + GALLERY + "/")
    nobody.page.get_by_role("link", name="Log in").click()
    nobody.page.wait_for_url("**/auth/login**")


def test_no_presigned_address_and_no_foreign_one_leaves_the_server(
    stack: LocalStack, run_id: str, enter: Callable[..., Visit]
) -> None:
    user = enter("admin")
    token = next(each for each in user.page.context.cookies() if each["name"] == "_token")["value"]
    with httpx.Client(
        base_url=stack.airflow.url + GALLERY, cookies={"_token": token}, timeout=PATIENCE, trust_env=False
    ) as http:
        for path in ["/", *_routes(run_id)]:
            answer = http.get(path)
            text = answer.text + str(answer.headers)
            for secret in ("Signature", "X-Amz", "Expires=", stack.s3.url, stack.simulator.url, "sk-demo"):
                assert secret not in text, (path, secret)
            assert answer.headers["referrer-policy"] == "no-referrer"
