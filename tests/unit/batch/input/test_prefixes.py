"""Folders of pictures in S3, on disk and in other storage."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from airflow_provider_wanx.batch.input.prefixes import PrefixSource
from airflow_provider_wanx.batch.input.rows import RowMaker
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError, S3Error
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.hooks.storage import image_source
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE
from tests.unit.support.airflow_names import attach
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket, connection_json

PICTURES = ["B.JPG", "a.png", "deep/er/e.WebP", "deep/d.jpeg", "z.bmp"]
OTHERS = ["a.png.txt", "notes.txt", "jpg", "deep/list.csv"]


def _source(url: str, glob: str | None = None, **more: Any) -> PrefixSource:
    maker = RowMaker(styles=more.pop("styles", (0,)), style_reference=None, rule=ANYWHERE)
    return PrefixSource(url=url, glob=glob, maker=maker, aws_conn_id="aws_default")


def _images(source: PrefixSource) -> list[str]:
    rows = list(source)
    assert all(isinstance(row, Row) for row in rows)
    return [row.image for row in rows if isinstance(row, Row)]


Folder = Callable[[dict[str, bytes]], str]


@pytest.fixture(params=["s3", "disk", "file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """Store files below a folder with neighbours of nearly its name; return the folder's URL."""

    def in_s3(files: dict[str, bytes]) -> str:
        bucket: Bucket = request.getfixturevalue("bucket")
        for path, body in {**files, "../people-too/x.jpg": b"x", "../x.jpg": b"x"}.items():
            bucket.put(f"our/people/{path}".replace("people/../", ""), body)
        return f"s3://{bucket.name}/our/people"

    def on_disk(files: dict[str, bytes]) -> str:
        for path, body in {**files, "../people-too/x.jpg": b"x", "../x.jpg": b"x"}.items():
            target = tmp_path / "people" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
        return str(tmp_path / "people")

    def in_memory(files: dict[str, bytes]) -> str:
        memory = fsspec.filesystem("memory")
        attach(protocol="memory", fs=memory)
        for path, body in files.items():
            memory.pipe(f"/our/people/{path}", body)
        return "memory://our/people"

    kinds: dict[str, Folder] = {
        "s3": in_s3,
        "disk": on_disk,
        "file": lambda files: f"file://{on_disk(files)}",
        "memory": in_memory,
    }
    yield kinds[request.param]
    fsspec.filesystem("memory").store.clear()


def test_every_picture_below_a_folder_is_found_by_its_name(folder: Folder) -> None:
    url = folder(dict.fromkeys(PICTURES + OTHERS, b"x"))
    images = _images(_source(url))
    assert sorted(images) == sorted(f"{url}/{path}" for path in PICTURES)
    assert images == _images(_source(f"{url}/"))


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.png", ["a.png"]),
        ("**/*.jp*g", ["deep/d.jpeg"]),
        ("deep/**", ["deep/d.jpeg", "deep/er/e.WebP", "deep/list.csv"]),
        ("**/[de].*", ["deep/d.jpeg", "deep/er/e.WebP"]),
        ("notes.txt", ["notes.txt"]),
    ],
)
def test_a_glob_matches_paths_below_the_folder(folder: Folder, glob: str, found: list[str]) -> None:
    url = folder(dict.fromkeys(PICTURES + OTHERS, b"x"))
    assert sorted(_images(_source(url, glob))) == [f"{url}/{path}" for path in found]


def test_empty_files_are_left_out(folder: Folder) -> None:
    url = folder({"a.jpg": b"", "b.jpg": b"x"})
    assert _images(_source(url)) == [f"{url}/b.jpg"]


@pytest.mark.parametrize(
    ("glob", "what"), [(None, r"pictures \(\.jpg, .*\)"), ("*.tif", r"files like \*\.tif")]
)
def test_a_folder_in_which_nothing_matches_is_refused_with_what_was_looked_for(
    folder: Folder, glob: str | None, what: str
) -> None:
    url = folder({"a.txt": b"x", "deep/b.txt": b"x", "c.jpg": b""})
    with pytest.raises(InvalidInputError, match=f"There are no {what} in {url}/, only 3 other or empty file"):
        list(_source(url, glob))


