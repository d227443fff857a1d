"""Keys of a batch's results."""

from __future__ import annotations

import hashlib

from airflow_provider_wanx.batch.ledger.rows import LedgerRow
from airflow_provider_wanx.dashscope.styles import style_name
from airflow_provider_wanx.storage.keys import KeyTemplate

FIELDS = ("row", "name", "style", "style_name", "dashscope_task_id", "extension")
"""What may stand in braces in a key."""

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
        """
        return self._template.render(
            {
                "row": f"{row.row:06d}",
                "name": row.wish.name,
                "style": str(row.style),
                "style_name": style_name(row.style).lower(),
                "dashscope_task_id": row.dashscope_task_id or "",
                "extension": extension,
            }
        )

    def before_submission(self, row: LedgerRow) -> bytes | None:
        """Return a digest of the key as far as it is known, None if the template alone makes keys differ."""
        if "{row}" in self.template or "{dashscope_task_id}" in self.template:
            return None
        return hashlib.blake2b(self.key(row, extension="").encode(), digest_size=16).digest()
