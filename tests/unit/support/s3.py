"""A local S3 for tests: moto's server in a thread."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

CREDENTIALS = {"login": "testing", "password": "testing"}
REGION = "us-east-1"


def connection_json(url: str, **config: Any) -> str:
    """An Airflow connection to an S3 at some address."""
    extra = {
        "endpoint_url": url,
        "region_name": REGION,
        "config_kwargs": {"s3": {"addressing_style": "path"}, **config},
    }
    return json.dumps({"conn_type": "aws", **CREDENTIALS, "extra": extra})


@cache
def client(url: str, *, login: str = CREDENTIALS["login"], password: str = CREDENTIALS["password"]) -> Any:
    """Make a client of boto's own."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=login,
        aws_secret_access_key=password,
        region_name=REGION,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )


class Bucket:
    """One bucket of the local S3, a test's own.

    :param url: address of the S3.
    :param name: the bucket's name.
    """

    def __init__(self, *, url: str, name: str) -> None:
        self.name = name
        self.client = client(url)
        self.client.create_bucket(Bucket=name)

    def put(self, key: str, body: bytes, **more: Any) -> str:
        """Store an object and return its URL."""
        self.client.put_object(Bucket=self.name, Key=key, Body=body, **more)
        return f"s3://{self.name}/{key}"

    def body(self, key: str) -> bytes:
        """Return an object's bytes."""
        body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body

    def head(self, key: str) -> dict[str, Any]:
        """Return what S3 says of an object."""
        head: dict[str, Any] = self.client.head_object(Bucket=self.name, Key=key)
        return head

    def keys(self) -> list[str]:
        """Return the keys of all objects."""
        rows = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return [row["Key"] for row in rows]

    def unfinished(self) -> list[str]:
        """Return the keys of uploads that were begun and neither finished nor given up."""
        rows = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [row["Key"] for row in rows]
