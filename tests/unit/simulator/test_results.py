"""Inputs, paintings, result files."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from airflow_provider_wanx.simulator import painting
from airflow_provider_wanx.simulator.recipes import RECIPES
from tests.unit.simulator.conftest import Service, data_url


def picture(size: tuple[int, int], kind: str = "PNG", colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def test_every_style_is_painted_differently_and_unlike_the_input(
    portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At a third of the real size.
    monkeypatch.setattr(painting, "OUTPUT_SHORT_SIDE", 512)
    reference = picture((300, 300), colour="purple")
    paintings = {
        style: Image.open(io.BytesIO(painting.repaint(portrait, style=style, reference=reference).data))
        for style in RECIPES
    }
    assert set(paintings) == {-1, *range(10), 14, 15, *range(30, 41)}
    small: dict[Any, Image.Image] = {style: image.resize((80, 96)) for style, image in paintings.items()}
    small["input"] = Image.open(io.BytesIO(portrait)).resize((80, 96))
    for (one, first), (other, second) in itertools.combinations(small.items(), 2):
        difference = ImageStat.Stat(ImageChops.difference(first, second)).mean
        assert sum(difference) / 3 > 10, f"styles {one} and {other} look alike"


def test_reference_lends_its_colours(portrait: bytes) -> None:
    def mean(colour: str) -> list[float]:
        made = painting.repaint(portrait, style=-1, reference=picture((300, 300), colour=colour))
        return ImageStat.Stat(Image.open(io.BytesIO(made.data))).mean

    red, blue = mean("red"), mean("blue")
    assert red[0] > red[2] + 80
    assert blue[2] > blue[0] + 80


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 512), (1536, 1536)),
        ((500, 600), (1536, 1843)),
        ((600, 400), (2304, 1536)),
        ((1000, 400), (2304, 1536)),
        ((300, 590), (1536, 2304)),
    ],
)
def test_result_has_the_documented_size(
    service: Service, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    output = service.ended(image=data_url(picture(size)))
    result = httpx.get(output["results"][0]["url"])
    image = Image.open(io.BytesIO(result.content))
    assert image.size == expected
    assert image.format == "JPEG"
    assert result.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
def test_documented_formats_are_taken(service: Service, kind: str) -> None:
    assert service.ended(image=data_url(picture((300, 300), kind)))["task_status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"just words", "InvalidURL"),
        (b"", "InvalidURL"),
        (picture((300, 300), "GIF"), "InvalidImageFormat"),
        (picture((300, 300), "PNG")[:-40], "InvalidImageFormat"),
        (picture((100, 100)), "InvalidImageResolution"),
        (picture((255, 900)), "InvalidImageResolution"),
        (picture((5761, 300)), "InvalidImageResolution"),
        (picture((3300, 3300)), "InvalidImageResolution"),
        (picture((300, 300)) + b"\0" * (11 * 1024 * 1024), "InvalidImage.ImageSize"),
    ],
)
def test_bad_picture_fails_the_task_and_costs_nothing(service: Service, data: bytes, code: str) -> None:
    task_id = service.submitted(image=data_url(data))
    service.simulator.advance(9)
    body = service.task(task_id)
    assert (body["output"]["task_status"], body["output"]["code"]) == ("FAILED", code)
    assert body["output"]["message"]
    assert body["usage"] == {"image_count": 0}
    assert service.simulator.ledger()["totals"]["billed"] == 0


def test_input_is_fetched_once_it_is_worked_on_by_an_agent_that_tells_who_it_is(
    service: Service, web: tuple[str, dict[str, Any]], portrait: bytes
) -> None:
    address, pages = web
    pages["/face.jpg"] = (200, portrait)
    assert service.ended(image=f"{address}/face.jpg")["task_status"] == "SUCCEEDED"
    assert len(pages["agents"]) == 1
    assert "DashScopeUserBot" in pages["agents"][0]
    assert service.simulator.ledger()["totals"]["fetched_inputs"] == 1


def test_input_that_cannot_be_fetched_fails_the_task(
    service: Service, web: tuple[str, dict[str, Any]], unused_port: int
) -> None:
    address, pages = web
    pages["/forbidden.jpg"] = (403, b"no")
    assert service.ended(image=f"{address}/forbidden.jpg")["code"] == "InvalidURL"
    assert service.ended(image=f"{address}/absent.jpg")["code"] == "InvalidURL"
    assert (
        service.ended(image=f"http://127.0.0.1:{unused_port}/x.jpg")["code"] == "InvalidURL.ConnectionRefused"
    )


def test_input_that_does_not_come_in_time_fails_the_task(serve: Callable[..., Service]) -> None:
    slow = serve()
    slow.simulator.add_fault(endpoint="result", kind="delay", seconds=30)
    service = serve(fetch_timeout=0.1)
    assert service.ended(image=f"{slow.simulator.url}/results/x.jpg")["code"] == "InvalidURL.Timeout"


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_same_order_gives_the_same_bytes(service: Service) -> None:
    first, second = (httpx.get(service.ended()["results"][0]["url"]).content for _ in range(2))
    assert first == second


def test_result_is_served_with_length_checksum_and_tag(service: Service) -> None:
    url = service.ended()["results"][0]["url"]
    result = httpx.get(url)
    digest = hashlib.md5(result.content).digest()
    assert int(result.headers["content-length"]) == len(result.content)
    assert result.headers["content-md5"] == base64.b64encode(digest).decode()
    assert result.headers["etag"] == f'"{digest.hex().upper()}"'
    head = httpx.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == result.headers["content-length"]
    assert service.simulator.ledger()["tasks"][0]["downloads"] == 1


def test_result_can_be_had_in_parts(service: Service) -> None:
    url = service.ended()["results"][0]["url"]
    whole = httpx.get(url).content
    size = len(whole)

    def part(wanted: str, **headers: str) -> httpx.Response:
        return httpx.get(url, headers={"Range": wanted, **headers})

    assert (part("bytes=0-99").status_code, part("bytes=0-99").content) == (206, whole[:100])
    assert part("bytes=0-99").headers["content-range"] == f"bytes 0-99/{size}"
    assert part(f"bytes={size - 10}-").content == whole[-10:]
    assert part("bytes=-7").content == whole[-7:]
    assert part(f"bytes=5-{size * 2}").content == whole[5:]
    assert part(f"bytes={size}-").status_code == 416
    assert part("bytes=0-1,5-6").status_code == 200
    assert part("bytes=0-9", **{"If-Range": '"OTHER"'}).content == whole


def test_result_address_is_signed(service: Service) -> None:
    url = httpx.URL(service.ended()["results"][0]["url"])
    assert set(url.params) == {"Expires", "OSSAccessKeyId", "Signature"}
    for changed, code in (
        (url.copy_with(query=None), "AccessDenied"),
        (url.copy_set_param("Signature", "bm8="), "SignatureDoesNotMatch"),
        (url.copy_set_param("Expires", str(int(url.params["Expires"]) + 1)), "SignatureDoesNotMatch"),
        (url.copy_with(path=url.path + "x"), "SignatureDoesNotMatch"),
    ):
        refused = httpx.get(changed)
        assert refused.status_code == 403
        assert f"<Code>{code}</Code>" in refused.text


def test_result_address_expires_and_is_given_out_anew(serve: Callable[..., Service]) -> None:
    service = serve(url_lifetime=600)
    task_id = service.submitted()
    service.simulator.advance(9)
    url = service.output(task_id)["results"][0]["url"]
    service.simulator.advance(590)
    assert httpx.get(url).status_code == 200
    service.simulator.advance(11)
    expired = httpx.get(url)
    assert (expired.status_code, expired.headers["content-type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code>" in expired.text
    assert httpx.get(service.output(task_id)["results"][0]["url"]).status_code == 200


def test_result_address_expires_after_24_hours(service: Service) -> None:
    url = service.ended()["results"][0]["url"]
    service.simulator.advance(23.9 * 3600)
    assert httpx.get(url).status_code == 200
    service.simulator.advance(0.2 * 3600)
    assert httpx.get(url).status_code == 403


def test_result_address_names_the_host_that_the_client_asked(service: Service) -> None:
    task_id = service.submitted()
    service.simulator.advance(9)
    body = service.http.get(f"/tasks/{task_id}", headers={"Host": "dashscope.test:8089"}).json()
    assert body["output"]["results"][0]["url"].startswith("http://dashscope.test:8089/results/")


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
