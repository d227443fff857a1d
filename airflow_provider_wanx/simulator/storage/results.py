"""The result store: signed addresses that expire, and what lies behind them."""

from __future__ import annotations

import heapq
import math
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.clock import CHINA, Clock
from airflow_provider_wanx.simulator.errors import ServiceError
from airflow_provider_wanx.simulator.painting.files import Blob
from airflow_provider_wanx.simulator.settings import DAY, Settings
from airflow_provider_wanx.simulator.storage.signing import Signer
from airflow_provider_wanx.simulator.tasks.job import Job

# How long after the task's end an address works, as recorded. Most are signed when the file is stored, a few seconds
# before the task ends: 86,392 to 86,399 s were seen.
_LIFETIMES = {Family.REPAINT: DAY, Family.EMBEDDING: 3 * DAY}
_USUAL_LIFETIME = DAY - 4


@dataclass(frozen=True, kw_only=True)
class Result:
    """A file that a task left.

    :param blob: the file.
    :param job: the task.
    :param granted: when each address ends that was given out; its own ``Expires`` has whole seconds only, which at
        a high speed are long.
    """

    blob: Blob
    job: Job
    granted: dict[int, float] = field(default_factory=dict)


class ResultStore:
    """All results, by key.

    :param settings: lifetimes.
    :param clock: the service's clock.
    :param signer: signs the addresses.
    """

    def __init__(self, *, settings: Settings, clock: Clock, signer: Signer) -> None:
        self._settings = settings
        self._clock = clock
        self._signer = signer
        self._results: dict[str, Result] = {}
        self._next_to_go: list[tuple[float, str]] = []
        self._keys: dict[str, tuple[str, ...]] = {}

    def urls(self, job: Job, *, base: str) -> list[str]:
        """Give out the addresses of a task's results; failed ones have an empty one.

        They are the same each time, unless the settings give a lifetime, which begins anew each time and never goes
        beyond that of the file.

        :param job: the task.
        :param base: the address of this server.
        """
        if job.ended is None:
            return []
        goes = job.ended + _LIFETIMES.get(job.order.service.family, _USUAL_LIFETIME)
        if job.task_id not in self._keys:
            self._keep(job, goes)
        lifetime = self._settings.url_lifetime
        if lifetime is None:
            ends, expires = goes, math.floor(self._clock.epoch(goes))
        else:
            ends = min(self._clock.now() + lifetime, goes)
            expires = math.ceil(self._clock.epoch(ends))
        keys = self._keys[job.task_id]
        return [self._sign(key, base, ends=ends, expires=expires) if key else "" for key in keys]

    def open(self, key: str, query: Mapping[str, str]) -> Result:
        """Return the file behind an address.

        :raises ServiceError: with the object store's own code.
        """
        expires, signature = query.get("Expires", ""), query.get("Signature", "")
        if not expires.isascii() or not expires.isdigit() or not signature:
            raise ServiceError(
                status=403,
                code="AccessDenied",
                message="You have no right to access this object because of bucket acl.",
            )
        if not self._signer.accepts(
            key_id=query.get("OSSAccessKeyId", ""), text=_text(key, int(expires)), signature=signature
        ):
            raise ServiceError(
                status=403,
                code="SignatureDoesNotMatch",
                message="The request signature we calculated does not match the signature you provided.",
            )
        result = self._results.get(key)
        ends = self._clock.moment(int(expires)) if result is None else result.granted.get(int(expires), 0.0)
        if ends <= self._clock.now():
            raise ServiceError(status=403, code="AccessDenied", message="Request has expired.")
        if result is None:
            raise ServiceError(status=404, code="NoSuchKey", message="The specified key does not exist.")
        return result

    def owner(self, key: str) -> Job | None:
        """Return the task that a file came from."""
        result = self._results.get(key)
        return None if result is None else result.job

    def _keep(self, job: Job, goes: float) -> None:
        now = self._clock.now()
        while self._next_to_go and self._next_to_go[0][0] <= now:
            old = self._results.pop(heapq.heappop(self._next_to_go)[1])
            self._keys.pop(old.job.task_id, None)
        keys: list[str] = []
        for item in job.items:
            key = "" if item.blob is None else self._key(job, item.suffix)
            if item.blob is not None:
                self._results[key] = Result(blob=item.blob, job=job)
                heapq.heappush(self._next_to_go, (goes, key))
            keys.append(key)
        self._keys[job.task_id] = tuple(keys)

    def _key(self, job: Job, suffix: str) -> str:
        epoch = self._clock.epoch(job.ended or 0.0)
        date = datetime.fromtimestamp(epoch, CHINA)
        if job.order.service.family is Family.REPAINT:
            name = f"{int(epoch * 1000)}{suffix.removesuffix('.jpg')}_{secrets.token_hex(4)}.jpg"
            return f"viapi-video/{date:%Y-%m-%d}/{uuid.uuid4()}/{name}"
        return f"1d/{date:%Y%m%d}/{uuid.uuid4()}-1{suffix}"

    def _sign(self, key: str, base: str, *, ends: float, expires: int) -> str:
        granted = self._results[key].granted
        granted[expires] = max(ends, granted.get(expires, 0.0))
        query = urlencode(
            {
                "Expires": expires,
                "OSSAccessKeyId": self._signer.key_id,
                "Signature": self._signer.sign(_text(key, expires)),
            }
        )
        return f"{base}/results/{quote(key)}?{query}"


def _text(key: str, expires: int) -> str:
    return f"GET\n\n\n{expires}\n/dashscope-result-bj/{key}"
