"""Addresses that links lead to. None of them is signed, so that they may be stored and shown."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from airflow_provider_wanx.dashscope.config import REPAINT_REGION, is_loopback, region_of
from airflow_provider_wanx.identity import Identity

CHINA_CONSOLE = "https://bailian.console.aliyun.com/"
INTERNATIONAL_CONSOLE = "https://modelstudio.console.alibabacloud.com/"


def console_url(base_url: str, dashscope_task_id: str) -> str | None:
    """Find the web page that shows a task; the service documents no address of a single task in its console.

    :param base_url: of the connection.
    :param dashscope_task_id: the service's id.
    :return: the console of the account's region; on this machine, the task in the local DashScope's page; else None.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if is_loopback(host):
        return f"{parts.scheme}://{parts.netloc}/#{quote(dashscope_task_id, safe='')}"
    if not host.endswith(".aliyuncs.com"):
        return None
    return CHINA_CONSOLE if region_of(base_url) == REPAINT_REGION else INTERNATIONAL_CONSOLE


def s3_url(client: Any, bucket: str, key: str) -> str | None:
    """Make the address of an object's page in AWS's console.

    :param client: boto3's S3 client.
    :param key: of the object; with a slash at its end, or empty, that of a folder.
    :return: None on another store: its objects, unsigned, are rarely for everybody, and its console may be anywhere.
    """
    if not is_aws(client):
        return None
    region = client.meta.region_name or ""
    domain = "amazonaws.cn" if region.startswith("cn-") else "aws.amazon.com"
    if region.startswith("us-gov-"):
        domain = "amazonaws-us-gov.com"
    page = "buckets" if key == "" or key.endswith("/") else "object"
    query = {"region": region, "prefix": key} if region and region != "aws-global" else {"prefix": key}
    return f"https://console.{domain}/s3/{page}/{bucket}?{urlencode(query, quote_via=quote, safe='')}"


def is_aws(client: Any) -> bool:
    """Tell whether a client of boto3 leads to AWS itself."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def gallery_url(base_url: str, identity: Identity, *, result: int | None = None) -> str:
    """Make the address of a task instance's page in the gallery.

    :param base_url: of Airflow's API server; without one, the address holds on the server that shows it.
    :param identity: the task instance.
    :param result: one of its results, from 0, instead of all.
    """
    ids = identity.to_json()
    dag_id, run_id, task_id = (quote(ids.pop(name), safe="") for name in ("dag_id", "run_id", "task_id"))
    page = f"{base_url.rstrip('/')}/wanx/gallery/dags/{dag_id}/runs/{run_id}/tasks/{task_id}"
    if result is not None:
        page += f"/{ids.pop('map_index')}/results/{result}"
    return f"{page}?{urlencode(ids)}" if ids else page
