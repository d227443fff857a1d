"""From what a user calls an image to a URL for the service."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from airflow_provider_wanx.dashscope.errors import InvalidInputError, S3Error
from airflow_provider_wanx.dashscope.redaction import without_signature
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.hooks.storage import image_source
from airflow_provider_wanx.jobs.pictures.image_source import Picture
from airflow_provider_wanx.jobs.pictures.s3_source import PRESIGNED_FOR_SECONDS
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.pictures import data_url, heavy_picture, picture, picture_behind_metadata
from tests.unit.support.s3 import Bucket, connection_json

MODEL = "wanx-style-repaint-v1"

Open = Callable[[str], Picture]


@pytest.fixture
def open_image() -> Iterator[Open]:
    """Open a picture as the operator's argument ``image``; no connection is there unless the test makes one."""
    with DashScopeHook() as hook:
        source = image_source(
            client=hook.get_conn, model=MODEL, aws_conn_id="aws_default", rule=ANYWHERE, transfer="link"
        )
        yield lambda image: source.open(image, field="image")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "portrait.png"
    path.write_bytes(picture())
    return path


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("https://example.com/a.jpg", "https://example.com/a.jpg"),
        ("  http://example.com/a.jpg\n", "http://example.com/a.jpg"),
        ("HTTPS://example.com/A.jpg", "https://example.com/A.jpg"),
        ("https://example.com/肖像 1.jpg", "https://example.com/%E8%82%96%E5%83%8F%201.jpg"),
        ("https://example.com/a%20b.jpg?sig=x%2By&n=1#f", "https://example.com/a%20b.jpg?sig=x%2By&n=1#f"),
        ("oss://dashscope-instant/x/portrait.png", "oss://dashscope-instant/x/portrait.png"),
    ],
)
def test_what_the_service_can_reach_goes_to_it_as_it_is_in_ascii(
    open_image: Open, image: str, url: str
) -> None:
    opened = open_image(image)
    assert opened.publish() == url
    # The same picture, whenever it was signed.
    assert opened.identity == without_signature(url)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_a_data_url_goes_to_the_service_as_it_is(open_image: Open, kind: str) -> None:
    url = data_url(picture(kind=kind), f"image/{kind.lower()}")
    assert open_image(url).publish() == url


def test_a_data_url_may_be_percent_encoded(open_image: Open) -> None:
    assert open_image(f"data:image/png,{quote(picture())}").publish() == data_url(picture())


def test_a_picture_is_known_by_its_content_wherever_it_comes_from(open_image: Open, file: Path) -> None:
    identity = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert open_image(str(file)).identity == identity
    assert open_image(f"file://{file}").identity == identity
    assert open_image(data_url(file.read_bytes())).identity == identity


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_file_is_uploaded_only_when_it_is_published(
    dashscope: BackgroundSimulator, open_image: Open, file: Path, form: str
) -> None:
    opened = open_image(form.format(file))
    assert "upload" not in dashscope.ledger(summary=True)["endpoints"]
    url = opened.publish()
    assert url.startswith("oss://")
    assert url.endswith("portrait.png")
    assert dashscope.ledger(summary=True)["endpoints"]["upload"]["requests"] == 1


