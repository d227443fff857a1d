"""Manifests: files of JSONL, CSV or Parquet that name an image, its styles and more in every row."""

from __future__ import annotations

import gzip
import importlib.util
import io
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from airflow_provider_wanx.batch.input.formats import READERS, json_value
from airflow_provider_wanx.batch.input.rows import InvalidRow, RowMaker
from airflow_provider_wanx.batch.row import COLUMNS, INPUT_COLUMNS, Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import without_secrets
from airflow_provider_wanx.hooks.storage import opened
from airflow_provider_wanx.jobs.pictures.local_files import unreadable_is_refused
from airflow_provider_wanx.s3.addresses import split_s3_url
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.hook import s3_hook
from airflow_provider_wanx.s3.objects import ObjectStream

RESERVED_COLUMNS = COLUMNS.keys() - INPUT_COLUMNS
"""Columns that the manifest of the results has beside the carried ones, and :data:`INPUT_COLUMNS`."""


def is_manifest(place: str) -> bool:
    """Tell whether a place is named like a manifest; all others are folders."""
    return place.lower().removesuffix(".gz").endswith(tuple(READERS))


def manifest_format(url: str) -> str:
    """Return the extension that tells how a manifest is read, such as ``.csv``; that of a packed one is before ``.gz``."""
    return PurePosixPath(url.lower().removesuffix(".gz")).suffix


@dataclass(frozen=True, kw_only=True)
class ManifestSource:
    """The rows of a manifest, read from its beginning on every iteration.

    :param url: ``s3://bucket/key`` or what Airflow's object storage understands; its extension tells the format.
    :param maker: makes the rows.
    :param aws_conn_id: AWS connection for an ``s3://`` URL that names none.
    :raises InvalidInputError: the extension is not known, the URL has no key, or the format needs a missing library.
    """

    url: str
    maker: RowMaker
    aws_conn_id: str | None

    def __post_init__(self) -> None:
        if self.url.startswith("s3://"):
            split_s3_url(self.url)
        if self._format not in READERS or (self._is_compressed and self._format == ".parquet"):
            known = ", ".join((*READERS, ".jsonl.gz", ".ndjson.gz", ".csv.gz"))
            raise InvalidInputError(
                f"manifest {self.url} is of no known kind. Its name must end in one of {known}."
            )
        if self._format == ".parquet" and importlib.util.find_spec("pyarrow") is None:
            raise InvalidInputError(
                f"manifest {self.url} needs pyarrow, which is not installed: "
                "pip install 'airflow-provider-wanx[parquet]', or give the manifest as JSONL or CSV."
            )

    @property
    def description(self) -> str:
        """One line for messages and logs."""
        return f"manifest {without_secrets(self.url)}"

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it the same input on a later run, whatever rows have been added."""
        return {"manifest": self.url, **self.maker.identity}

    def __iter__(self) -> Iterator[Row | InvalidRow]:
        """Read the file.

        :raises InvalidInputError: it cannot be read, has no rows, lacks a column or has one that is reserved.
        :raises S3Error: S3 does not give it.
        """
        is_empty = is_unchecked = True
        with self._opened() as file:
            for record in READERS[self._format](file, self.description):
                is_empty = False
                if isinstance(record, InvalidRow):
                    yield record
                    continue
                place, cells = record
                if is_unchecked:
                    self._check_first(cells)
                    is_unchecked = False
                if RESERVED_COLUMNS & cells.keys():
                    self._refuse_reserved(place, cells)
                yield from self._rows(place, cells)
        if is_empty:
            raise InvalidInputError(f"{self.description} has no rows.")

    def _rows(self, place: str, cells: Mapping[str, Any]) -> Iterator[Row | InvalidRow]:
        try:
            values = {column: json_value(cell) for column, cell in cells.items()}
        except ValueError as error:
            return iter([InvalidRow(place, str(error))])
        own = {column: values.pop(column, None) for column in INPUT_COLUMNS}
        return self.maker.rows(place=place, **own, columns=values)

    def _check_first(self, cells: Mapping[str, Any]) -> None:
        found = ", ".join(cells) or "none"
        if "image" not in cells:
            raise InvalidInputError(
                f"{self.description} has no column 'image', which names the pictures; it has {found}."
            )
        if "style" not in cells and not self.maker.styles:
            raise InvalidInputError(
                f"{self.description} has no column 'style'; it has {found}. Add the column, or give the operator styles."
            )

    def _refuse_reserved(self, place: str, cells: Mapping[str, Any]) -> None:
        names = ", ".join(sorted(RESERVED_COLUMNS & cells.keys()))
        raise InvalidInputError(
            f"{self.description} has a column named {names} ({place}), as has the manifest of the results, "
            "to which all columns are copied. Rename it."
        )

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        opened = self._s3_object() if self.url.startswith("s3://") else self._stored_file()
        with opened as file:
            try:
                yield cast("BinaryIO", gzip.GzipFile(fileobj=file)) if self._is_compressed else file
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise InvalidInputError(f"{self.description} is no whole gzip file: {error}.") from None
            except UnicodeDecodeError:
                raise InvalidInputError(
                    f"{self.description} is not in UTF-8. Save it in that encoding."
                ) from None

    @contextmanager
    def _s3_object(self) -> Iterator[BinaryIO]:
        conn_id, bucket, key = split_s3_url(self.url)
        with s3_errors(f"read {self.url}"):
            client = s3_hook(conn_id or self.aws_conn_id).get_conn()
            if self._format == ".parquet":
                # It is read from its end.
                with tempfile.TemporaryFile() as copy:
                    client.download_fileobj(bucket, key, copy)
                    copy.seek(0)
                    yield cast("BinaryIO", copy)
            else:
                with closing(ObjectStream(client, bucket=bucket, key=key)) as body:
                    yield cast("BinaryIO", io.BufferedReader(body))

    @contextmanager
    def _stored_file(self) -> Iterator[BinaryIO]:
        with unreadable_is_refused(self.description), opened(self.url) as file:
            yield file

    @property
    def _is_compressed(self) -> bool:
        return self.url.lower().endswith(".gz")

    @property
    def _format(self) -> str:
        return manifest_format(self.url)
