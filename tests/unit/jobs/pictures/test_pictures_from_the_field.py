"""Pictures as people have them: what cameras, phones, editors and programs write, and how it is given."""

from __future__ import annotations

import base64
import io
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.picture_address import data_url, source_address
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.hooks.storage import image_source
from airflow_provider_wanx.jobs.pictures.image_source import ImageSource
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE, SourceRule
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.airflow import TaskRunner
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket


@pytest.fixture
def source() -> Iterator[ImageSource]:
    with DashScopeHook() as hook:
        yield image_source(
            client=hook.get_conn, model="m", aws_conn_id="aws_default", rule=ANYWHERE, transfer="link"
        )


@pytest.fixture(params=["file", "s3", "data"])
def put(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], str]:
    """Put a picture somewhere; return how it is given."""

    def somewhere(content: bytes) -> str:
        if request.param == "s3":
            bucket: Bucket = request.getfixturevalue("bucket")
            return bucket.put("picture", content)
        if request.param == "data":
            return data_url(content, "image/jpeg")
        path = tmp_path / "picture"
        path.write_bytes(content)
        return str(path)

    return somewhere


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _noise(side: int) -> Image.Image:
    return Image.frombytes("RGB", (side, side), random.Random(3).randbytes(3 * side * side))


def _jpeg_behind(segment: bytes, size: int) -> bytes:
    """A JPEG with so many bytes of metadata before its frame."""
    content, most = _saved(_noise(300), "JPEG"), 65_000
    block = segment + (most + 2).to_bytes(2, "big") + b"\xff\xc0" * (most // 2)
    return content[:2] + block * (size // most + 1) + content[2:]


def _png_with_text(*, compressed: bool) -> bytes:
    text = PngInfo()
    for number in range(20 if compressed else 8):
        text.add_text(f"note{number}", "x" * (2_000_000 if compressed else 400_000), zip=compressed)
    return _saved(_noise(300), "PNG", pnginfo=text)


def _png_with_profile() -> bytes:
    return _saved(_noise(300), "PNG", icc_profile=bytes(4_000_000))


GOOD: dict[str, Callable[[], bytes]] = {
    "compressed text of 40 MB in a PNG": lambda: _png_with_text(compressed=True),
    "long text in a PNG": lambda: _png_with_text(compressed=False),
    "long profile in a PNG": _png_with_profile,
    "WebP over 256 KiB": lambda: _saved(_noise(700), "WEBP", quality=95),
    "lossless WebP over 256 KiB": lambda: _saved(_noise(400), "WEBP", lossless=True),
    "WebP with a profile and without": lambda: _saved(_noise(400), "WEBP", icc_profile=bytes(300_000)),
    "400 kB of APP2 in a JPEG": lambda: _jpeg_behind(b"\xff\xe2", 400_000),
    "3 MB of APP1 in a JPEG": lambda: _jpeg_behind(b"\xff\xe1", 3_000_000),
    "comment in a JPEG": lambda: _jpeg_behind(b"\xff\xfe", 100_000),
    "progressive JPEG": lambda: _saved(_noise(400), "JPEG", progressive=True),
    "grey JPEG": lambda: _saved(_noise(400).convert("L"), "JPEG"),
    "CMYK JPEG": lambda: _saved(_noise(400).convert("CMYK"), "JPEG"),
    "JPEG with bytes behind its end": lambda: picture(kind="JPEG") + b"\0" * 5000,
    "PNG with bytes behind its end": lambda: picture() + b"\0" * 5000,
    "BMP from the top": lambda: _upside_down(_saved(_noise(300), "BMP")),
    "BMP of 1 bit": lambda: _saved(_noise(300).convert("1"), "BMP"),
}


def _upside_down(content: bytes) -> bytes:
    return content[:22] + (-300).to_bytes(4, "little", signed=True) + content[26:]


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_picture_passes_the_dry_run_and_the_real_one(
    source: ImageSource, put: Callable[[bytes], str], kind: str
) -> None:
    place = put(GOOD[kind]())
    source.check(place, field="image")
    assert source.open(place, field="image").identity


CUT = {
    "JPEG": lambda: _saved(_noise(300), "JPEG"),
    "progressive JPEG": lambda: _saved(_noise(300), "JPEG", progressive=True),
    "PNG": lambda: _saved(_noise(300), "PNG"),
    "WebP": lambda: _saved(_noise(300), "WEBP"),
    "lossless WebP": lambda: _saved(_noise(300), "WEBP", lossless=True),
    "BMP": lambda: _saved(_noise(300), "BMP"),
}


@pytest.mark.parametrize("share", [0.5, 0.97])
@pytest.mark.parametrize("kind", CUT)
def test_a_picture_that_is_cut_off_is_refused_where_all_bytes_were_read(
    source: ImageSource, tmp_path: Path, bucket: Bucket, kind: str, share: float
) -> None:
    whole = CUT[kind]()
    content = whole[: int(share * len(whole))]
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    uploading = image_source(
        client=DashScopeHook().get_conn,
        model="m",
        aws_conn_id="aws_default",
        rule=ANYWHERE,
        transfer="upload",
    )
    for opener, place in (
        (source, str(path)),
        (source, data_url(content, "image/jpeg")),
        (uploading, bucket.put("picture.jpg", content)),
    ):
        with pytest.raises(InvalidInputError, match="damaged or cut off"):
            opener.open(place, field="image")


def test_a_short_picture_in_s3_that_is_cut_off_is_refused_too(source: ImageSource, bucket: Bucket) -> None:
    whole = picture(600, 600, kind="JPEG")
    place = bucket.put("a.jpg", whole[: len(whole) // 2])
    for look in (source.check, source.open):
        with pytest.raises(InvalidInputError, match="damaged or cut off"):
            look(place, field="image")


def _iso_media(brand: bytes, *compatible: bytes) -> bytes:
    brands = b"".join([brand, bytes(4), *compatible])
    return (len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands + bytes(2000)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (_iso_media(b"heic", b"mif1", b"heic"), "HEIC"),
        (_iso_media(b"mif1", b"mif1", b"heic"), "HEIC"),
        (_iso_media(b"heix", b"mif1"), "HEIC"),
        (_iso_media(b"hevc", b"msf1"), "HEIC"),
        (_iso_media(b"avif", b"mif1", b"miaf"), "AVIF"),
        (_iso_media(b"mif1", b"avif"), "AVIF"),
    ],
)
def test_what_phones_and_browsers_write_is_refused_by_name_with_what_to_do(
    source: ImageSource, put: Callable[[bytes], str], content: bytes, name: str
) -> None:
    place = put(content)
    for look in (source.check, source.open):
        with pytest.raises(InvalidInputError, match=f"is a {name} picture; .*Convert it to JPEG"):
            look(place, field="image")


def test_a_film_is_no_heic_picture(source: ImageSource, put: Callable[[bytes], str]) -> None:
    with pytest.raises(InvalidInputError, match="no picture that can be read"):
        source.open(put(_iso_media(b"isom", b"iso2", b"mp41")), field="image")


def test_no_more_is_read_than_the_header_needs(
    source: ImageSource, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text is known by its first bytes, and a JPEG's size stands behind its metadata."""
    read: list[int] = []
    from airflow_provider_wanx.jobs.pictures import s3_source

    whole = vars(s3_source)["read_object"]

    def reading(*given: Any, **more: Any) -> Any:
        found = whole(*given, **more)
        read.append(len(found[0]))
        return found

    monkeypatch.setattr(s3_source, "read_object", reading)
    with pytest.raises(InvalidInputError, match="is text"):
        source.check(bucket.put("a.jpg", b"Dear Sir or Madam, " * 400_000), field="image")
    assert sum(read) <= 16 * 1024
    for content in (_saved(_noise(700), "WEBP", quality=95), _png_with_text(compressed=False)):
        read.clear()
        source.check(bucket.put("a.jpg", content), field="image")
        assert sum(read) <= 16 * 1024
    read.clear()
    source.check(bucket.put("a.jpg", _jpeg_behind(b"\xff\xe2", 400_000)), field="image")
    assert 400_000 < max(read) < 2_000_000


@pytest.mark.parametrize(
    ("name", "kind", "sent"),
    [
        ("photo.heic", "JPEG", "photo.jpg"),
        ("photo", "JPEG", "photo.jpg"),
        ("photo.JPG", "JPEG", "photo.jpg"),
        ("photo.jpeg", "PNG", "photo.png"),
        ("photo.jpg", "WEBP", "photo.webp"),
        ("photo.png", "BMP", "photo.bmp"),
    ],
)
def test_what_is_uploaded_has_the_extension_of_its_content(
    dashscope: BackgroundSimulator, source: ImageSource, tmp_path: Path, name: str, kind: str, sent: str
) -> None:
    path = tmp_path / name
    path.write_bytes(picture(kind=kind))
    assert source.open(str(path), field="image").publish().endswith(sent)


JPEG = _saved(_noise(300), "JPEG")
BASE64 = base64.b64encode(JPEG).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/jpeg;base64,{BASE64}",
        "data:image/jpeg;base64,\n" + re.sub("(.{76})", r"\1\r\n", BASE64),
        f"DATA:image/jpeg;BASE64,{BASE64}",
        f"data:image/jpeg;base64 ,{BASE64}",
        f"data:image/jpeg;base64,{BASE64.rstrip('=')}",
        f"data:image/jpeg;base64,{BASE64.replace('+', '-').replace('/', '_')}",
        f"data:image/jpeg;base64,{BASE64.replace('+', '-').replace('/', '_').rstrip('=')}",
        f"data:image/jpeg;base64,{quote(BASE64, safe='')}",
        f"data:image/png;base64,{BASE64}",
        f"data:application/octet-stream;name=photo.heic;base64,{BASE64}",
        f"data:;base64,{BASE64}",
        f"data:image/jpeg,{quote(JPEG)}",
        BASE64,
        re.sub("(.{76})", r"\1\n", BASE64),
        BASE64.replace("+", "-").replace("/", "_").rstrip("="),
    ],
)
def test_an_inlined_picture_is_sent_as_it_was_judged(source: ImageSource, text: str) -> None:
    opened = source.open(f"  {text}\n", field="image")
    assert opened.publish() == f"data:image/jpeg;base64,{BASE64}"
    assert opened.name == "data:image/jpeg;base64,…"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "JPEG"])
