"""Keep secrets out of logs and messages: API keys, bearer tokens and the signatures of URLs."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_MAX_WORDS = 500

_SECRETS = (
    (re.compile(r"\?\S+"), "?…"),
    (re.compile(r"(?<=://)[^/\s@]+@"), ""),
    (re.compile(r"\bsk-[\w-]{6,}"), "sk-…"),
    (re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{8,}"), r"\1 …"),
    (re.compile(r"(?i)(signature\w*|accesskeyid|security-?token)(\W{1,4})[\w+/=%-]{6,}"), r"\1\2…"),
)


def safe_words(text: str) -> str:
    """Make someone else's words fit for logs and messages: one line, not endless, without URL queries and keys.

    :param text: from the service, a gateway or a library; may quote what was sent to it.
    """
    line = " ".join(text[: 8 * _MAX_WORDS].split())
    if not line.isprintable():
        line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line if len(line) <= _MAX_WORDS else f"{line[:_MAX_WORDS]}…"


def without_query(url: str) -> str:
    """Cut a URL's query and user info, which may carry a signature or a secret, for logs and messages."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return safe_words(url)
    if parts.scheme == "data":
        return f"data:{parts.path.partition(',')[0][:100]},…"
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()
