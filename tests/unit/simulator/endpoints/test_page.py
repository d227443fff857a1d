from __future__ import annotations

import httpx

from tests.unit.simulator.conftest import Service


def test_page_shows_what_became_of_each_task(service: Service) -> None:
    assert "No task yet" in httpx.get(service.simulator.url).text
    good = service.ended(style=36, image=f"{service.simulator.portrait_url}?seed=4&token=secret")
    bad = service.ended(image="data:text/plain;base64,bm8=")
    page = httpx.get(service.simulator.url)
    assert page.headers["content-type"].startswith("text/html")
    for shown in (good["task_id"], "anime world", "SUCCEEDED", bad["task_id"], f"FAILED {bad['code']}"):
        assert shown in page.text
    assert good["results"][0]["url"].partition("?")[0] in page.text
    # Where the link of a submitted task leads to.
    assert f'id="{good["task_id"]}"' in page.text
    assert "secret" not in page.text


def test_page_escapes_what_clients_send(service: Service) -> None:
    service.made(
        model="wanx-v1", path="aigc/text2image/image-synthesis", input={"prompt": "<script>alert(1)</script>"}
    )
    assert "<script>" not in httpx.get(service.simulator.url).text
