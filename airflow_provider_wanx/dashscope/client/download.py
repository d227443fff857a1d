"""Reading a result whole: count, hash and compare, whoever does the reading."""

from __future__ import annotations

import base64
import hashlib
import re
import string
from collections.abc import Mapping

from fastcrc import crc64

from airflow_provider_wanx.dashscope.errors import DownloadError
from airflow_provider_wanx.dashscope.redaction import safe_words

MAX_RESULT_BYTES = 5 * 1024**3
"""Largest result. No model's page promises a tenth of it."""

HEAD_BYTES = 32
"""Enough of a file's beginning to tell its type."""


PICTURE_TYPES = frozenset({"image/jpeg", "image/jpg", "image/png", "image/webp", "image/bmp", "image/gif"})

PICTURE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})

PICTURE_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"GIF8")
"""How files of those types begin."""

VIDEO_EXTENSIONS = frozenset({".mp4", ".mov", ".webm", ".mkv", ".avi"})
AUDIO_EXTENSIONS = frozenset({".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".pcm"})
JSON_EXTENSIONS = frozenset({".json", ".jsonl"})
MARKUP_EXTENSIONS = frozenset({"", ".html", ".htm", ".xhtml", ".xml", ".svg"})

_MARKUP_TYPES = ("text/html", "application/xhtml+xml")
_MARKUP_STARTS = (b"<!doctype html", b"<html")
_TEXT = frozenset(string.printable.encode())
_JSON_STARTS = tuple(bytes([each]) for each in b'{["-0123456789tfn')


class ReceivedFile:
    """Follows the bytes of one file as they come in, and says in the end whether they are the file.

    :param what: which file, for messages.
    :param headers: headers of the answer that carries it.
    :param extension: the file's extension as its URL has it, with its dot, or empty.
    :raises DownloadError: it is larger than any result, comes packed although that was not asked for, or as another type.
    """

    def __init__(self, *, what: str, headers: Mapping[str, str], extension: str = "") -> None:
        self.what = what
        self.extension = extension
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        self.content_type = kind if re.fullmatch(r"[\w.+-]{1,100}/[\w.+-]{1,100}", kind, re.ASCII) else ""
        self.size = 0
        self.head = b""
        self._sha256 = hashlib.sha256()
        length = headers.get("content-length", "")
        self.expected_size = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else None
        self._expected_md5 = headers.get("content-md5")
        if (self.expected_size or 0) > MAX_RESULT_BYTES:
            raise DownloadError(
                f"{what} would have {self.expected_size:,} bytes; {MAX_RESULT_BYTES:,} are the most that are taken."
            )
        # Unpacked, it would have neither the length nor the checksum that are announced. A .gz is meant to be packed.
        packed = headers.get("content-encoding", "identity").strip().lower()
        if packed != "identity" and extension != f".{packed}".replace("gzip", "gz"):
            raise DownloadError(
                f"{what} came packed ({safe_words(packed)}), although it was asked for as it is."
            )
        # It takes longer than everything else here.
        self._md5 = hashlib.md5(usedforsecurity=False) if self._expected_md5 else None
        self._expected_crc64 = headers.get("x-oss-hash-crc64ecma")
        self._crc64 = 0 if self._expected_crc64 else None
        self._check_type()

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes so far."""
        return self._sha256.hexdigest()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes.

        :raises DownloadError: there are more than any result has.
        """
        self.size += len(chunk)
        if self.size > MAX_RESULT_BYTES:
            raise DownloadError(
                f"{self.what} has more than {MAX_RESULT_BYTES:,} bytes, which are the most that are taken."
            )
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        self._sha256.update(chunk)
        if self._md5 is not None:
            self._md5.update(chunk)
        if self._crc64 is not None:
            self._crc64 = crc64.xz(chunk, self._crc64)

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
            raise DownloadError(self._damaged)
        if self._crc64 is not None and self._expected_crc64 != str(self._crc64):
            raise DownloadError(self._damaged)
        self._check_content()

    @property
    def _damaged(self) -> str:
        return f"{self.what} was damaged on the way: its checksum differs from the service's."

    def _check_type(self) -> None:
        """Compare the announced type with the extension: an error page is served under a result's name now and then."""
        kind, extension = self.content_type.partition("/")[0], self.extension
        is_media = extension in PICTURE_EXTENSIONS | VIDEO_EXTENSIONS | AUDIO_EXTENSIONS
        is_text = kind == "text" or self.content_type.endswith(("json", "xml"))
        differs = (
            (self.content_type in _MARKUP_TYPES and extension not in MARKUP_EXTENSIONS)
            or (is_media and is_text)
            or (kind == "image" and extension in VIDEO_EXTENSIONS | AUDIO_EXTENSIONS | JSON_EXTENSIONS)
            or (kind in ("video", "audio") and extension in PICTURE_EXTENSIONS | JSON_EXTENSIONS)
        )
        if differs:
            raise DownloadError(f"{self.what} is no {extension} file: it comes as {self.content_type}.")

    def _check_content(self) -> None:
        """Compare how the file begins with what it should be."""
        begins = f"it begins with {self.head[:12]!r}"
        # Other kinds of pictures, such as the word-art models' SVG, begin otherwise.
        pictured = self.content_type in PICTURE_TYPES or self.extension in PICTURE_EXTENSIONS
        if pictured and not self.head.startswith(PICTURE_SIGNATURES):
            raise DownloadError(f"{self.what} is no picture: {begins}.")
        text = self.head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
        is_playable = self.extension in VIDEO_EXTENSIONS | AUDIO_EXTENSIONS
        if (
            (is_playable and all(byte in _TEXT for byte in self.head))
            or (self.extension in JSON_EXTENSIONS and not text.startswith(_JSON_STARTS))
            or (self.extension not in MARKUP_EXTENSIONS and text.startswith(_MARKUP_STARTS))
        ):
            raise DownloadError(f"{self.what} is no {self.extension} file: {begins}.")
