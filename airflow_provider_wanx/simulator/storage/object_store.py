"""The object store: signed addresses of results, upload policies, uploads and their ``oss://`` URLs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from airflow_provider_wanx.simulator.catalogue import Family
from airflow_provider_wanx.simulator.clock import CHINA, Clock
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_url
from airflow_provider_wanx.simulator.painting.making import Item
from airflow_provider_wanx.simulator.queues import Job
from airflow_provider_wanx.simulator.settings import DAY, Settings


class Signer:
    """One key pair of the object store, new with every simulator."""

    def __init__(self) -> None:
        self.key_id = "LTAI5t" + secrets.token_hex(9)
        self._secret = secrets.token_bytes(30)

    def sign(self, text: str) -> str:
        """Return the signature of a text."""
        return base64.b64encode(hmac.new(self._secret, text.encode(), hashlib.sha1).digest()).decode()

    def check(self, given: Mapping[str, str], text: str) -> None:
        """Pass if key and signature that were given are this key's for a text.

        :raises ServiceError: it is not.
        """
        right = hmac.compare_digest(given.get("Signature", "").encode(), self.sign(text).encode())
        if not right or given.get("OSSAccessKeyId") != self.key_id:
            raise ServiceError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
                status=403,
            )


# How long after the task's end an address works, as recorded. Most are signed when the file is stored, a few seconds
# before the task ends: 86,392 to 86,399 s were seen.
_REPAINT_LIFETIME, _USUAL_LIFETIME = DAY, DAY - 4


@dataclass(frozen=True, kw_only=True)
class Result:
    """A file that a task left.

    :param item: the file.
    :param job: the task.
    :param granted: when each address ends that was given out; its own ``Expires`` has whole seconds only, which at
        a high speed are long.
    """

    item: Item
    job: Job
    granted: dict[int, float] = field(default_factory=dict)


class ResultStore:
    """All results, by key."""

    def __init__(self, *, settings: Settings, clock: Clock, signer: Signer) -> None:
        self._settings, self._clock, self._signer = settings, clock, signer
        self._results: dict[str, Result] = {}
        self._keys: dict[str, tuple[str, ...]] = {}

    def urls(self, job: Job, *, base: str) -> list[str]:
        """Give out the addresses of a task's results; failed ones have an empty one.

        They are the same each time, unless the settings give a lifetime, which begins anew each time and never goes
        beyond that of the file.
        """
        if job.ended is None:
            return []
        repaint = job.order.service.family is Family.REPAINT
        goes = job.ended + (_REPAINT_LIFETIME if repaint else _USUAL_LIFETIME)
        if job.task_id not in self._keys:
            self._keys[job.task_id] = self._keep(job)
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
        expires = query.get("Expires", "")
        if not expires.isascii() or not expires.isdigit() or not query.get("Signature"):
            words = "You have no right to access this object because of bucket acl."
            raise ServiceError("AccessDenied", words, status=403)
        self._signer.check(query, _text(key, int(expires)))
        result = self._results.get(key)
        ends = self._clock.moment(int(expires)) if result is None else result.granted.get(int(expires), 0.0)
        if ends <= self._clock.now():
            raise ServiceError("AccessDenied", "Request has expired.", status=403)
        if result is None:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", status=404)
        return result

    def owner(self, key: str) -> Job | None:
        """Return the task that a file came from."""
        result = self._results.get(key)
        return None if result is None else result.job

    def _keep(self, job: Job) -> tuple[str, ...]:
        keys = []
        for item in job.items:
            keys.append("" if item.data is None else self._key(job, item.suffix))
            if item.data is not None:
                self._results[keys[-1]] = Result(item=item, job=job)
        return tuple(keys)

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
        signature = self._signer.sign(_text(key, expires))
        query = {"Expires": expires, "OSSAccessKeyId": self._signer.key_id, "Signature": signature}
        return f"{base}/results/{quote(key)}?{urlencode(query)}"


def _text(key: str, expires: int) -> str:
    return f"GET\n\n\n{expires}\n/dashscope-result-bj/{key}"


_MEGABYTE = 1024 * 1024

MAX_UPLOAD_BYTES, UPLOAD_LIFETIME_SECONDS = 1024 * _MEGABYTE, 2 * DAY
"""Of one file, and until it is deleted; both as documented."""

_CONDITIONS = {"x-oss-object-acl": "private", "x-oss-forbid-overwrite": "true"}


class UploadStore:
    """Files of the account that live for 48 hours."""

    def __init__(self, *, settings: Settings, clock: Clock, signer: Signer) -> None:
        self._settings, self._clock, self._signer = settings, clock, signer
        self._account = secrets.token_hex(16)
        self._policies: OrderedDict[str, tuple[str, str, float]] = OrderedDict()
        self._uploads: OrderedDict[str, tuple[bytes, str, float]] = OrderedDict()

    def grant(self, *, model: str, host: str) -> dict[str, Any]:
        """Write an upload policy for a model's file, which the address of ``host`` takes."""
        now = self._clock.now()
        expires = now + self._settings.policy_lifetime
        date = datetime.fromtimestamp(self._clock.epoch(now), CHINA)
        directory = f"dashscope-instant/{self._account}/{date:%Y-%m-%d}/{uuid.uuid4()}"
        ends = datetime.fromtimestamp(self._clock.epoch(expires), UTC)
        document = {
            "expiration": f"{ends:%Y-%m-%dT%H:%M:%S}.{ends.microsecond // 1000:03d}Z",
            "conditions": [
                ["content-length-range", 0, MAX_UPLOAD_BYTES],
                ["starts-with", "$key", directory],
                *({name: value} for name, value in _CONDITIONS.items()),
            ],
        }
        policy = base64.b64encode(json.dumps(document).encode()).decode()
        self._policies[policy] = (directory, model, expires)
        while next(iter(self._policies.values()))[2] < now:
            self._policies.popitem(last=False)
        return {
            "policy": policy,
            "signature": self._signer.sign(policy),
            "upload_dir": directory,
            "upload_host": host,
            "expire_in_seconds": int(self._settings.policy_lifetime),
            "max_file_size_mb": MAX_UPLOAD_BYTES // _MEGABYTE,
            "capacity_limit_mb": 999999999,
            "oss_access_key_id": self._signer.key_id,
            **{name.replace("-", "_"): value for name, value in _CONDITIONS.items()},
        }

    def store(self, fields: Mapping[str, str], data: bytes) -> None:
        """Take an upload.

        :param fields: the form's fields before the file.
        :param data: the file.
        :raises ServiceError: with the object store's own code.
        """
        policy, key = fields.get("policy", ""), fields.get("key", "")
        self._signer.check(fields, policy)
        directory, model, expires = self._policies.get(policy, ("", "", 0.0))
        now = self._clock.now()
        if now >= expires:
            raise _denied("Policy expired.")
        if not key.startswith(directory + "/"):
            raise _denied('Policy Condition failed: ["starts-with", "$key"]')
        for name, value in _CONDITIONS.items():
            if fields.get(name) != value:
                raise _denied(f'Policy Condition failed: ["eq", "${name}", "{value}"]')
        if len(data) > MAX_UPLOAD_BYTES:
            raise ServiceError("EntityTooLarge", "Your proposed upload exceeds the maximum size.")
        self._forget(now)
        if key in self._uploads:
            raise ServiceError(
                "FileAlreadyExists",
                "The object you specified already exists and can not be overwritten.",
                status=409,
            )
        self._uploads[key] = (data, model, now + UPLOAD_LIFETIME_SECONDS)

    def read(self, url: str, *, model: str) -> bytes:
        """Read an uploaded file for a model.

        :raises ServiceError: it is not there any more, or was uploaded for another model.
        """
        self._forget(self._clock.now())
        data, owner, _ = self._uploads.get(url.removeprefix("oss://"), (b"", "", 0.0))
        if owner != model:
            raise invalid_url()
        return data

    def _forget(self, now: float) -> None:
        while self._uploads and next(iter(self._uploads.values()))[2] <= now:
            self._uploads.popitem(last=False)


def _denied(message: str) -> ServiceError:
    return ServiceError("AccessDenied", f"Invalid according to Policy: {message}", status=403)
