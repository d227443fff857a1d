"""Videos: pictures in a row, in an MP4 file that players open and that costs a few kilobytes."""

from __future__ import annotations

import io
import struct

from PIL import Image, ImageChops

from airflow_provider_wanx.simulator.painting.files import Blob
from airflow_provider_wanx.simulator.painting.painter import imagine

FRAMES_PER_SECOND = 2

# The ratio is the wanted one, the size is not: nobody looks at these videos for long.
_LONG_SIDE = 320

# Ticks of a second, as times in the file are counted.
_TIMESCALE = 1000
_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_JPEG = 0x6C
_VISUAL_STREAM = 0x11


def film(*, prompt: str, size: tuple[int, int], seconds: int) -> Blob:
    """Make a video of a picture that glides by; the same words give the same video.

    :param prompt: what to draw.
    :param size: width and height that were asked for.
    :param seconds: how long it plays.
    """
    scale = _LONG_SIDE / max(size)
    # Even numbers, as players like them.
    width, height = (max(16, round(side * scale / 2) * 2) for side in size)
    still = imagine(prompt=prompt, width=width, height=height)
    picture = Image.open(io.BytesIO(still.data)).convert("RGB")
    count = seconds * FRAMES_PER_SECOND
    frames = [_jpeg(ImageChops.offset(picture, width * number // count, 0)) for number in range(count)]
    return Blob(
        data=_mp4(frames, width=width, height=height), content_type="video/mp4", thumbnail=still.thumbnail
    )


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


def _mp4(frames: list[bytes], *, width: int, height: int) -> bytes:
    """Write pictures as the only track of a file: ISO/IEC 14496-12 and -14, with JPEG as the coding."""
    kind = _box(b"ftyp", b"isom" + struct.pack(">I", 0x200) + b"isommp41")
    # The index comes first and points behind itself; its length does not depend on where it points.
    start = len(kind) + len(_index(frames, width=width, height=height, start=0)) + 8
    return kind + _index(frames, width=width, height=height, start=start) + _box(b"mdat", *frames)


def _index(frames: list[bytes], *, width: int, height: int, start: int) -> bytes:
    ticks = len(frames) * _TIMESCALE // FRAMES_PER_SECOND
    movie = struct.pack(">4I", 0, 0, _TIMESCALE, ticks) + struct.pack(">IHHII", 0x10000, 0x100, 0, 0, 0)
    track = struct.pack(">5I", 0, 0, 1, 0, ticks) + bytes(16)
    media = struct.pack(">4IHH", 0, 0, _TIMESCALE, ticks, 0x55C4, 0)
    return _box(
        b"moov",
        _box(b"mvhd", bytes(4), movie, _UNITY_MATRIX, bytes(24), struct.pack(">I", 2)),
        _box(
            b"trak",
            _box(b"tkhd", b"\0\0\0\3", track, _UNITY_MATRIX, struct.pack(">II", width << 16, height << 16)),
            _box(
                b"mdia",
                _box(b"mdhd", bytes(4), media),
                _box(b"hdlr", bytes(8), b"vide", bytes(12), b"\0"),
                _box(
                    b"minf",
                    _box(b"vmhd", b"\0\0\0\1", bytes(8)),
                    _box(b"dinf", _box(b"dref", bytes(4), _count(1), _box(b"url ", b"\0\0\0\1"))),
                    _samples(frames, width=width, height=height, start=start),
                ),
            ),
        ),
    )


def _samples(frames: list[bytes], *, width: int, height: int, start: int) -> bytes:
    """Write where the pictures are: all in one chunk, each as long as the others."""
    count = len(frames)
    return _box(
        b"stbl",
        _box(b"stsd", bytes(4), _count(1), _coding(width=width, height=height)),
        _box(b"stts", bytes(4), struct.pack(">3I", 1, count, _TIMESCALE // FRAMES_PER_SECOND)),
        _box(b"stsc", bytes(4), struct.pack(">4I", 1, 1, count, 1)),
        _box(b"stsz", bytes(8), struct.pack(f">{count + 1}I", count, *map(len, frames))),
        _box(b"stco", bytes(4), struct.pack(">II", 1, start)),
    )


def _coding(*, width: int, height: int) -> bytes:
    stream = bytes((_JPEG, _VISUAL_STREAM)) + bytes(11)
    descriptor = _described(3, struct.pack(">HB", 1, 0), _described(4, stream), _described(6, b"\2"))
    return _box(
        b"mp4v",
        struct.pack(">6xH16xHH", 1, width, height),
        struct.pack(">IIIH32xHh", 0x480000, 0x480000, 0, 1, 24, -1),
        _box(b"esds", bytes(4), descriptor),
    )


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content


def _described(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes((tag, len(content))) + content


def _count(number: int) -> bytes:
    return struct.pack(">I", number)
