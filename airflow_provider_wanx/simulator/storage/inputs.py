"""How the service gets at its inputs, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import httpx

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_parameter, invalid_url
from airflow_provider_wanx.simulator.faults import Faults
from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting.files import Source
from airflow_provider_wanx.simulator.painting.painter import PictureInfo
from airflow_provider_wanx.simulator.painting.workshop import Workshop
from airflow_provider_wanx.simulator.settings import Settings
from airflow_provider_wanx.simulator.storage.uploads import UploadStore
from airflow_provider_wanx.simulator.tls import tls_context

_MEGABYTE = 1024 * 1024
MAX_IMAGE_BYTES = 10 * _MEGABYTE
MAX_FILE_BYTES = 256 * 1024 * 1024
MIN_SIDE = 256
MAX_LONG_SIDE = 5760
MAX_SHORT_SIDE = 3240
USER_AGENT = "Mozilla/5.0 (compatible; DashScopeUserBot; airflow-provider-wanx simulator)"

# How the content begins that files with such names have.
_BEGINNINGS = {
    "jpg": b"\xff\xd8\xff",
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG",
    "bmp": b"BM",
    "webp": b"RIFF",
}

# Their inputs are recordings, texts, or pictures, recordings and videos together.
_UNDECODED = (
    Family.TRANSCRIPTIONS,
    Family.TRANSCRIPTION,
    Family.EMBEDDING,
    Family.VIDEO,
    Family.VIDEO_RESULTS,
)


class InputReader:
    """Reads the inputs of orders.

    :param uploads: the temporary store behind ``oss://`` URLs.
    :param faults: lets downloads fail.
    :param workshop: decodes pictures.
    :param settings: how long a download may take, and what else is refused.
    :param fetched: called for every input that was read.
    """

    def __init__(
        self,
        *,
        uploads: UploadStore,
        faults: Faults,
        workshop: Workshop,
        settings: Settings,
        fetched: Callable[[], None],
    ) -> None:
        self._uploads = uploads
        self._faults = faults
        self._workshop = workshop
        self._settings = settings
        self._timeout = settings.fetch_timeout
        self._fetched = fetched
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections to where inputs come from."""
        if self._client is not None:
            await self._client.aclose()

    async def read(self, order: Order, url: str, *, task_id: str | None) -> Source:
        """Read one input and check it.

        :param order: what it is for.
        :param url: where it is.
        :param task_id: the task, for faults.
        :raises ServiceError: it cannot be had, or the model does not take it.
        """
        await self._suffer(order, task_id)
        is_picture = order.service.family not in _UNDECODED
        data = await self._bytes(order, url, limit=MAX_IMAGE_BYTES if is_picture else MAX_FILE_BYTES)
        self._fetched()
        sha256 = hashlib.sha256(data).hexdigest()
        if is_picture and self._settings.check_upload_names and url.startswith("oss://"):
            _check_name(url, data)
        if not is_picture:
            return Source(url=url, data=data, sha256=sha256)
        info = await self._workshop.inspect(data, sha256=sha256)
        if order.service.family is Family.REPAINT:
            _check_resolution(info)
        return Source(url=url, data=data, sha256=sha256, thumbnail=info.thumbnail)

    async def _suffer(self, order: Order, task_id: str | None) -> None:
        fault = self._faults.strike("input", task_id=task_id, style=order.style, model=order.model)
        if fault is None:
            return
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            return
        usual = "InvalidURL.ConnectionRefused" if fault.kind == "reset" else "InvalidURL"
        raise ServiceError(code=fault.code or usual, message=fault.message or invalid_url().message)

    async def _bytes(self, order: Order, url: str, *, limit: int) -> bytes:
        if url.startswith("data:"):
            self._check_length(url)
            data = _decode_data_url(url)
        elif url.startswith("oss://"):
            data = self._uploads.read(url, model=order.model)
        else:
            data = await self._download(url, limit=limit)
        if len(data) > limit:
            raise _too_large()
        return data

    def _check_length(self, url: str) -> None:
        most = self._settings.max_data_url_mb
        if most is not None and len(url) > most * _MEGABYTE:
            limit = int(most * _MEGABYTE)
            raise invalid_parameter(f"Exceeded limit on max bytes per data-uri item : {limit}.")

    async def _download(self, url: str, *, limit: int) -> bytes:
        if self._client is None:
            self._client = httpx.AsyncClient(
                headers={"User-Agent": USER_AGENT},
                timeout=self._timeout,
                follow_redirects=True,
                trust_env=False,
                verify=tls_context(),
                limits=httpx.Limits(max_keepalive_connections=20),
            )
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout), self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise invalid_url()
                async for chunk in response.aiter_bytes():
                    size += len(chunk)
                    if size > limit:
                        raise _too_large()
                    chunks.append(chunk)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ServiceError(
                code="InvalidURL.Timeout", message="Download the media resource timed out."
            ) from error
        except httpx.ConnectError as error:
            raise ServiceError(
                code="InvalidURL.ConnectionRefused", message="Connection to the media resource was refused."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise invalid_url() from error
        return b"".join(chunks)


def _decode_data_url(url: str) -> bytes:
    head, separator, payload = url.partition(",")
    if not separator:
        raise invalid_url()
    if not head.endswith(";base64"):
        return unquote_to_bytes(payload)
    try:
        return base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise invalid_url() from error


def _check_name(url: str, data: bytes) -> None:
    extension = url.rpartition(".")[2].lower()
    if not data.startswith(_BEGINNINGS.get(extension, b"")):
        raise ServiceError(
            code="InvalidImage.FileFormat",
            message=f"The content of the file is not that of a .{extension} file.",
        )


def _check_resolution(info: PictureInfo) -> None:
    short, long = sorted((info.width, info.height))
    # A ratio beyond 1.5:1 is cropped, not refused: the documents say so, or that it "may" raise an error.
    if short < MIN_SIDE or short > MAX_SHORT_SIDE or long > MAX_LONG_SIDE:
        raise ServiceError(
            code="InvalidImageResolution", message="The input image resolution is too large or small"
        )


def _too_large() -> ServiceError:
    # The documents limit the size but name no code for it; this one is in their general table.
    return ServiceError(code="InvalidImage.ImageSize", message="The size of the input image exceeds 10 MB.")
