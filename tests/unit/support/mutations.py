"""Stored values as somebody may leave them who can write there: cut, spliced, of other types, endless, deep."""

from __future__ import annotations

import json
import random
from typing import Any

_DEEP = 2000

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, -1_000_000, 10**16, 10**400, 1.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"),
    "", "x", "None", "null", "-1", "1e999", "2026-11-30T12:00:00+08:00", "9" * 400, "\ud800", "\udfff\x00", "\u2028",
    "../../etc", "s3://other_conn@corp-secrets/passport.png", "<script>", "x" * 3000, [], {}, [[]], [None] * 50, {"": {}},
    {"version": 1}, ["a", 1, None, {}],
)  # fmt: skip

_NESTED = {
    "deep list": b"[" * _DEEP + b"]" * _DEEP,
    "deep object": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
    "less deep": b"[" * 150 + b"]" * 150,
}
"""What Python's own JSON does not write."""

_TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"-1", b"null", b"true", b"{}", b"[]", b'"\\ud800"', b'"', b"\\", b"\n", b"\r\n", b"\x00",
    b"\xff", b"\xed\xa0\x80", b"," * 40, b"9" * 5000, b"[" * _DEEP, b'{"a":' * _DEEP, b";", b"\t", b"sep=;", b"\x1f\x8b",
    b"\xef\xbb\xbf",
)  # fmt: skip


class Mutator:
    """Makes mutations of stored values, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def body(self, sample: bytes) -> bytes:
        """Change a stored body: two in three times a value in one of its lines of JSON, else its bytes."""
        if self._random.random() < 2 / 3:
            lines = sample.split(b"\n")
            number = self._random.randrange(len(lines))
            try:
                value = json.loads(lines[number])
            except ValueError:
                return self._spliced(sample)
            lines[number] = json.dumps(self.value(value)).encode()
            for name, nested in _NESTED.items():
                lines[number] = lines[number].replace(f'"{name}"'.encode(), nested)
            return b"\n".join(lines)
        return self._spliced(sample)

    def value(self, value: Any) -> Any:
        """Change one value somewhere in a JSON value."""
        chance = self._random.random()
        if isinstance(value, dict) and value and chance > 0.1:
            name = self._random.choice(list(value))
            if chance < 0.2:
                return {each: inner for each, inner in value.items() if each != name}
            if chance < 0.25:
                return {**value, self._random.choice(("", "version", "x", "__class__")): self._any()}
            return {**value, name: self.value(value[name])}
        if isinstance(value, list) and value and chance > 0.1:
            place = self._random.randrange(len(value))
            if chance < 0.2:
                return value * self._random.choice((0, 2, 50)) if chance < 0.15 else value[:place]
            return [*value[:place], self.value(value[place]), *value[place + 1 :]]
        return self._any()

    def _any(self) -> Any:
        return self._random.choice((*_VALUES, *_NESTED))

    def _spliced(self, sample: bytes) -> bytes:
        place = self._random.randrange(len(sample) + 1)
        length = self._random.choice((0, 1, 1, 2, 8, 100))
        chance = self._random.random()
        if chance < 0.15:
            return sample[:place]
        if chance < 0.4:
            return (
                sample[:place]
                + self._random.randbytes(self._random.choice((1, 1, 4)))
                + sample[place + length :]
            )
        if chance < 0.55:
            return sample[:place] + sample[max(0, place - length) :]
        return sample[:place] + self._random.choice(_TOKENS) + sample[place + length :]
