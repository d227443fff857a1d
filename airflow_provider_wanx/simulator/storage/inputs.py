"""How the service gets at its inputs, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from concurrent.futures import Executor
from functools import cache
from urllib.parse import unquote_to_bytes

import httpx

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_url
from airflow_provider_wanx.simulator.faults import Faults
from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting.making import Source
from airflow_provider_wanx.simulator.painting.painter import measure
from airflow_provider_wanx.simulator.settings import Settings
from airflow_provider_wanx.simulator.storage.object_store import UploadStore

_MEGABYTE = 1024 * 1024
MAX_IMAGE_BYTES = 10 * _MEGABYTE
MAX_FILE_BYTES = 256 * _MEGABYTE
MIN_SIDE = 256
MAX_LONG_SIDE = 5760
MAX_SHORT_SIDE = 3240
USER_AGENT = "Mozilla/5.0 (compatible; DashScopeUserBot; airflow-provider-wanx simulator)"

# Reading the certificates takes longer than a request.
_tls_context = cache(httpx.create_ssl_context)

# Their inputs are recordings, or pictures, recordings and videos together.
_UNDECODED = (Family.TRANSCRIPTIONS, Family.TRANSCRIPTION, Family.VIDEO, Family.VIDEO_RESULTS)


class InputReader:
    """Reads the inputs of orders; ``fetched`` is called for each."""

    def __init__(
        self,
        *,
        uploads: UploadStore,
        faults: Faults,
        painters: Executor,
        settings: Settings,
        fetched: Callable[[], None],
    ) -> None:
        self._uploads, self._faults, self._painters = uploads, faults, painters
        self._timeout, self._fetched = settings.fetch_timeout, fetched
        self._client: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections to where inputs come from."""
        if self._client is not None:
            await self._client.aclose()

    async def read(self, order: Order, url: str, *, task_id: str | None) -> Source:
        """Read one input of an order, and check it.

        :raises ServiceError: it cannot be had, or the model does not take it.
        """
        await self._suffer(order, task_id)
        is_picture = order.service.family not in _UNDECODED
        data = await self._bytes(order, url, limit=MAX_IMAGE_BYTES if is_picture else MAX_FILE_BYTES)
        self._fetched()
        if is_picture:
            size = await asyncio.get_running_loop().run_in_executor(self._painters, measure, data)
            if order.service.family is Family.REPAINT:
                _check_resolution(size)
        return Source(url=url, data=data)

    async def _suffer(self, order: Order, task_id: str | None) -> None:
        fault = self._faults.strike("input", task_id=task_id, style=order.style, model=order.model)
        if fault is None:
            return
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            return
        usual = "InvalidURL.ConnectionRefused" if fault.kind == "reset" else "InvalidURL"
        raise ServiceError(fault.code or usual, fault.message or invalid_url().message)

    async def _bytes(self, order: Order, url: str, *, limit: int) -> bytes:
        if url.startswith("data:"):
            data = _decode_data_url(url)
        elif url.startswith("oss://"):
            data = self._uploads.read(url, model=order.model)
        else:
            data = await self._download(url, limit=limit)
        if len(data) > limit:
            raise _too_large()
        return data

    async def _download(self, url: str, *, limit: int) -> bytes:
        if self._client is None:
            self._client = httpx.AsyncClient(
                headers={"User-Agent": USER_AGENT},
                timeout=self._timeout,
                follow_redirects=True,
                trust_env=False,
                verify=_tls_context(),
                limits=httpx.Limits(max_keepalive_connections=20),
            )
        data = bytearray()
        try:
            async with asyncio.timeout(self._timeout), self._client.stream("GET", url) as response:
                if response.status_code != httpx.codes.OK:
                    raise invalid_url()
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > limit:
                        raise _too_large()
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ServiceError("InvalidURL.Timeout", "Download the media resource timed out.") from error
        except httpx.ConnectError as error:
            raise ServiceError(
                "InvalidURL.ConnectionRefused", "Connection to the media resource was refused."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise invalid_url() from error
        return bytes(data)


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


def _check_resolution(size: tuple[int, int]) -> None:
    short, long = sorted(size)
    # A ratio beyond 1.5:1 is cropped, not refused: the documents say so, or that it "may" raise an error.
    if short < MIN_SIDE or short > MAX_SHORT_SIDE or long > MAX_LONG_SIDE:
        raise ServiceError("InvalidImageResolution", "The input image resolution is too large or small")


def _too_large() -> ServiceError:
    # The documents limit the size but name no code for it; this one is in their general table.
    return ServiceError("InvalidImage.ImageSize", "The size of the input image exceeds 10 MB.")
