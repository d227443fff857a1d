from __future__ import annotations

import io
import itertools
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from airflow_provider_wanx.simulator.painting import painter
from tests.unit.simulator.conftest import Service, data_url, picture


def test_every_style_is_painted_differently_and_unlike_the_input(
    portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At a sixth of the real size.
    monkeypatch.setattr(painter, "OUTPUT_SHORT_SIDE", 256)
    monkeypatch.setattr(painter, "_WORKING_SHORT_SIDE", 256)
    paint = painter.repaint.__wrapped__
    reference = picture((300, 300), colour="purple")
    paintings = {
        style: Image.open(io.BytesIO(paint(portrait, style=style, reference=reference)))
        for style in painter.RECIPES
    }
    assert set(paintings) == {-1, *range(10), 14, 15, *range(30, 41)}
    small: dict[Any, Image.Image] = {style: image.resize((80, 96)) for style, image in paintings.items()}
    small["input"] = Image.open(io.BytesIO(portrait)).resize((80, 96))
    for (one, first), (other, second) in itertools.combinations(small.items(), 2):
        difference = ImageStat.Stat(ImageChops.difference(first, second)).mean
        assert sum(difference) / 3 > 10, f"styles {one} and {other} look alike"


def test_reference_lends_its_colours(portrait: bytes) -> None:
    def mean(colour: str) -> list[float]:
        made = painter.repaint(portrait, style=-1, reference=picture((300, 300), colour=colour))
        return ImageStat.Stat(Image.open(io.BytesIO(made))).mean

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


def test_same_order_gives_the_same_bytes(service: Service) -> None:
    first, second = (httpx.get(service.ended()["results"][0]["url"]).content for _ in range(2))
    assert first == second
