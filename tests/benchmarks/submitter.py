"""One process that submits: run by :mod:`tests.benchmarks.submissions`."""

from __future__ import annotations

import json
import os
import sys
import time
from functools import cache

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.store import Store
from tests.benchmarks.service import JOB, PATH

RECORD_PATH = "RECORD_PATH"
"""Name of the environment variable with the place where machines share their pace."""


def provider(url: str, key: str) -> None:
    """Submit with this package's client."""
    with DashScopeClient(ClientConfig(api_key=key, base_url=url, shared_place=_place())) as client:
        client.submit_task(service=PATH.partition("/services/")[2], **JOB)


@cache
def _place() -> Store | None:
    path = os.environ.get(RECORD_PATH)
    if not path:
        return None
    from airflow_provider_wanx.hooks.shared_place import RecordFolder  # loads Airflow

    place = RecordFolder(path)
    # A worker has loaded what it needs before its task begins.
    place.read("nothing")
    return place


def sdk(url: str, key: str) -> None:
    """Submit with the official SDK."""
    import dashscope
    from dashscope import ImageSynthesis

    dashscope.base_http_api_url = f"{url}/api/v1"
    answer = ImageSynthesis.async_call(
        model=JOB["model"], prompt=JOB["input"]["prompt"], size="512*512", n=1, api_key=key
    )
    if answer.status_code != 200:
        raise ProviderError(f"{answer.code}")


if __name__ == "__main__":
    _client, _url, _key, _count = sys.argv[1:]
    submit = {"provider": provider, "SDK": sdk}[_client]
    _place()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    waits, lost = [], 0
    for _ in range(int(_count)):
        began = time.monotonic()
        try:
            submit(_url, _key)
        except ProviderError:
            lost += 1
        waits.append(time.monotonic() - began)
    sys.stdout.write(json.dumps({"waits": waits, "lost": lost}) + "\n")