def test_a_path_may_be_relative(open_image: Open, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert open_image(file.name).identity == open_image(str(file)).identity


def test_the_content_that_was_checked_is_what_is_uploaded(
    dashscope: BackgroundSimulator, open_image: Open, file: Path
) -> None:
    opened = open_image(str(file))
    file.write_text("overwritten meanwhile")
    with DashScopeHook() as hook:
        url = opened.publish()
        task_id = hook.submit_task(
            service="aigc/image-generation/generation",
            model=MODEL,
            input={"image_url": url, "style_index": 0},
        ).task_id
        dashscope.advance(9)
        assert hook.get_task(task_id).status == "SUCCEEDED"


def test_an_s3_object_is_presigned_for_longer_than_the_service_may_queue_a_task(
    open_image: Open, bucket: Bucket
) -> None:
    content = picture()
    url = open_image(bucket.put("people/a b?.png", content)).publish()
    assert httpx.get(url, trust_env=False).content == content
    assert PRESIGNED_FOR_SECONDS > 3 * 3600
    assert f"X-Amz-Expires={PRESIGNED_FOR_SECONDS}" in url


def test_an_s3_url_may_name_its_connection(
    open_image: Open, bucket: Bucket, s3_url: str, set_connection: Callable[..., None]
) -> None:
    bucket.put("a.png", picture())
    set_connection("aws_default", connection_json("http://127.0.0.1:1", retries={"max_attempts": 0}))
    set_connection("aws_other", connection_json(s3_url))
    assert open_image(f"s3://aws_other@{bucket.name}/a.png").publish().startswith(s3_url)


def test_an_s3_object_that_was_replaced_is_another_picture(open_image: Open, bucket: Bucket) -> None:
    before = open_image(bucket.put("a.png", picture())).identity
    again = open_image(bucket.put("a.png", picture())).identity
    after = open_image(bucket.put("a.png", picture(color="red"))).identity
    assert before == again != after


def test_a_large_s3_object_passes_up_to_the_limit(open_image: Open, bucket: Bucket) -> None:
    assert open_image(bucket.put("a.jpg", heavy_picture(10_000_000))).publish()


def test_an_s3_object_passes_whatever_its_metadata_measure(open_image: Open, bucket: Bucket) -> None:
    assert open_image(bucket.put("a.jpg", picture_behind_metadata(1_000_000))).publish()


def test_a_file_passes_whatever_its_metadata_measure(open_image: Open, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(picture_behind_metadata(1_000_000))
    assert open_image(str(path)).identity


@pytest.fixture(params=["file", "data"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], str]:
    """Put a picture's bytes somewhere where they can be checked; return how a user would write it."""

    def in_file(content: bytes) -> str:
        path = tmp_path / "picture"
        path.write_bytes(content)
        return str(path)

    return {"file": in_file, "data": data_url}[request.param]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: picture(100, 100), "has 100×100 pixels; the model takes 256×256 at least"),
        (lambda: picture(255, 300), "has 255×300 pixels; the model takes 256×256 at least"),
        (lambda: picture(5761, 3000), "has 5761×3000 pixels; the model takes 5760×3240 at most"),
        (lambda: picture(256, 520), "has 256×520 pixels, 2.03:1; the model takes 2:1 at most"),
        (lambda: heavy_picture(11_000_000), "has 11.0 MB; the model takes 10 MB at most"),
        (lambda: heavy_picture(10 * 1024 * 1024 + 1), "has 10.5 MB; the model takes 10 MB at most"),
        (lambda: picture(kind="GIF"), "is a GIF picture; the model takes JPEG, PNG, BMP, WEBP"),
        (lambda: b"Dear Sir or Madam,", "is text; the model takes JPEG, PNG, BMP, WEBP"),
        (lambda: bytes(range(256)), "is no picture that can be read; the model takes JPEG, PNG, BMP, WEBP"),
    ],
)
def test_a_bad_picture_is_refused_with_limit_and_value(
    open_image: Open, place: Callable[[bytes], str], content: Callable[[], bytes], problem: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_image(place(content()))
    assert problem in str(caught.value)
    # Not the whole of an inlined picture.
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (lambda: picture(100, 100), "has 100×100 pixels"),
        (lambda: heavy_picture(11_000_000), "has 11.0 MB"),
        (lambda: b"Dear Sir or Madam,", "is text"),
        (lambda: bytes(range(256)) * 2000, "is no picture that can be read"),
    ],
)
def test_a_bad_picture_in_s3_is_refused_before_anything_is_submitted(
    open_image: Open, bucket: Bucket, content: Callable[[], bytes], problem: str
) -> None:
    url = bucket.put("picture", content())
    with pytest.raises(InvalidInputError, match=f"^The (picture|file) {problem}.*: {url}"):
        open_image(url)


@pytest.mark.parametrize(
    "content",
    [
        lambda: picture(256, 256),
        lambda: picture(5760, 3240),
        lambda: picture(256, 512),
        lambda: heavy_picture(10_000_000),
    ],
)
def test_a_picture_right_at_a_limit_passes(
    open_image: Open, place: Callable[[bytes], str], content: Callable[[], bytes]
) -> None:
    open_image(place(content()))


@pytest.mark.parametrize("image", ["", "  ", "None"])
def test_no_image_at_all_is_told_with_the_arguments_name(open_image: Open, image: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^image is empty\.$"):
        open_image(image)


@pytest.mark.parametrize("image", ["data:", "data:image/png;base64,", "data:image/png;base64,%%%", "data:x"])
def test_an_unreadable_data_url_is_told(open_image: Open, image: str) -> None:
    with pytest.raises(InvalidInputError, match="image is not a readable data: URL"):
        open_image(image)


def test_a_file_that_is_not_there_is_told(open_image: Open, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"The file does not exist: image '.*nowhere.png'\.$"):
        open_image(str(tmp_path / "nowhere.png"))


def test_a_folder_is_no_picture(open_image: Open, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r": image '.*' cannot be read\."):
        open_image(str(tmp_path))


def test_a_storage_that_airflow_does_not_know_is_told(open_image: Open) -> None:
    with pytest.raises(InvalidInputError, match=r": image 'gopher://x/y\.png' cannot be read\."):
        open_image("gopher://x/y.png")


@pytest.mark.parametrize("image", ["s3://bucket", "s3:///key", "s3://bucket/"])
def test_an_s3_url_without_bucket_or_key_is_told(open_image: Open, image: str) -> None:
    with pytest.raises(InvalidInputError, match="is not like s3://bucket/key"):
        open_image(image)


def test_what_s3_says_no_to_is_told_with_the_url(open_image: Open, bucket: Bucket) -> None:
    with pytest.raises(S3Error, match=r"^The object does not exist: could not read s3://.*/nowhere\.png"):
        open_image(f"s3://{bucket.name}/nowhere.png")
    with pytest.raises(
        S3Error, match=r"^The bucket does not exist: could not read s3://no-such-bucket/a\.png"
    ):
        open_image("s3://no-such-bucket/a.png")
    bucket.put("empty.png", b"")
    with pytest.raises((S3Error, InvalidInputError), match="is empty"):
        open_image(f"s3://{bucket.name}/empty.png")
