"""Keys of a batch's results."""

from __future__ import annotations

import hashlib
import re

from airflow_provider_wanx.batch.row import Row
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.picture_address import source_name
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.dashscope.styles import style_name
from airflow_provider_wanx.jobs.copying.key_template import MAX_KEY_BYTES, KeyTemplate

FIELDS = (
    "row", "name", "source_name", "style", "style_name", "dashscope_task_id", "index", "run_id", "extension",
)  # fmt: skip
"""What may stand in braces in a key, besides the input's own columns."""

_COLUMN = re.compile(r"(?<!\{)\{([^\W\d][^{}!:.\[\]]*)\}")
"""A field in braces that may be the name of a column."""

_OWN = re.compile(r"(status|manifest)(\.|$)")
"""Objects of the batch itself, whatever the extension: that of a result is known only when it was paid for."""

DEFAULT_KEY = "{style_name}/{name}-{row}{extension}"


class ResultKeys:
    """Makes the keys under which results are stored.

    :param template: with the fields of :data:`FIELDS` in braces, or own columns.
    :param run_id: of the DAG run.
    :param prefix: what all keys begin with, empty or ending in a slash.
    :raises InvalidInputError: it is no safe key.
    """

    def __init__(self, template: str, *, run_id: str = "", prefix: str = "") -> None:
        self._own = tuple(sorted(set(_COLUMN.findall(template)) - set(FIELDS)))
        self._template = KeyTemplate(
            template, fields=(*FIELDS, *self._own), default_name="{name}-{row}{extension}"
        )
        self.template = self._template.template
        self._run_id = run_id
        self._prefix = prefix

    def key(self, row: Row, *, extension: str) -> str:
        """Make the key of a row's result.

        :param extension: with its dot, or empty.
        :raises InvalidInputError: it would be none, or that of an object in which the batch keeps its own affairs.
        """
        key = self._template.render(
            {
                **{name: self._cell(row, name) for name in self._own},
                "row": f"{row.row:06d}",
                "name": row.name,
                "source_name": source_name(row.image),
                "index": "0",
                "run_id": self._run_id,
                "style": str(row.style),
                "style_name": style_name(row.style).lower(),
                "dashscope_task_id": row.dashscope_task_id or "",
                "extension": extension,
            }
        )
        if _OWN.match(key):
            raise InvalidInputError(
                f"The batch itself writes {quoted(key)}. Put a folder or another name into s3_key: {quoted(self.template)}."
            )
        key = self._prefix + key
        if len(key.encode()) > MAX_KEY_BYTES:
            raise InvalidInputError(
                f"The key of its result, {key!r}, is longer than S3's {MAX_KEY_BYTES} bytes."
            )
        return key

    def _cell(self, row: Row, name: str) -> str:
        cell = row.columns.get(name)
        if not isinstance(cell, str | int | float) or cell == "":
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            raise InvalidInputError(
                f"s3_key has {{{name}}}, and row {row.row} ({row.unsigned().image}) has no value in such a column. Known are "
                f"{known}, and columns of a manifest that every row fills. Nothing was submitted."
            )
        return str(cell)

    def before_submission(self, row: Row) -> bytes | None:
        """Return a digest of the key as far as it is known, None if the template alone makes keys differ.

        :raises InvalidInputError: the row lacks what the key takes.
        """
        for name in self._own:
            self._cell(row, name)
        if "{row}" in self.template or "{dashscope_task_id}" in self.template:
            return None
        return hashlib.blake2b(self.key(row, extension="").encode(), digest_size=16).digest()
