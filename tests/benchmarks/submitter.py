"""One process that submits: run by :mod:`tests.benchmarks.submissions`."""

from __future__ import annotations

import json
import sys
import time

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import DashScopeError
from tests.benchmarks.service import JOB, PATH


def provider(url: str, key: str) -> None:
    """
    Submit with this package's client.

    :param url: address of the service
    :param key: API key
    """
    with DashScopeClient(ClientConfig(api_key=key, base_url=url)) as client:
        client.submit_task(service=PATH.partition("/services/")[2], **JOB)


def sdk(url: str, key: str) -> None:
    """
    Submit with the official SDK.

    :param url: address of the service
    :param key: API key
    """
    import dashscope
    from dashscope import ImageSynthesis

    dashscope.base_http_api_url = f"{url}/api/v1"
    answer = ImageSynthesis.async_call(
        model=JOB["model"], prompt=JOB["input"]["prompt"], size="512*512", n=1, api_key=key
    )
    if answer.status_code != 200:
        raise DashScopeError(f"{answer.code}")


if __name__ == "__main__":
    _client, _url, _key, _count = sys.argv[1:]
    submit = {"provider": provider, "SDK": sdk}[_client]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    waits, lost = [], 0
    for _ in range(int(_count)):
        began = time.monotonic()
        try:
            submit(_url, _key)
        except DashScopeError:
            lost += 1
        waits.append(time.monotonic() - began)
    sys.stdout.write(json.dumps({"waits": waits, "lost": lost}) + "\n")
