"""A local S3."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from tests.stack.environment import clean_environment
from tests.stack.ports import LOOPBACK
from tests.stack.process import ManagedProcess

ACCESS_KEY = "testing"
SECRET_KEY = "testing"
REGION = "us-east-1"
_ATTEMPTS = 12


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object in a bucket."""

    key: str
    size: int


class LocalS3:
    """moto's server in a process of its own. It keeps everything in memory.

    :param port: port to listen on
    """

    def __init__(self, *, port: int, logs: Path) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self.process = ManagedProcess(
            name="local S3",
            command=[sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)],
            env=clean_environment(),
            log_file=logs / "s3.log",
        )
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            # It repeats what is not answered for about two minutes.
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            ),
        )

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection to it."""
        return {
            "conn_type": "aws",
            "login": ACCESS_KEY,
            "password": SECRET_KEY,
            "extra": {
                "endpoint_url": self.url,
                "region_name": REGION,
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            },
        }

    def ready(self) -> bool:
        """Whether it answers."""
        return httpx.get(f"{self.url}/moto-api/", trust_env=False).is_success

    def put(self, *, bucket: str, key: str, body: bytes) -> None:
        """Store an object; the bucket is made where it is missing.

        :param key: key of the object
        :param body: its bytes
        """
        self.client.create_bucket(Bucket=bucket)
        self.client.put_object(Bucket=bucket, Key=key, Body=body)

    def list(self, *, bucket: str, prefix: str = "") -> list[StoredObject]:
        """List the objects of a bucket.

        :param prefix: how their keys begin
        """
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        rows = [row for page in pages for row in page.get("Contents", [])]
        return [StoredObject(key=row["Key"], size=row["Size"]) for row in rows]

    def get(self, *, bucket: str, key: str) -> bytes:
        """Read an object.

        :param key: key of the object
        """
        body: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body
