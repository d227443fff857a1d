"""The temporary store: upload policies, uploads, ``oss://`` URLs."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_wanx.simulator.clock import CHINA, Clock
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_url
from airflow_provider_wanx.simulator.settings import Settings
from airflow_provider_wanx.simulator.storage.signing import Signer

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class _Upload:
    data: bytes = field(repr=False)
    model: str
    expires: float


class UploadStore:
    """Files of the account that live for 48 hours.

    :param settings: sizes and lifetimes.
    :param clock: the service's clock.
    :param signer: the store's key pair.
    """

    def __init__(self, *, settings: Settings, clock: Clock, signer: Signer) -> None:
        self._settings = settings
        self._clock = clock
        self._signer = signer
        self._account = secrets.token_hex(16)
        self._policies: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._uploads: OrderedDict[str, _Upload] = OrderedDict()

    def grant(self, *, model: str, host: str) -> dict[str, Any]:
        """Write an upload policy.

        :param model: the model that the file is for.
        :param host: the address that takes the upload.
        """
        now = self._clock.now()
        expires = now + self._settings.policy_lifetime
        date = datetime.fromtimestamp(self._clock.epoch(now), CHINA)
        directory = f"dashscope-instant/{self._account}/{date:%Y-%m-%d}/{uuid.uuid4()}"
        ends = datetime.fromtimestamp(self._clock.epoch(expires), UTC)
        limit = self._settings.max_upload_mb
        document = {
            "expiration": f"{ends:%Y-%m-%dT%H:%M:%S}.{ends.microsecond // 1000:03d}Z",
            "conditions": [
                ["content-length-range", 0, limit * _MEGABYTE],
                ["starts-with", "$key", directory],
                {"x-oss-object-acl": "private"},
                {"x-oss-forbid-overwrite": "true"},
            ],
        }
        policy = base64.b64encode(json.dumps(document).encode()).decode()
        self._policies[directory] = (model, expires)
        while self._policies and next(iter(self._policies.values()))[1] < now:
            self._policies.popitem(last=False)
        return {
            "policy": policy,
            "signature": self._signer.sign(policy),
            "upload_dir": directory,
            "upload_host": host,
            "expire_in_seconds": int(self._settings.policy_lifetime),
            "max_file_size_mb": limit,
            "capacity_limit_mb": 999999999,
            "oss_access_key_id": self._signer.key_id,
            "x_oss_object_acl": "private",
            "x_oss_forbid_overwrite": "true",
        }

    def store(self, fields: Mapping[str, str], data: bytes) -> None:
        """Take an upload.

        :param fields: the form's fields before the file.
        :param data: the file.
        :raises ServiceError: with the object store's own code.
        """
        policy, key = fields.get("policy", ""), fields.get("key", "")
        if not self._signer.accepts(
            key_id=fields.get("OSSAccessKeyId", ""), text=policy, signature=fields.get("Signature", "")
        ):
            raise ServiceError(
                status=403, code="SignatureDoesNotMatch", message="The signature does not match."
            )
        directory = _directory(policy)
        model, expires = self._policies.get(directory, ("", 0.0))
        now = self._clock.now()
        if now >= expires:
            raise _denied("Invalid according to Policy: Policy expired.")
        if not key.startswith(directory + "/"):
            raise _denied('Invalid according to Policy: Policy Condition failed: ["starts-with", "$key"]')
        wanted = {"x-oss-object-acl": "private", "x-oss-forbid-overwrite": "true"}
        for name, value in wanted.items():
            if fields.get(name) != value:
                raise _denied(
                    f'Invalid according to Policy: Policy Condition failed: ["eq", "${name}", "{value}"]'
                )
        if len(data) > self._settings.max_upload_mb * _MEGABYTE:
            raise ServiceError(
                code="EntityTooLarge", message="Your proposed upload exceeds the maximum size."
            )
        self._forget(now)
        if key in self._uploads:
            raise ServiceError(
                status=409,
                code="FileAlreadyExists",
                message="The object you specified already exists and can not be overwritten.",
            )
        self._uploads[key] = _Upload(data=data, model=model, expires=now + self._settings.upload_lifetime)

    def read(self, url: str, *, model: str) -> bytes:
        """Read an uploaded file for a model.

        :raises ServiceError: it is not there any more, or was uploaded for another model.
        """
        self._forget(self._clock.now())
        upload = self._uploads.get(url.removeprefix("oss://"))
        if upload is None or upload.model != model:
            raise invalid_url()
        return upload.data

    def _forget(self, now: float) -> None:
        while self._uploads and next(iter(self._uploads.values())).expires <= now:
            self._uploads.popitem(last=False)


def _directory(policy: str) -> str:
    try:
        conditions = json.loads(base64.b64decode(policy))["conditions"]
        return next(
            str(condition[2])
            for condition in conditions
            if isinstance(condition, list) and condition[:2] == ["starts-with", "$key"]
        )
    except (binascii.Error, ValueError, KeyError, TypeError, StopIteration) as error:
        raise _denied("Invalid according to Policy: Policy is not valid.") from error


def _denied(message: str) -> ServiceError:
    return ServiceError(status=403, code="AccessDenied", message=message)
