"""Meet every hostile body in turn and tell how far memory has grown: ``python -m … client|trigger|store URL``.

A process of its own, because a peak of memory never falls again.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import ProviderError


def peak() -> float:
    """The most memory that this process has had, in megabytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # A process begins with its parent's peak, as far as getrusage is asked.
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def client(url: str) -> Callable[[str], str]:
    """Look at tasks and fetch results with the blocking client."""
    dashscope = DashScopeClient(ClientConfig(api_key="sk-unit", base_url=url, timeout=5, retry_for=0))

    def meet(name: str) -> str:
        try:
            if name.startswith("download"):
                with dashscope.download(f"{url}/{name}.txt") as (_, chunks):
                    return f"{sum(map(len, chunks))} bytes"
            return str(dashscope.get_task(name).status)
        except ProviderError as error:
            return type(error).__name__

    return meet


def trigger(url: str) -> Callable[[str], str]:
    """Wait for tasks with the trigger, as a triggerer runs it."""
    from airflow_provider_wanx.triggers.dashscope import DashScopeTaskTrigger

    os.environ["AIRFLOW_CONN_HOSTILE"] = json.dumps(
        {"conn_type": "dashscope", "host": url, "password": "sk-unit", "extra": {"timeout": 5}}
    )

    async def first_event(name: str) -> str:
        waiting = DashScopeTaskTrigger(
            dashscope_task_ids=[name],
            dashscope_conn_id="hostile",
            poll_interval=0.1,
            end_time=time.time() + 0.1,
        )
        async for event in waiting.run():
            return " ".join({**event.payload["statuses"], **event.payload["errors"]})
        return "none"

    return lambda name: asyncio.run(first_event(name))


def store(url: str) -> Callable[[str], str]:
    """Read small objects from S3."""
    import boto3
    from botocore.config import Config

    from airflow_provider_wanx.s3.objects import ObjectStore

    patience = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={})
    s3 = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=patience,
    )
    objects = ObjectStore(s3, bucket="bucket", prefix="")

    def meet(name: str) -> str:
        try:
            return f"{len(objects.read(name).body)} bytes"
        except ProviderError as error:
            return type(error).__name__

    return meet


if __name__ == "__main__":
    kind, url, *names = sys.argv[1:]
    meet = {"client": client, "trigger": trigger, "store": store}[kind](url)
    harmless = meet("harmless")
    start = peak()
    met = {each: [meet(each), round(peak() - start, 1)] for each in names}
    ballast = b"x" * 100_000_000
    seen = [f"{len(ballast)} bytes", round(peak() - start, 1)]
    sys.stdout.write(json.dumps({"harmless": [harmless, 0.0], **met, "ballast": seen}))
