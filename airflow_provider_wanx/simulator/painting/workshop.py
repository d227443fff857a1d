"""What a job makes of an order."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting import films, painter
from airflow_provider_wanx.simulator.painting.files import Blob, Item, Source

T = TypeVar("T")

# Pillow leaves the interpreter lock while it works, so two threads do use two cores.
_PAINTERS = 2

# What comes beside a result's main file.
_COMPANIONS: dict[Family, str] = {
    Family.POSTER: "background",
    Family.BACKGROUND: "text",
    Family.WORDART: "svg",
    Family.SEGMENTATION: "vis",
}


class Workshop:
    """Looks at pictures and makes results, off the event loop, and once for the same picture or order."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=_PAINTERS, thread_name_prefix="dashscope-painter")
        self._inspected: _Memo[painter.PictureInfo] = _Memo(executor=self._executor, size=256)
        self._made: _Memo[Blob] = _Memo(executor=self._executor, size=128)

    def close(self) -> None:
        """Drop all work that has not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def inspect(self, data: bytes, *, sha256: str) -> painter.PictureInfo:
        """Decode a picture completely.

        :param data: the file.
        :param sha256: its checksum.
        :raises ServiceError: it is no picture that the service takes.
        """
        return await self._inspected.get(sha256, partial(painter.inspect, data))

    async def make(self, order: Order, sources: list[Source]) -> tuple[Item, ...]:
        """Make what an order asks for from its inputs."""
        family = order.service.family
        if family is Family.REPAINT:
            return (await self._repaint(order, sources),)
        if family in (Family.TRANSCRIPTIONS, Family.TRANSCRIPTION):
            return tuple(
                [await self.transcribe(source, number=number) for number, source in enumerate(sources)]
            )
        if family is Family.EMBEDDING:
            return (_embedding(sources[0]),)
        if family.makes_video:
            return (await self._film(order, sources),)
        one_only = family in (Family.IMAGE_URL, Family.OUTPUT_IMAGE_URL, Family.SEGMENTATION)
        roles = [""]
        if family in _COMPANIONS and (family is not Family.BACKGROUND or order.texts):
            roles.append(_COMPANIONS[family])
        return tuple(
            [
                await self._picture(order, sources, number=number, role=role)
                for number in range(1 if one_only else order.count)
                for role in roles
            ]
        )

    async def transcribe(self, source: Source, *, number: int) -> Item:
        """Write the document that a recording becomes.

        :param source: the recording.
        :param number: which of the task's it is.
        """
        document = {
            "file_url": source.url,
            "properties": {"audio_format": "pcm_s16le", "channels": [0], "original_sampling_rate": 16000},
            "transcripts": [
                {"channel_id": 0, "text": f"A recording of {len(source.data)} bytes.", "sentences": []}
            ],
        }
        data = json.dumps(document, ensure_ascii=False).encode()
        blob = Blob(data=data, content_type="application/json")
        return Item(blob=blob, number=number, suffix=".json", source=source.url)

    async def _repaint(self, order: Order, sources: list[Source]) -> Item:
        style = order.style if order.style is not None else 0
        reference = sources[1] if len(sources) > 1 else None
        key = (sources[0].sha256, style, reference.sha256 if reference else "")
        paint = partial(
            painter.repaint, sources[0].data, style=style, reference=reference.data if reference else None
        )
        return Item(blob=await self._made.get(key, paint), suffix=f"_style{style}.jpg", billed=1)

    async def _film(self, order: Order, sources: list[Source]) -> Item:
        prompt = _words(order, sources)
        key = (prompt, order.size, order.seconds)
        shoot = partial(films.film, prompt=prompt, size=order.size, seconds=order.seconds)
        return Item(blob=await self._made.get(key, shoot), suffix=".mp4", billed=1)

    async def _picture(self, order: Order, sources: list[Source], *, number: int, role: str) -> Item:
        width, height = order.size
        prompt = _words(order, sources, role)
        if role == "svg":
            return Item(blob=_svg(prompt), number=number, suffix=".svg", role=role)
        key = (prompt, number, width, height)
        draw = partial(painter.imagine, prompt=prompt, width=width, height=height, number=number)
        blob = await self._made.get(key, draw)
        return Item(blob=blob, number=number, suffix=".png", role=role, billed=int(not role))


class _Memo(Generic[T]):
    """Keeps the results of the last few pieces of work, and lets later askers join work under way.

    :param executor: where the work is done.
    :param size: how many results are kept.
    """

    def __init__(self, *, executor: ThreadPoolExecutor, size: int) -> None:
        self._executor = executor
        self._size = size
        self._work: OrderedDict[object, asyncio.Future[T]] = OrderedDict()

    async def get(self, key: object, make: Callable[[], T]) -> T:
        """Return the result for a key, making it when there is none. A failure is not kept."""
        work = self._work.get(key)
        if work is None:
            work = asyncio.get_running_loop().run_in_executor(self._executor, make)
            self._work[key] = work
            work.add_done_callback(lambda done: self._drop_failure(key, done))
            if len(self._work) > self._size:
                self._work.popitem(last=False)
        else:
            self._work.move_to_end(key)
        # One asker that gives up must not take the work from the others.
        return await asyncio.shield(work)

    def _drop_failure(self, key: object, work: asyncio.Future[T]) -> None:
        if (work.cancelled() or work.exception() is not None) and self._work.get(key) is work:
            del self._work[key]


def _words(order: Order, sources: list[Source], role: str = "") -> str:
    """Join what a picture is drawn from, so that other inputs give another picture."""
    return "|".join((order.model, order.prompt, role, *(source.sha256 for source in sources)))


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
