"""Keep secrets out of logs, messages and what is stored: API keys, passwords, tokens and the signatures of URLs."""

from __future__ import annotations

import re
from urllib.parse import unquote

KEY_SCHEMES = ("s3", "gs", "file")
"""Schemes whose paths may hold ``?`` and ``#`` and mean them."""

_NAMES = (
    r"api[_-]?key|access[_-]?key(?:[_-]?id)?|secret|passw(?:or)?d|pwd|passphrase|credential|signature|authorization"
    r"|auth[_-]?key|token(?!s)"
)
"""What says, in the name of a parameter, a header or a field, that its value is a secret."""

_KEY = re.compile(r"\b(sk-|AKIA|ASIA|LTAI|AIza|eyJ)[\w-]{6,}[\w.-]*")
"""Values that are secrets whatever they are called: keys of DashScope, AWS, Aliyun and Google, and JSON web tokens."""

_NO_WORD = r"(?!(?-i:[A-Za-z][a-z]*)(?![\w+/=]))"
"""Not the word of a sentence, as in "InvalidApiKey: Invalid API-key provided."."""

_SIGNS = re.compile(
    r"(?i)^x-\w+-(?:algorithm|credential|date|expires|signed-?headers|additional-headers|security-token|signature)"
    rf"|^q-(?:sign|ak|key|header|url)|^sign?$|{_NAMES}"
)
"""Parameters of a URL that sign it, at any store."""

_GOES_WITH_A_SIGNATURE = re.compile(
    r"(?i)exp(?:ires?|iry|iration)?|policy|key-pair-id|googleaccessid|e|ts|timestamp|nonce"
    r"|s(?:v|e|p|r|t|s|rt|pr|ip|dd|ks|kv|kt|ke|koid|ktid)"
)
"""Parameters that mean something else where nothing signs the URL."""

_SECRETS = (
    # Pictures and other contents of files.
    (("data:",), re.compile(r"(?i)\b(data:[^,\s]{0,100},)[^\s\"'<>]+"), r"\1…"),
    (("",), re.compile(r"(?<![\w+/=%.~-])([\w+/=%.~-]{40})[\w+/=%.~-]{1160,}"), r"\1…"),
    # A password may hold @ and /, and what looks like a port begins none. Before a bucket stands the id of a connection.
    (("@",), re.compile(r"(?<=://)[^/\s:@]{0,300}:(?!\d{1,5}(?:[/?#\s]|$))[^\s\"'<>]{0,300}@"), ""),
    (("@",), re.compile(r"(?<!\bs3://)(?<!\bgs://)(?<=://)[^/\s\"'<>]{1,300}@"), ""),
    (("@",), re.compile(r"(?<![\w/:])[\w.%+-]{1,100}:[^\s/\"'<>]{0,300}@(?=[\w\[])"), ""),
    (
        ("http",),
        re.compile(
            r"(?i)(https?(?:://|%3A%2F%2F)[^\s\"'<>?#]{0,2000}?)(?:[?#]|%3F|%23)(?!…[:.,]?(?:\s|$))[^\s\"'<>]+"
        ),
        r"\1?…",
    ),
    (
        ("key", "secret", "passw", "pwd", "passphrase", "credent", "gnature", "author", "token"),
        re.compile(
            rf"(?i)((?:{_NAMES})[\w-]{{0,40}}[\"']?\s{{0,2}}(?:=|>|%3D|%3A|:(?=\S)|:(?=\s+{_NO_WORD}))\s{{0,2}}[\"']?)"
            r"(?:(?:basic|bearer|digest)\s+)?[^\s\"'&;,<>#…]+"
        ),
        r"\1…",
    ),
    (("sk-", "akia", "asia", "ltai", "aiza", "eyj"), _KEY, r"\1…"),
    (("cook",), re.compile(r"(?i)\b(cookie[\"']?\s?:)[^…]+"), r"\1 …"),
    (("bearer",), re.compile(r"(?i)\b(bearer)\s+[\w.~+/=-]{8,}"), r"\1 …"),
    (("bas",), re.compile(r"(?i)\b(basic)\s+" + _NO_WORD + r"[\w+/=-]{6,}"), r"\1 …"),
)
"""What a text holds, in small letters, where a pattern may be found, the pattern, and what takes its place: a search takes ten
times as long as a look at that. Where a pattern ignores case, no i stands there: Python takes ı for one."""


def without_secrets(text: str) -> str:
    """Cut what may be a secret out of a text, and endless words; the rest stays as it is.

    :param text: of a message; may quote URLs, headers and JSON.
    """
    small = text.casefold()
    for hints, pattern, replacement in _SECRETS:
        for hint in hints:
            if hint in small:
                text = pattern.sub(replacement, text)
                break
    return text


def safe_words(text: str) -> str:
    """Make someone else's words fit for logs and messages: one line, not endless, without URL queries and keys.

    :param text: from the service, a gateway or a library; may quote what was sent to it.
    """
    line = " ".join(text[:4000].split())
    if not line.isprintable():
        line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    line = without_secrets(re.sub(r"\?\S+", "?…", line))
    return line if len(line) <= 500 else f"{line[:500]}…"


def without_query(url: str) -> str:
    """Cut an address's query and user info, which may carry a signature or a secret, for logs and messages."""
    return without_secrets(bare_address(url))


def bare_address(address: str) -> str:
    """Cut user info, query and fragment off an address; ``?`` and ``#`` are parts of names in object stores and on disks."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    if scheme.lower() not in KEY_SCHEMES:
        rest = re.split("[?#]", rest, maxsplit=1)[0]
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def quoted(value: object) -> str:
    """Quote what a user gave, for logs and messages: on one line, not endless, without secrets.

    :param value: a text, or what was given where a text was wanted.
    """
    is_web = isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))
    text = without_secrets(repr(without_query(str(value)) if is_web else value))
    return text if len(text) <= 200 else f"{text[:200]}…"


def without_signature(address: str) -> str:
    """Drop from an address what lets somebody in, and keep what tells which picture it is: the form that is stored.

    :param address: of a picture, as a user gives it. Paths, and addresses without a signature, stay as they are.
    """
    scheme, separator, rest = address.partition("://")
    is_web = separator != "" and scheme.lower() in ("http", "https")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if at and (is_web or ":" in user):
        name = "" if is_web else f"{user.partition(':')[0]}@"
        address = f"{scheme}://{name}{host}{slash}{path}"
    if not is_web:
        return address
    whole, _, fragment = address.partition("#")
    place, _, query = whole.partition("?")
    parameters = [(each, unquote(each.partition("=")[0])) for each in query.split("&") if each]
    is_signed = any(_SIGNS.search(name) for _, name in parameters)
    kept = [
        each
        for each, name in parameters
        if not (
            _SIGNS.search(name) or _KEY.search(each) or (is_signed and _GOES_WITH_A_SIGNATURE.fullmatch(name))
        )
    ]
    if len(kept) == len(parameters) and without_secrets(fragment) == fragment:
        return address
    return f"{place}?{'&'.join(kept)}" if kept else place
