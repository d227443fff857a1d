"""Bytes that the simulator keeps: inputs that it read, results that it made."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A file, kept once however many tasks refer to it.

    :param data: the content.
    :param content_type: its media type.
    :param thumbnail: a small JPEG for the page at ``/``, where it is a picture.
    """

    data: bytes = field(repr=False)
    content_type: str
    thumbnail: bytes = field(default=b"", repr=False)
    md5: bytes = field(init=False, repr=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "md5", hashlib.md5(self.data, usedforsecurity=False).digest())
        object.__setattr__(self, "sha256", hashlib.sha256(self.data).hexdigest())

    @property
    def content_md5(self) -> str:
        """The value of the ``Content-MD5`` header."""
        return base64.b64encode(self.md5).decode()

    @property
    def etag(self) -> str:
        """The value of the ``ETag`` header, in the object store's capitals."""
        return f'"{self.md5.hex().upper()}"'