def test_base64_alone_is_known_by_what_it_begins_with(source: ImageSource, kind: str) -> None:
    content = picture(256, 256, kind=kind)
    text = base64.b64encode(content).decode()
    assert source.open(text, field="image").publish() == data_url(content, f"image/{kind.lower()}")
    SourceRule().check(text, "image")


def test_an_inlined_picture_that_is_too_long_for_some_models_is_uploaded(
    dashscope: BackgroundSimulator, source: ImageSource
) -> None:
    text = data_url(JPEG + bytes(8_000_000), "image/jpeg")
    assert source.open(text, field="image").publish().startswith("oss://")


def repaint(image: str) -> TaskRunner[WanxStyleRepaintOperator]:
    return TaskRunner(lambda: WanxStyleRepaintOperator(task_id="repaint", style=3, image=image))


@pytest.mark.parametrize(
    "text",
    [
        BASE64[:-3] + "!!!",
        re.sub("(.{76})", r"\1\n", BASE64) + "!",
        "A" * 129_000,
        "a picture, somehow: " * 7_000,
        "data:image/jpeg;base64," + BASE64[: len(BASE64) // 2],
        "data:image/jpeg;base64," + "A" * 129_000,
        "data:image/jpeg," + "A" * 129_000,
        "data:image/jpeg;base64," + BASE64.replace("A", "é", 1),
    ],
)
def test_nobodys_picture_reaches_a_log_or_a_message(
    at_rest: BackgroundSimulator, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    runner = repaint(text)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        runner.run_try()
    everything = f"{caught.value}{capsys.readouterr().out}{runner.xcoms}"
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not re.search(r"[\w+/=]{100}", everything)


def test_an_inlined_picture_leaves_nothing_of_itself_in_log_xcom_and_address(
    at_rest: BackgroundSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in (BASE64, data_url(JPEG, "image/jpeg")):
        runner = repaint(text)
        runner.run_try()
        assert source_address(text) in ("data:", "data:image/jpeg")
        assert (
            BASE64[:60]
            not in f"{capsys.readouterr().out}{runner.xcoms}{runner.store and runner.store.values}"
        )
    assert [task["image_url"][:23] for task in at_rest.ledger()["tasks"]] == ["data:image/jpeg;base64,"] * 2


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("https://图片.中国/a.jpg", "https://xn--wcsw84d.xn--fiqs8s/a.jpg"),
        (
            "https://图片。中国/图 片.jpg?x=图#图",
            "https://xn--wcsw84d.xn--fiqs8s/%E5%9B%BE%20%E7%89%87.jpg?x=%E5%9B%BE#%E5%9B%BE",
        ),
        ("http://Bücher.example:8080/ü.png", "http://xn--bcher-kva.example:8080/%C3%BC.png"),
        ("https://straße.example/a.png", "https://xn--strae-oqa.example/a.png"),
        ("https://me@bücher.example/a.png", "https://me@xn--bcher-kva.example/a.png"),
        ("https://[2001:db8::1]/a.png", "https://[2001:db8::1]/a.png"),
        ("https://example.com/a%20b.png", "https://example.com/a%20b.png"),
    ],
)
def test_an_address_goes_to_the_service_in_ascii(source: ImageSource, image: str, url: str) -> None:
    assert source.open(image, field="image").publish() == url


@pytest.mark.parametrize(
    "image", ["https://", "https:///a.png", "http://[::1/a.png", "https://a／b.example/a.png"]
)
def test_an_address_without_a_readable_host_is_told(source: ImageSource, image: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^image has no readable host"):
        source.open(image, field="image")
