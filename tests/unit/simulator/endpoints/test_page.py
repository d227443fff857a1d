from __future__ import annotations

import io

import httpx
from PIL import Image

from tests.unit.simulator.conftest import Service


def test_page_shows_jobs_with_input_and_result(service: Service) -> None:
    assert "No task yet" in httpx.get(service.simulator.url).text
    good = service.ended(style=36, image=f"{service.simulator.portrait_url}?seed=4&token=secret")
    bad = service.ended(image="data:text/plain;base64,bm8=")
    page = httpx.get(service.simulator.url)
    assert page.headers["content-type"].startswith("text/html")
    assert 'http-equiv="refresh"' in page.text
    assert good["task_id"] in page.text
    assert "anime world" in page.text
    assert f'<span class="status FAILED">FAILED</span><small>{bad["code"]}' in page.text
    assert "secret" not in page.text
    for name in ("input", "0"):
        small = httpx.get(f"{service.simulator.url}/simulator/thumbnails/{good['task_id']}/{name}")
        assert Image.open(io.BytesIO(small.content)).format == "JPEG"
    missing = f"{service.simulator.url}/simulator/thumbnails/{bad['task_id']}/0"
    assert httpx.get(missing).status_code == 404


def test_page_escapes_what_clients_send(service: Service) -> None:
    service.made(
        model="wanx-v1", path="aigc/text2image/image-synthesis", input={"prompt": "<script>alert(1)</script>"}
    )
    assert "<script>" not in httpx.get(service.simulator.url).text
