"""Files: inputs that were read, and results that were made."""

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

    def __post_init__(self) -> None:
        object.__setattr__(self, "md5", hashlib.md5(self.data, usedforsecurity=False).digest())

    @property
    def content_md5(self) -> str:
        """The value of the ``Content-MD5`` header."""
        return base64.b64encode(self.md5).decode()

    @property
    def etag(self) -> str:
        """The value of the ``ETag`` header, in the object store's capitals."""
        return f'"{self.md5.hex().upper()}"'


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file of a result, or the failure of a result.

    :param blob: the file; None when its result failed.
    :param number: which result it belongs to, from 0.
    :param suffix: how its name ends.
    :param role: what it is beside the result's main file, whose role is empty.
    :param source: the URL that it was made from, where the answer echoes it.
    :param code: the failure's code.
    :param message: the failure's message.
    :param billed: how many images it counts.
    """

    blob: Blob | None = field(default=None, repr=False)
    number: int = 0
    suffix: str = ""
    role: str = ""
    source: str = ""
    code: str = ""
    message: str = ""
    billed: int = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """An input that was read.

    :param url: where from.
    :param data: its bytes.
    :param sha256: their checksum.
    :param thumbnail: a small JPEG, where it is a picture.
    """

    url: str = field(repr=False)
    data: bytes = field(repr=False)
    sha256: str
    thumbnail: bytes = field(default=b"", repr=False)
