"""The videos, read with nothing but what the format says of boxes."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from PIL import Image

from airflow_provider_wanx.simulator.painting.films import film

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        assert 8 <= size <= len(data), kind
        content = data[8:size]
        yield kind, content
        if kind in _CONTAINERS:
            yield from _boxes(content)
        data = data[size:]


def _numbers(content: bytes, *, skip: int) -> tuple[int, ...]:
    return struct.unpack(f">{(len(content) - skip) // 4}I", content[skip:])


def test_video_holds_the_pictures_that_its_index_points_to() -> None:
    made = film(prompt="a cat", size=(1280, 720), seconds=3)
    assert made.content_type == "video/mp4"
    assert made.data[4:12] == b"ftypisom"
    boxes = dict(_boxes(made.data))
    (_, start), sizes = _numbers(boxes[b"stco"], skip=4), _numbers(boxes[b"stsz"], skip=12)
    assert sum(sizes) == len(boxes[b"mdat"])
    frames = []
    for size in sizes:
        frames.append(Image.open(io.BytesIO(made.data[start : start + size])))
        start += size
    assert start == len(made.data)
    assert [(frame.format, frame.size) for frame in frames] == [("JPEG", (320, 180))] * 6
    assert len({frame.tobytes() for frame in frames}) == 6


def test_video_is_as_long_as_its_index_says() -> None:
    boxes = dict(_boxes(film(prompt="a cat", size=(480, 832), seconds=4).data))
    timescale, ticks = _numbers(boxes[b"mvhd"][:20], skip=12)
    assert ticks == 4 * timescale
    entries, count, each = _numbers(boxes[b"stts"], skip=4)
    assert (entries, count * each) == (1, ticks)


def test_same_words_give_the_same_video_and_others_another() -> None:
    one, same, other = (
        film(prompt=prompt, size=(640, 640), seconds=2).data for prompt in ("a cat", "a cat", "a dog")
    )
    assert one == same
    assert one != other
