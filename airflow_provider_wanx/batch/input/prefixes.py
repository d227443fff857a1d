"""All pictures below a folder of S3, of any other object storage, or of a disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_wanx.batch.input.manifests import is_manifest
from airflow_provider_wanx.batch.input.rows import InvalidRow, RowMaker
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted, without_secrets
from airflow_provider_wanx.hooks.storage import stored_path
from airflow_provider_wanx.jobs.pictures.local_files import unreadable_is_refused
from airflow_provider_wanx.s3.addresses import split_s3_prefix
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.hook import s3_hook

_PICTURE = re.compile(r".*\.(jpe?g|png|bmp|webp)", re.IGNORECASE | re.DOTALL)
"""Names of files in formats that the model reads."""

_DIGESTS = ("ETag", "etag", "md5Hash", "content_md5")


class _File(NamedTuple):
    path: str
    """Below the folder, with slashes."""
    size: int | None
    etag: object

    @property
    def version(self) -> str | None:
        """What tells its content from another one's."""
        if self.etag:
            return str(self.etag).strip('"')
        return None if self.size is None else f"{self.size} bytes"


def split_pattern(place: str) -> tuple[str, str | None]:
    """Split a folder with a pattern of paths, which begins at the first part with an asterisk.

    :return: the folder, and the pattern, None if there is none.
    """
    if "*" not in place:
        return place, None
    at = place.rfind("/", 0, place.index("*")) + 1
    return place[:at], place[at:]


@dataclass(frozen=True, kw_only=True)
class PrefixSource:
    """The pictures below a folder, in the order of their names; listed anew and page by page on every iteration.

    :param url: ``s3://bucket/folder``, or what Airflow's object storage understands; the bucket or the scheme's place may
        have a connection id before it.
    :param glob: pattern of paths below the folder, in which ``**`` crosses folders; without one, files named like pictures.
    :param maker: makes the rows.
    :param aws_conn_id: AWS connection for ``s3://`` URLs that name none.
    :raises InvalidInputError: the URL has no bucket, or the pattern cannot be read.
    """

    url: str
    glob: str | None
    maker: RowMaker
    aws_conn_id: str | None

    def __post_init__(self) -> None:
        self._matcher()
        if self.url.startswith("s3://"):
            split_s3_prefix(self.url)
        object.__setattr__(self, "url", self.url if self.url.endswith("/") else f"{self.url}/")

    @property
    def description(self) -> str:
        """One line for messages and logs."""
        return f"{self._wanted} in {without_secrets(self.url)}"

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it the same input on a later run, whatever has been added to the folder."""
        return {"prefix": self.url, "glob": self.glob, **self.maker.identity}

    def __iter__(self) -> Iterator[Row | InvalidRow]:
        """List the folder.

        :raises InvalidInputError: the folder cannot be read, or nothing in it matches.
        :raises S3Error: S3 does not list it.
        """
        matches = self._matcher()
        found = others = 0
        for file in self._s3_objects() if self.url.startswith("s3://") else self._stored_files():
            if file.size == 0 or not matches(file.path):
                others += 1
                continue
            found += 1
            image = f"{self.url}{file.path}"
            yield from self.maker.rows(place=image, image=image, version=file.version)
        if not found:
            raise InvalidInputError(
                f"There are no {self._wanted} in {self.url}, only {others} other or empty file(s). "
                f"{self._advice}"
            )

    @property
    def _advice(self) -> str:
        name = self.url.rstrip("/").lower()
        if _PICTURE.fullmatch(name):
            return "It looks like a picture, and was taken for a folder. Give single images as a list: images=[…]."
        if is_manifest(name):
            return "It looks like a manifest, and was taken for a folder. Leave out the slash at its end."
        return "Correct the folder or the pattern behind it; give single images as a list."

    @property
    def _wanted(self) -> str:
        return f"files like {self.glob}" if self.glob else "pictures (.jpg, .jpeg, .png, .bmp, .webp)"

    def _matcher(self) -> Callable[[str], object]:
        from fsspec.utils import glob_translate  # only a worker needs it

        if self.glob is None:
            return _PICTURE.fullmatch
        try:
            return re.compile(glob_translate(self.glob)).match
        except ValueError as error:
            raise InvalidInputError(
                f"images: the pattern {quoted(self.glob)} cannot be read: {error}."
            ) from None

    def _s3_objects(self) -> Iterator[_File]:
        conn_id, bucket, prefix = split_s3_prefix(self.url)
        with s3_errors(f"list {self.url}"):
            hook = s3_hook(conn_id or self.aws_conn_id)
            for entry in hook.iter_file_metadata(prefix=prefix, bucket_name=bucket):
                # What ends in a slash stands for a folder.
                if not entry["Key"].endswith("/"):
                    yield _File(entry["Key"].removeprefix(prefix), entry["Size"], entry.get("ETag"))

    def _stored_files(self) -> Iterator[_File]:
        with unreadable_is_refused(f"images {quoted(self.url)}"):
            path = stored_path(self.url)
            root: str | None = None
            for folder, folders, files in path.fs.walk(path.path, detail=True, on_error="raise"):
                root = folder if root is None else root
                # A file system lists in any order. What is walked next is read from the same dictionary.
                in_order = sorted(folders.items())
                folders.clear()
                folders.update(in_order)
                below = folder.removeprefix(root).strip("/")
                for name, info in sorted(files.items()):
                    # A file in the place of the folder has no name.
                    if name:
                        # Each store has a name of its own for the digest of a content.
                        etag = next((info[each] for each in _DIGESTS if info.get(each)), None)
                        yield _File(f"{below}/{name}" if below else name, info.get("size"), etag)
