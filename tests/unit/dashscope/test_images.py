from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.images import FIRST_BYTES, MAX_PICTURE_BYTES, check_image
from tests.unit.support.pictures import picture_claiming


def _picture(
    width: int = 320, height: int = 320, *, kind: str = "PNG", mode: str = "RGB", **options: Any
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height), 128).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("BMP", "image/bmp"), ("WEBP", "image/webp")],
)
def test_each_documented_format_passes(kind: str, content_type: str) -> None:
    info = check_image(_picture(300, 400, kind=kind), what="me")

    assert (info.format, info.width, info.height, info.content_type) == (kind, 300, 400, content_type)


def test_a_phones_photo_with_a_second_picture_behind_it_is_a_jpeg() -> None:
    preview = Image.new("RGB", (300, 300))
    photo = _picture(300, 400, kind="MPO", save_all=True, append_images=[preview])
    with Image.open(io.BytesIO(photo)) as opened:
        assert opened.format == "MPO"

    info = check_image(photo, what="me")

    assert (info.format, info.content_type, info.width, info.height) == ("JPEG", "image/jpeg", 300, 400)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "ICO", "PPM"])
def test_other_formats_are_refused_by_content_whatever_the_name(kind: str) -> None:
    with pytest.raises(
        InvalidInputError,
        match=rf"^The file is a {kind} picture; the model takes JPEG, PNG, BMP, WEBP: me\.png",
    ):
        check_image(_picture(kind=kind), what="me.png")


@pytest.mark.parametrize(
    ("width", "height"),
    [(256, 256), (256, 512), (512, 256), (5760, 3240), (3240, 5760), (5760, 2880), (300, 600)],
)
def test_pictures_at_the_limits_pass(width: int, height: int) -> None:
    assert check_image(_picture(width, height, mode="1"), what="me").width == width


@pytest.mark.parametrize(
    ("width", "height", "told"),
    [
        (255, 256, "The picture has 255×256 pixels; the model takes 256×256 at least"),
        (256, 255, "The picture has 256×255 pixels; the model takes 256×256 at least"),
        (100, 100, "The picture has 100×100 pixels; the model takes 256×256 at least"),
        (5761, 3240, "The picture has 5761×3240 pixels; the model takes 5760×3240 at most"),
        (3241, 5760, "The picture has 3241×5760 pixels; the model takes 5760×3240 at most"),
        (4000, 4000, "The picture has 4000×4000 pixels; the model takes 5760×3240 at most"),
        (256, 513, "The picture has 256×513 pixels, 2.00:1; the model takes 2:1 at most"),
        (1200, 400, "The picture has 1200×400 pixels, 3.00:1; the model takes 2:1 at most"),
    ],
)
def test_pictures_beyond_a_limit_are_told_limit_and_value(width: int, height: int, told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_image(_picture(width, height, mode="1"), what="me")

    assert told in str(caught.value)


def test_a_file_that_is_too_large_is_refused_by_its_whole_size() -> None:
    head = _picture()

    assert check_image(head, what="me", size=MAX_PICTURE_BYTES).format == "PNG"
    with pytest.raises(InvalidInputError, match=r"The picture has 11\.0 MB; the model takes 10 MB at most"):
        check_image(head, what="me", size=11_000_000)
    with pytest.raises(InvalidInputError, match=r"The picture has 10\.5 MB"):
        check_image(head + bytes(MAX_PICTURE_BYTES + 1 - len(head)), what="me")


def test_the_beginning_of_a_file_is_enough() -> None:
    whole = random.Random(1).randbytes(900 * 900 * 3)
    file = io.BytesIO()
    Image.frombytes("RGB", (900, 900), whole).save(file, "PNG")

    assert len(file.getvalue()) > FIRST_BYTES
    assert check_image(file.getvalue()[:FIRST_BYTES], what="me", size=len(file.getvalue())).width == 900


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "The picture is empty: me"),
        (b"Dear model, please paint me.", "The file is text; .*: me"),
        (b"<html><body>404</body></html>", "The file is text; .*: me"),
        (b"\x00" * 400, "The file is no picture that can be read; .*: me"),
        (b"\x89PNG\r\n\x1a\n", "The file is no picture that can be read; .*: me"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "The file is no picture that can be read; .*: me"),
        (b"BM\x00\xff", "The file is no picture that can be read; .*: me"),
        (b"RIFF\xff\xff\x00\x00WEBPVP8 ", "The file is no picture that can be read; .*: me"),
    ],
)
def test_what_is_no_picture_is_called_by_what_it_is(content: bytes, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        check_image(content, what="me")


def test_a_picture_made_to_exhaust_memory_is_refused_unread() -> None:
    with pytest.raises(InvalidInputError, match="has 60000×60000 pixels; the model takes 5760×3240 at most"):
        check_image(picture_claiming(60_000), what="me")


def _flip(dice: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randint(1, 8)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _cut(dice: random.Random, content: bytes) -> bytes:
    start = dice.randrange(len(content))
    return content[:start] + content[start + dice.randint(1, 60) :]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "MPO", "DDS"])
@pytest.mark.parametrize("spoil", [_flip, _cut])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_picture_is_refused_or_passes_but_breaks_nothing(
    kind: str, spoil: Callable[[random.Random, bytes], bytes]
) -> None:
    dice = random.Random(7)
    more: dict[str, Any] = (
        {"save_all": True, "append_images": [Image.new("RGB", (300, 300))]} if kind == "MPO" else {}
    )
    head = _picture(300, 300, kind=kind, **more)[:400]

    for _ in range(150):
        with contextlib.suppress(InvalidInputError):
            check_image(spoil(dice, head), what="me")
