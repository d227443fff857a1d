"""Reading a result whole: count, hash and compare, whoever does the reading."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from airflow_provider_wanx.dashscope.errors import DownloadError

HEAD_BYTES = 32
"""Enough of a file's beginning to tell its type."""


PICTURE_TYPES = frozenset({"image/jpeg", "image/jpg", "image/png", "image/webp", "image/bmp", "image/gif"})

PICTURE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})

PICTURE_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"GIF8")
"""How files of those types begin."""


class ReceivedFile:
    """Follows the bytes of one file as they come in, and says in the end whether they are the file.

    :param what: which file, for messages.
    :param headers: headers of the answer that carries it.
    :param extension: the file's extension as its URL has it, with its dot, or empty.
    """

    def __init__(self, *, what: str, headers: Mapping[str, str], extension: str = "") -> None:
        self.what = what
        self.extension = extension
        self.content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        self.size = 0
        self.head = b""
        self._sha256 = hashlib.sha256()
        encoded = "content-encoding" in headers
        length = headers.get("content-length", "")
        self.expected_size = int(length) if length.isdecimal() and not encoded else None
        self._expected_md5 = None if encoded else headers.get("content-md5")
        # It takes longer than everything else here.
        self._md5 = hashlib.md5(usedforsecurity=False) if self._expected_md5 else None

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes so far."""
        return self._sha256.hexdigest()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.size += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._sha256.update(chunk)
        if self._md5 is not None:
            self._md5.update(chunk)

    def finish(self) -> None:
        """Check what came against what was announced.

        :raises DownloadError: nothing came, too little or too much came, the checksum differs, or what should be a
            picture is none.
        """
        if self.size == 0:
            raise DownloadError(f"{self.what} is empty.")
        if self.expected_size is not None and self.size != self.expected_size:
            raise DownloadError(f"{self.what} broke off: {self.size} of {self.expected_size} bytes arrived.")
        if self._md5 is not None and self._expected_md5 != base64.b64encode(self._md5.digest()).decode():
            raise DownloadError(
                f"{self.what} was damaged on the way: its checksum differs from the service's."
            )
        # Other kinds of pictures, such as the word-art models' SVG, begin otherwise.
        pictured = self.content_type in PICTURE_TYPES or self.extension in PICTURE_EXTENSIONS
        if pictured and not self.head.startswith(PICTURE_SIGNATURES):
            raise DownloadError(f"{self.what} is no picture: it begins with {self.head[:12]!r}.")
