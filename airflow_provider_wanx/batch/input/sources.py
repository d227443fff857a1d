"""The input of a batch: a folder of pictures, a list of images, or a manifest, all read as streams of rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_wanx.batch.input.manifests import ManifestSource, is_manifest
from airflow_provider_wanx.batch.input.prefixes import PrefixSource, split_pattern
from airflow_provider_wanx.batch.input.rows import InvalidRow, RowMaker, Styles, style_numbers
from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted, without_query, without_signature
from airflow_provider_wanx.jobs.pictures.source_rule import SourceRule, split_scheme
from airflow_provider_wanx.s3.addresses import split_s3_prefix

__all__ = ["InvalidRow", "ListSource", "Shard", "Source", "check_destination", "open_source"]


@dataclass(frozen=True, kw_only=True)
class ListSource:
    """Images that a user or another task has listed.

    :param images: URLs or paths.
    :param maker: makes the rows.
    """

    images: Sequence[str]
    maker: RowMaker

    @property
    def description(self) -> str:
        """One line for messages and logs."""
        return f"a list of {len(self.images)} image(s)"

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it the same input on a later run: all entries in their order."""
        digest = hashlib.sha256()
        for each in self.images:
            image = without_signature(each) if isinstance(each, str) else each
            digest.update(f"{json.dumps(image, default=str)}\n".encode())
        return {"list": digest.hexdigest(), **self.maker.identity}

    def __iter__(self) -> Iterator[Row | InvalidRow]:
        """Go through the list."""
        for index, image in enumerate(self.images):
            yield from self.maker.rows(place=f"images[{index}]", image=image)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A part of an input: so many of its rows, spread evenly, and the same ones every time.

    :param source: the whole input.
    :param number: which part, from 1.
    :param count: how many parts there are.
    """

    source: Source
    number: int
    count: int

    @classmethod
    def read(cls, source: Source, text: str) -> Shard:
        """Read a part like ``"1/4"``.

        :raises InvalidInputError: it is none.
        """
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count:
            raise InvalidInputError(
                f"shard {quoted(text)} is not like '1/4': a part from 1 on, and the number of parts."
            )
        return cls(source=source, number=number, count=count)

    @property
    def description(self) -> str:
        """One line for messages and logs."""
        return f"part {self.number} of {self.count} of {self.source.description}"

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it the same input on a later run."""
        return {**self.source.identity, "shard": f"{self.number}/{self.count}"}

    def __iter__(self) -> Iterator[Row | InvalidRow]:
        """Go through the rows of the part; what is invalid belongs to every part."""
        for row in self.source:
            if isinstance(row, InvalidRow) or self._has(row):
                yield row

    def _has(self, row: Row) -> bool:
        return int.from_bytes(row.identity, "big") % self.count == self.number - 1


Source = ListSource | PrefixSource | ManifestSource | Shard
"""An input that can be read any number of times, a row at a time. Its ``identity`` makes it the same input on a later run."""


def open_source(
    *,
    images: str | Sequence[str] | None,
    styles: Styles | None,
    style_reference: str | None,
    aws_conn_id: str | None,
    rule: SourceRule,
) -> Source:
    """Choose how to read an operator's input; nothing is read yet.

    :param images: URL or path of a folder, which may end in a pattern of paths, or of a manifest; or a list of images.
    :param styles: for images that name none; a manifest may name them all itself.
    :param style_reference: for style -1.
    :param aws_conn_id: AWS connection for ``s3://`` URLs that name none.
    :param rule: who may name which source; what it has for ``images`` and ``style_reference`` is the author's.
    :raises InvalidInputError: an argument is missing, wrong, or does not go with the others.
    """
    images = split_scheme(images)[1] if isinstance(images, str) else images
    if not images:
        raise InvalidInputError(
            f"images is {'an empty list' if isinstance(images, Sequence) and images != '' else 'empty'}. Give the URL of a "
            "folder or of a manifest, or a list of images."
        )
    style_reference = (style_reference or "").strip() or None
    if style_reference:
        rule.check(style_reference, "style_reference")
    maker = RowMaker(
        styles=style_numbers(styles), style_reference=style_reference, rule=rule_for_pictures(rule)
    )
    if isinstance(images, str):
        _check_no_web_address(images)
        rule.check(images, "images")
        if is_manifest(images):
            return ManifestSource(url=images, maker=maker, aws_conn_id=aws_conn_id)
        maker.check_complete()
        folder, glob = split_pattern(images)
        return PrefixSource(url=folder, glob=glob, maker=maker, aws_conn_id=aws_conn_id)
    if not isinstance(images, Sequence) or isinstance(images, bytes):
        raise InvalidInputError(f"images is no text and no list, but {type(images).__name__}.")
    maker.check_complete()
    return ListSource(images=images, maker=maker)


def rule_for_pictures(rule: SourceRule) -> SourceRule:
    """Extend a rule for ``images`` to each single ``image``: what is in the author's folder or list, not what a manifest names.

    :param rule: who may name which source.
    """
    places = rule.written.get("images", frozenset())
    own = frozenset(split_pattern(each)[0] for each in places if not is_manifest(each))
    return replace(rule, written={**rule.written, "image": own})


def check_destination(source: Source, bucket: str, prefix: str) -> None:
    """Refuse a destination from which a later run would read its own results.

    :param source: the input.
    :param bucket: the bucket that is written to.
    :param prefix: what the keys of all results begin with.
    :raises InvalidInputError: it lies in the source folder.
    """
    if not isinstance(source, PrefixSource) or not source.url.startswith("s3://"):
        return
    _, source_bucket, source_prefix = split_s3_prefix(source.url)
    if bucket == source_bucket and f"{prefix.strip('/')}/".startswith(source_prefix):
        raise InvalidInputError(
            f"The destination s3://{bucket}/{prefix} is inside the source {source.url}: the next run would repaint its "
            "results. Choose a destination beside the source."
        )


def _check_no_web_address(url: str) -> None:
    if url.lower().startswith(("http://", "https://")):
        raise InvalidInputError(
            f"{without_query(url)} is a web address, which is neither a folder nor a manifest that Airflow can read. "
            "Give images on the web as a list, or their addresses in a manifest on S3."
        )
