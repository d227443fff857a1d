"""Keys of a batch's results."""

from __future__ import annotations

import hashlib
import re

from airflow_provider_wanx.batch.ledger.rows import LedgerRow
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.dashscope.styles import style_name
from airflow_provider_wanx.storage.keys import KeyTemplate

FIELDS = ("row", "name", "style", "style_name", "dashscope_task_id", "extension")
"""What may stand in braces in a key."""

_OWN = re.compile(r"(status|manifest)(\.|$)")
"""Objects of the batch itself, whatever the extension: that of a result is known only when it was paid for."""

DEFAULT_KEY = "{style_name}/{name}-{row}{extension}"


class ResultKeys:
    """Makes the keys under which results are stored, below the destination.

    :param template: with the fields of :data:`FIELDS` in braces.
    :raises InvalidInputError: it is no safe key, or has an unknown field.
    """

    def __init__(self, template: str) -> None:
        self._template = KeyTemplate(template, fields=FIELDS, default_name="{name}-{row}{extension}")
        self.template = self._template.template

    def key(self, row: LedgerRow, *, extension: str) -> str:
        """Make the key of a row's result.

        :param extension: with its dot, or empty.
        :raises InvalidInputError: it would be none, or that of an object in which the batch keeps its own affairs.
        """
        key = self._template.render(
            {
                "row": f"{row.row:06d}",
                "name": row.wish.name,
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
        return key

    def before_submission(self, row: LedgerRow) -> bytes | None:
        """Return a digest of the key as far as it is known, None if the template alone makes keys differ."""
        if "{row}" in self.template or "{dashscope_task_id}" in self.template:
            return None
        return hashlib.blake2b(self.key(row, extension="").encode(), digest_size=16).digest()
