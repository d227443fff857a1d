"""Spoils good answers in every way that a broken gateway, a new version or an attacker could think of."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

SIGNATURE = "c2VjcmV0c2lnbmF0dXJl"
SIGNED = (
    f"https://r.example/a_style3.jpg?Expires=1700000000&OSSAccessKeyId=LTAI0123456789&Signature={SIGNATURE}"
)

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, 10**30, -(10**300), float("nan"), float("inf"), "", " ", "0", "x" * 3000,
    "\ud800", "a\udfffb", "\x00", "\u202e\u200b", "😀", "PENDING", "SUCCEEDED", "NEW", "InvalidApiKey", "Throttling",
    "https://", "http://[", "http://[::1", "https://h:port/", "http://h/%zz", "https://\ud800/a.png", SIGNED,
    "2024-03-02 22:22:13", "9999-12-31 23:59:59", "0001-01-01T00:00:00+23:59", "2024-02-30", "20240302", "data:,",
    [], {}, [[]], [None], {"": None}, {"code": "X"}, {"url": SIGNED}, [SIGNED], {"error": {}}, [{"url": 1}],
    {"code": SIGNED, "message": SIGNED}, {"error": {"message": SIGNED, "code": None}}, {"error": SIGNED},
)  # fmt: skip

_KEYS = (
    "output", "data", "code", "message", "error", "task_id", "task_status", "status", "results", "usage", "url",
    "request_id", "total", "urls", "image_url", "", "\ud800", "a.b[0]", "__class__", "model_config", "failures", "path",
)  # fmt: skip

_BYTES = (
    b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\\u", b"\\ud800", b'"', b"{", b"}", b"[",
    b"]", b",", b":", b"NaN", b"-Infinity", b"1e999", b"\\", b"<html>", b"\r\n\r\n", b'{"a":' * 60, b"[" * 1500,
    b"9" * 5000, b'"code": "X",', b'"task_status": 3,',
)  # fmt: skip

STATUSES = (200,) * 12 + (
    201,
    204,
    206,
    301,
    304,
    400,
    400,
    401,
    403,
    404,
    408,
    409,
    410,
    413,
    429,
    430,
    500,
    502,
    503,
    599,
)

_HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"content-type": "application/json"},
    {"content-type": "text/html; charset=gbk"},
    {"retry-after": "3"},
    {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"},
    {"retry-after": "Mon, 32 Foo 99999 99:99:99 +99999999999999999999"},
    {"retry-after": "\u0663", "date": "\u0663"},
    {"date": "Fri, 01 Mar 2024 02:38:04 GMT"},
    {"date": ", , , "},
    {"date": "1 Jan 0000 00:00:00 -9999"},
)


class Spoiler:
    """Makes bad answers out of good ones, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._roll = random.Random(seed).random

    def _below(self, end: int) -> int:
        # A fifth of what randrange takes, of which a run needs millions.
        return int(self._roll() * end)

    def _pick(self, options: Sequence[T]) -> T:
        return options[self._below(len(options))]

    def headers(self) -> dict[str, str]:
        return self._pick(_HEADERS)

    def status(self) -> int:
        return self._pick(STATUSES)

    def structure(self, good: str) -> bytes:
        """Change values, keys and nesting; what comes out is JSON."""
        document = json.loads(good)
        for _ in range(1 + self._below(4)):
            document = self._changed(document)
        return json.dumps(document, ensure_ascii=self._roll() < 0.5).encode("utf-8", "surrogatepass")

    def bytes(self, good: bytes) -> bytes:
        """Change bytes; what comes out is anything."""
        spoilt = bytearray(good)
        for _ in range(1 + self._below(5)):
            at = self._below(len(spoilt) + 1)
            match self._below(5):
                case 0 if spoilt:
                    spoilt[at % len(spoilt)] = self._below(256)
                case 1:
                    spoilt[at:at] = self._pick(_BYTES)
                case 2:
                    del spoilt[at : at + 1 + self._below(30)]
                case 3:
                    spoilt[at:at] = spoilt[at // 2 : at]
                case _:
                    del spoilt[at : None if self._roll() < 0.2 else at + 1]
        return bytes(spoilt)

    def _changed(self, document: Any) -> Any:
        place = self._place(document)
        if place is None or self._roll() < 0.02:
            return self._pick((self._value(), [document], {"output": document}, {"data": document}))
        holder, key = place
        match self._below(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[self._pick(_KEYS)] = self._value()
            case 2 if isinstance(holder, dict):
                holder[self._pick(_KEYS)] = holder.pop(key)
            case 3:
                holder[key] = self._deep(holder[key])
            case _:
                holder[key] = self._value()
        return document

    def _place(self, node: Any) -> tuple[Any, Any] | None:
        """Walk down to somewhere; None where there is nothing to change."""
        place = None
        while keys := _keys(node):
            place = node, self._pick(keys)
            node = place[0][place[1]]
            if self._roll() < 0.25:
                break
        return place

    def _value(self) -> Any:
        # A copy, or a later change would spoil the values themselves.
        value = self._pick(_VALUES)
        return json.loads(json.dumps(value)) if isinstance(value, list | dict) else value

    def _deep(self, value: Any) -> Any:
        for _ in range(self._pick((1, 1, 2, 2, 3, 15, 40))):
            value = {"results": value} if self._roll() < 0.5 else [value]
        return value


def _keys(node: Any) -> Sequence[Any]:
    if isinstance(node, dict):
        return list(node)
    return range(len(node)) if isinstance(node, list) else ()
