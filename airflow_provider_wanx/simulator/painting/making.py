"""What a job makes of an order, and the files it makes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib.resources import files

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting import painter


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file of a result, or the failure of a result.

    :param data: the file; None when its result failed.
    :param content_type: its media type.
    :param number: which result it belongs to, from 0.
    :param suffix: how its name ends.
    :param source: the URL that it was made from, where the answer echoes it.
    :param code: the failure's code, with its ``message``.
    :param billed: how many images it counts.
    """

    data: bytes | None = field(default=None, repr=False)
    content_type: str = ""
    number: int = 0
    suffix: str = ""
    source: str = ""
    code: str = ""
    message: str = ""
    billed: int = 0


@dataclass(frozen=True, kw_only=True)
class Source:
    """An input that was read, and where from."""

    url: str = field(repr=False)
    data: bytes = field(repr=False)


def make(order: Order, sources: list[Source]) -> tuple[Item, ...]:
    """Make what an order asks for from its inputs; the same order gives the same bytes.

    :raises ServiceError: an input is not what the model takes.
    """
    family = order.service.family
    if family is Family.REPAINT:
        style, reference = order.style or 0, sources[1].data if len(sources) > 1 else None
        data = painter.repaint(sources[0].data, style=style, reference=reference)
        return (Item(data=data, content_type="image/jpeg", suffix=f"_style{style}.jpg", billed=1),)
    if family in (Family.TRANSCRIPTIONS, Family.TRANSCRIPTION):
        return tuple(transcribe(source, number=number) for number, source in enumerate(sources))
    if family.makes_video:
        # One small film for every order: what matters of a video is that it arrives.
        film = files(__package__).joinpath("sample.mp4").read_bytes()
        return (Item(data=film, content_type="video/mp4", suffix=".mp4", billed=1),)
    one_only = family in (Family.IMAGE_URL, Family.OUTPUT_IMAGE_URL)
    return tuple(_picture(order, sources, number) for number in range(1 if one_only else order.count))


def transcribe(source: Source, *, number: int) -> Item:
    """Write the document that a recording becomes, the task's recording of this number."""
    text = f"A recording of {len(source.data)} bytes."
    document = {"file_url": source.url, "transcripts": [{"channel_id": 0, "text": text, "sentences": []}]}
    data = json.dumps(document).encode()
    return Item(data=data, content_type="application/json", number=number, suffix=".json", source=source.url)


def _picture(order: Order, sources: list[Source], number: int) -> Item:
    # Other inputs give another picture.
    digests = (hashlib.sha256(source.data).hexdigest() for source in sources)
    data = painter.imagine(
        prompt="|".join((order.model, order.prompt, *digests)), size=order.size, number=number
    )
    return Item(data=data, content_type="image/png", number=number, suffix=".png", billed=1)