def test_a_folder_is_read_in_the_order_of_names_whatever_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["b/2.jpg", "b/1.jpg", "a.jpg", "c.jpg", "a/x/9.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    disk = fsspec.filesystem("file")
    listed = type(disk).ls

    def backwards(self: Any, path: str, **options: Any) -> list[Any]:
        return sorted(listed(self, path, **options), key=lambda info: info["name"], reverse=True)

    monkeypatch.setattr(type(disk), "ls", backwards)
    found = [Path(image).relative_to(tmp_path).as_posix() for image in _images(_source(str(tmp_path)))]
    assert found == ["a.jpg", "c.jpg", "a/x/9.jpg", "b/1.jpg", "b/2.jpg"]


def test_a_relative_folder_gives_relative_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "a.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert _images(_source("people")) == ["people/a.jpg"]


def test_every_image_is_repainted_in_every_style(bucket: Bucket) -> None:
    url = bucket.put("people/a.jpg", b"x")
    rows = list(_source(f"s3://{bucket.name}", styles=(0, 5)))
    assert [(row.image, row.style) for row in rows if isinstance(row, Row)] == [(url, 0), (url, 5)]


def test_what_stands_for_a_folder_in_s3_is_no_picture(bucket: Bucket) -> None:
    bucket.put("people/", b"x")
    bucket.put("people/more.jpg/", b"x")
    url = bucket.put("people/a.jpg", b"x")
    assert _images(_source(f"s3://{bucket.name}/people", "**")) == [url]


def test_s3_keys_mean_what_they_say(bucket: Bucket) -> None:
    keys = ["p/a b?.png", "p/a#b.png", "p/a%20b.png", "p/肖像.png", "p//x.png"]
    urls = [bucket.put(key, b"x") for key in keys]
    assert set(_images(_source(f"s3://{bucket.name}/p"))) == set(urls)


def test_a_folder_may_name_its_connection_and_its_images_can_be_opened(
    bucket: Bucket, s3_url: str, set_connection: Callable[..., None]
) -> None:
    bucket.put("people/a.png", picture())
    set_connection("aws_default", connection_json("http://127.0.0.1:1", retries={"max_attempts": 0}))
    set_connection("aws_other", connection_json(s3_url))
    (image,) = _images(_source(f"s3://aws_other@{bucket.name}/people"))
    assert image == f"s3://aws_other@{bucket.name}/people/a.png"
    with DashScopeHook() as hook:
        opened = image_source(
            client=hook.get_conn, model="m", aws_conn_id="aws_default", rule=ANYWHERE, transfer="link"
        )
        assert opened.open(image, field="image").publish().startswith(s3_url)


def test_a_bucket_that_is_not_there_is_told(bucket: Bucket) -> None:
    with pytest.raises(S3Error, match=r"The bucket does not exist: could not list s3://no-such-bucket/p/"):
        list(_source("s3://no-such-bucket/p"))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"The file does not exist: images '.*/nowhere/'"):
        list(_source(str(tmp_path / "nowhere")))


def test_a_storage_that_airflow_does_not_know_is_told() -> None:
    with pytest.raises(InvalidInputError, match=": images 'gopher://x/y/' cannot be read"):
        list(_source("gopher://x/y"))


def test_a_picture_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(InvalidInputError, match=r"Give single images as a list|cannot be read"):
        list(_source(str(tmp_path / "a.jpg")))


class _EndlessS3:
    """An S3 hook that lists as many keys as are asked for and counts the pages that it has been asked for."""

    def __init__(self, *, keys: int) -> None:
        self._keys = keys
        self.pages = 0

    def iter_file_metadata(
        self, *, prefix: str, bucket_name: str, page_size: int = 1000
    ) -> Iterator[dict[str, Any]]:
        for first in range(0, self._keys, page_size):
            self.pages += 1
            yield from [
                {"Key": f"{prefix}{number:07}.jpg", "Size": 1} for number in range(first, first + page_size)
            ]


def test_a_folder_is_listed_page_by_page_and_rows_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = _EndlessS3(keys=20_000)
    monkeypatch.setattr("airflow_provider_wanx.batch.input.prefixes.s3_hook", lambda _: s3)

    def alive() -> int:
        return sum(type(each) is Row for each in gc.get_objects())

    others, most = alive(), 0
    for number, _ in enumerate(_source("s3://b/people")):
        assert s3.pages == number // 1000 + 1
        if number % 5_000 == 0:
            most = max(most, alive() - others)
    assert s3.pages == 20
    assert most < 10
