"""What a job makes of an order."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

from airflow_provider_wanx.simulator import painting
from airflow_provider_wanx.simulator.blobs import Blob
from airflow_provider_wanx.simulator.catalogue import Family, Order
from airflow_provider_wanx.simulator.memo import Memo


@dataclass(frozen=True, kw_only=True)
class Item:
    """One result of a task, or the failure of one.

    :param blob: the file; None when this result failed.
    :param suffix: how its name ends.
    :param role: which of the shape's places it takes.
    :param source: the URL that it was made from, where the answer echoes it.
    :param code: the failure's code.
    :param message: the failure's message.
    :param billed: how many images it counts.
    """

    blob: Blob | None = field(default=None, repr=False)
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


_ROLES: dict[Family, tuple[str, ...]] = {
    Family.POSTER: ("render", "background"),
    Family.BACKGROUND: ("image", "text"),
    Family.WORDART: ("png", "svg"),
    Family.SEGMENTATION: ("image", "vis"),
}


class Workshop:
    """Makes results, off the event loop and once for the same order.

    :param executor: where the painting happens.
    """

    def __init__(self, *, executor: Executor) -> None:
        self._executor = executor
        self._made: Memo[tuple[object, ...], Blob] = Memo(size=128)

    async def make(self, order: Order, sources: list[Source]) -> tuple[Item, ...]:
        """Make what an order asks for from its inputs."""
        family = order.service.family
        if family is Family.REPAINT:
            return (await self._repaint(order, sources),)
        if family in (Family.TRANSCRIPTIONS, Family.TRANSCRIPTION):
            return tuple([await self.transcribe(source) for source in sources])
        if family is Family.EMBEDDING:
            return (_embedding(sources[0]),)
        one_only = family in (
            Family.IMAGE_URL,
            Family.RESULT_URL,
            Family.OUTPUT_IMAGE_URL,
            Family.SEGMENTATION,
        )
        count = 1 if one_only else order.count
        items: list[Item] = []
        for number in range(count):
            items += [
                await self._picture(order, sources, number=number, role=role)
                for role in _ROLES.get(family, ("",))
            ]
        return tuple(items)

    async def transcribe(self, source: Source) -> Item:
        """Write the document that a recording becomes."""
        document = {
            "file_url": source.url,
            "properties": {"audio_format": "pcm_s16le", "channels": [0], "original_sampling_rate": 16000},
            "transcripts": [
                {"channel_id": 0, "text": f"A recording of {len(source.data)} bytes.", "sentences": []}
            ],
        }
        data = json.dumps(document, ensure_ascii=False).encode()
        return Item(blob=Blob(data=data, content_type="application/json"), suffix=".json", source=source.url)

    async def _repaint(self, order: Order, sources: list[Source]) -> Item:
        style = order.style if order.style is not None else 0
        reference = sources[1] if len(sources) > 1 else None
        key = (sources[0].sha256, style, reference.sha256 if reference else "")
        paint = partial(
            painting.repaint, sources[0].data, style=style, reference=reference.data if reference else None
        )
        return Item(blob=await self._once(key, paint), suffix=f"_style{style}.jpg", billed=1)

    async def _picture(self, order: Order, sources: list[Source], *, number: int, role: str) -> Item:
        width, height = order.size
        prompt = "|".join((order.model, order.prompt, role, *(source.sha256 for source in sources)))
        if role == "svg":
            return Item(blob=_svg(prompt), suffix=".svg", role=role)
        key = (prompt, number, width, height)
        draw = partial(painting.imagine, prompt=prompt, width=width, height=height, number=number)
        first = role == _ROLES.get(order.service.family, ("",))[0]
        return Item(blob=await self._once(key, draw), suffix=".png", role=role, billed=int(first))

    async def _once(self, key: tuple[object, ...], make: Callable[[], Blob]) -> Blob:
        loop = asyncio.get_running_loop()
        return await self._made.get(key, lambda: loop.run_in_executor(self._executor, make))


def _svg(prompt: str) -> Blob:
    colour = hashlib.sha256(prompt.encode()).hexdigest()[:6]
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="4" fill="#{colour}"/></svg>'
    return Blob(data=drawing.encode(), content_type="image/svg+xml")


def _embedding(source: Source) -> Item:
    lines = []
    for number, text in enumerate(source.data.decode(errors="replace").splitlines()):
        digest = hashlib.sha256(text.encode()).digest()
        vector = [round(byte / 127.5 - 1, 6) for byte in digest]
        lines.append(json.dumps({"output": {"embedding": vector, "text_index": number}, "code": 200}))
    # A fixed time in the archive keeps the same order's bytes the same.
    data = gzip.compress("\n".join(lines).encode(), mtime=0)
    return Item(blob=Blob(data=data, content_type="application/gzip"), suffix=".txt.gz")
