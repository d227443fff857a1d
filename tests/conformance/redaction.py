"""Takes out of a report what belongs to the account: ids, signatures, keys."""

from __future__ import annotations

import re

from airflow_provider_wanx.dashscope.redaction import safe_words

_ID = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{24,}\b|\b\d{16,}\b"
)
_WORKSPACE = re.compile(r"\b(?:ws|llm)[-_][\w-]{4,}")


def redacted(text: str) -> str:
    """Make what was seen fit for an issue that everybody can read."""
    return _WORKSPACE.sub("‹workspace›", _ID.sub("‹id›", safe_words(text)))
