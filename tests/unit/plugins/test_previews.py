"""The pictures of the gallery: what is shown, what never is, and what stands in its place."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from airflow_provider_wanx.plugins.gallery import owned_objects
from tests.unit.plugins.gallery_world import PICTURES, RUN, Browser, World, entry, origin, owned, portrait
from tests.unit.support.pictures import picture_claiming

pytestmark = pytest.mark.needs_airflow("3.1", "the gallery")

RESULT = f"/dags/faces/runs/{RUN}/tasks/copy/-1/results/0"
KEY = "results/task-1.png"
SOURCE = "faces/ada.png"
ALPHA = Image.new("RGBA", (900, 500), (255, 0, 0, 0))


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def put(world: World, store: Any) -> Callable[..., None]:
    """Store a result, and the source that it was made from."""
    world.copy(entry())

    def objects(result: bytes | None = None, source: bytes | None = None, **said: str) -> None:
        metadata = origin() | {name.replace("_", "-"): value for name, value in said.items()}
        store.put_object(Bucket=PICTURES, Key=KEY, Body=result or portrait(), Metadata=metadata)
        store.put_object(Bucket=PICTURES, Key=SOURCE, Body=source or portrait("red", (400, 256)))

    return objects


class TestShown:
    """What is shown."""

    def test_a_picture_comes_as_it_is_and_small(self, put: Callable[..., None], admin: Browser) -> None:
        put(portrait(size=(1536, 1024)))
        full = admin.get(f"{RESULT}/result")
        assert (full.content, full.headers["content-type"]) == (portrait(size=(1536, 1024)), "image/png")
        assert full.headers["content-security-policy"].startswith("default-src 'none'; style-src")
        assert full.headers["x-content-type-options"] == "nosniff"
        assert full.headers["cache-control"] == "private, max-age=60"
        small = admin.get(f"{RESULT}/result", size="small")
        assert small.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(small.content)).size == (360, 240)

    def test_the_source_is_shown_too(self, put: Callable[..., None], admin: Browser) -> None:
        put()
        small = admin.get(f"{RESULT}/source", size="small")
        pixel: Any = Image.open(io.BytesIO(small.content)).convert("RGB").getpixel((9, 9))
        assert pixel[0] > 200 > 60 > pixel[1]

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
    def test_its_type_is_what_it_is_and_not_what_it_is_said_to_be(
        self, put: Callable[..., None], admin: Browser, kind: str
    ) -> None:
        put(portrait(kind=kind))
        assert admin.get(f"{RESULT}/result").headers["content-type"] == f"image/{kind.lower()}"

    def test_a_thumbnail_stays_transparent_and_upright(
        self, put: Callable[..., None], admin: Browser
    ) -> None:
        turned = Image.Exif()
        turned[0x0112] = 6
        put(_encoded(ALPHA, "PNG"), _encoded(Image.new("RGB", (900, 500)), "JPEG", exif=turned))
        result = Image.open(io.BytesIO(admin.get(f"{RESULT}/result", size="small").content))
        source = Image.open(io.BytesIO(admin.get(f"{RESULT}/source", size="small").content))
        assert result.mode == "RGBA"
        assert source.height > source.width

    def test_a_thumbnail_is_made_once(self, put: Callable[..., None], admin: Browser, store: Any) -> None:
        put()
        first = admin.get(f"{RESULT}/result", size="small").content
        store.delete_object(Bucket=PICTURES, Key=KEY)
        assert admin.get(f"{RESULT}/result", size="small").content == first
        assert admin.get(f"{RESULT}/result").status_code == 404


class TestNeverShown:
    """Objects that a manifest names and that were not written by the copy, or are no pictures."""

    def test_an_object_that_the_task_has_not_made(self, put: Callable[..., None], admin: Browser) -> None:
        put(dashscope_task_id="another")
        for path in (
            f"{RESULT}/result",
            f"{RESULT}/result?size=small",
            f"{RESULT}/source",
            f"{RESULT}/source?size=small",
        ):
            answer = admin.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "image/svg+xml"), path
        assert "The object cannot be shown" in admin.get(RESULT).text

    def test_an_object_with_no_task_at_all_where_the_manifest_names_none(
        self, world: World, admin: Browser, store: Any
    ) -> None:
        world.copy(entry(dashscope_task_id=None, key="payroll.png"))
        store.put_object(Bucket=PICTURES, Key="payroll.png", Body=portrait(), Metadata=owned())
        assert admin.get(f"{RESULT}/result").status_code == 404

    def test_a_source_that_the_object_does_not_name(self, world: World, admin: Browser, store: Any) -> None:
        world.copy(entry(source="s3://pictures/payroll.png"))
        store.put_object(Bucket=PICTURES, Key=KEY, Body=portrait(), Metadata=origin())
        store.put_object(Bucket=PICTURES, Key="payroll.png", Body=portrait())
        assert admin.get(f"{RESULT}/source").status_code == 404
        assert admin.get(f"{RESULT}/result").status_code == 200

    @pytest.mark.parametrize(
        "source",
        [
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "gs://bucket/key.png",
            "data:image/png;base64,AAAA",
            "s3://",
            "s3://bucket",
            "/etc/passwd",
            None,
        ],
    )
    def test_a_source_outside_of_s3(self, world: World, admin: Browser, source: str | None) -> None:
        world.copy(entry(source=source))
        assert admin.get(f"{RESULT}/source").status_code == 404
        assert "/source" not in admin.get(f"/dags/faces/runs/{RUN}").text

    def test_a_copys_source_takes_no_connection_of_its_own(
        self, world: World, admin: Browser, store: Any
    ) -> None:
        world.copy(entry(source="s3://other_conn@pictures/faces/ada.png"))
        store.put_object(Bucket=PICTURES, Key=KEY, Body=portrait(), Metadata=origin())
        store.put_object(Bucket=PICTURES, Key=SOURCE, Body=portrait())
        assert admin.get(f"{RESULT}/source").status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<svg onload='attacked=1'/>",
            b"<script>attacked=1</script>",
            b"GIF89a" + bytes(99),
            b"%PDF-1.7",
            portrait()[:40],
            bytes(5000),
        ],
    )
    def test_what_is_no_picture_of_the_kinds_that_are_known(
        self, put: Callable[..., None], admin: Browser, body: bytes
    ) -> None:
        put(body or b"\0")
        for size in ("small", "full"):
            answer = admin.get(f"{RESULT}/result", size=size)
            assert (answer.status_code, answer.headers["content-type"]) == (415, "image/svg+xml")
            assert b"attacked" not in answer.content

    @pytest.mark.parametrize("side", [4_600, 20_000])
    def test_a_picture_that_would_fill_the_memory(
        self, put: Callable[..., None], admin: Browser, side: int
    ) -> None:
        put(picture_claiming(side))
        for size in ("small", "full"):
            assert admin.get(f"{RESULT}/result", size=size).status_code == 413

    def test_a_file_that_would_fill_the_memory(
        self, put: Callable[..., None], admin: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(owned_objects, "MAX_BYTES", 1000)
        put(portrait(size=(900, 900)))
        assert admin.get(f"{RESULT}/result").status_code == 413


class TestMissing:
    """What is not there any more, or cannot be reached."""

    def _told(self, admin: Browser, status: int, title: str) -> None:
        for size in ("small", "full"):
            answer = admin.get(f"{RESULT}/result", size=size)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "image/svg+xml")
        page = admin.get(RESULT)
        assert page.status_code == 200
        assert f'<p class="what">{title}</p>' in page.text

    @pytest.mark.parametrize("fields", [{}, {"bucket": "no-such-bucket"}, {"bucket": "../../etc"}])
    def test_an_object_or_a_bucket_that_is_gone(
        self, world: World, admin: Browser, store: Any, fields: dict[str, str]
    ) -> None:
        world.copy(entry(**fields))
        self._told(admin, 404, "The object cannot be shown")

    def test_an_s3_that_does_not_answer(
        self, world: World, admin: Browser, set_connection: Callable[..., None]
    ) -> None:
        extra = {
            "endpoint_url": "http://127.0.0.1:9",
            "config_kwargs": {"retries": {"total_max_attempts": 1}},
        }
        set_connection(
            "aws_default", {"conn_type": "aws", "login": "key", "password": "hidden-secret", "extra": extra}
        )
        world.copy(entry())
        self._told(admin, 503, "S3 cannot be reached")
        assert "127.0.0.1" not in admin.get(RESULT).text

    def test_a_connection_that_is_none_for_aws(
        self, world: World, admin: Browser, set_connection: Callable[..., None]
    ) -> None:
        extra = {"role_arn": "no role", "assume_role_method": "no method"}
        set_connection("aws_default", {"conn_type": "aws", "password": "hidden-secret", "extra": extra})
        world.copy(entry())
        self._told(admin, 424, "The gallery has no AWS connection")
        assert "hidden-secret" not in admin.get(RESULT).text
