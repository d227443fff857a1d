from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.links.urls import (
    CHINA_CONSOLE,
    INTERNATIONAL_CONSOLE,
    console_url,
    gallery_url,
    s3_url,
)


def store(endpoint: str, region: str = "eu-central-1") -> Any:
    """What is known of a store from its boto3 client."""
    return SimpleNamespace(meta=SimpleNamespace(endpoint_url=endpoint, region_name=region))


def identity(**differently: Any) -> Identity:
    return Identity(**{"dag_id": "dag", "run_id": "run", "task_id": "copy", **differently})


@pytest.mark.parametrize(
    ("base_url", "page"),
    [
        ("https://dashscope.aliyuncs.com/api/v1", CHINA_CONSOLE),
        ("https://ws-1.cn-beijing.maas.aliyuncs.com/api/v1", CHINA_CONSOLE),
        ("https://vpc-cn-beijing.dashscope.aliyuncs.com/api/v1", CHINA_CONSOLE),
        ("https://ep-1.cn-beijing.privatelink.aliyuncs.com/api/v1", CHINA_CONSOLE),
        ("https://vpc-cn-hongkong.dashscope.aliyuncs.com/api/v1", INTERNATIONAL_CONSOLE),
        ("https://dashscope-intl.aliyuncs.com/api/v1", INTERNATIONAL_CONSOLE),
        ("https://ws-1.ap-southeast-1.maas.aliyuncs.com/api/v1", INTERNATIONAL_CONSOLE),
        ("http://127.0.0.1:8089/api/v1", "http://127.0.0.1:8089/#an%20id"),
        ("https://dashscope.example.com/api/v1", None),
        ("https://aliyuncs.com.example.com/api/v1", None),
    ],
)
def test_the_console_is_that_of_the_accounts_region_and_a_stranger_has_none(
    base_url: str, page: str | None
) -> None:
    assert console_url(base_url, "an id") == page


@pytest.mark.parametrize(
    ("region", "console"),
    [
        ("eu-central-1", "https://console.aws.amazon.com/s3/object/pictures?region=eu-central-1&"),
        ("cn-north-1", "https://console.amazonaws.cn/s3/object/pictures?region=cn-north-1&"),
        ("us-gov-west-1", "https://console.amazonaws-us-gov.com/s3/object/pictures?region=us-gov-west-1&"),
        ("aws-global", "https://console.aws.amazon.com/s3/object/pictures?"),
    ],
)
def test_an_object_of_aws_is_shown_in_the_console_of_its_partition(region: str, console: str) -> None:
    client = store("https://s3.eu-central-1.amazonaws.com", region)
    assert s3_url(client, "pictures", "a b/<&?>.jpg") == f"{console}prefix=a%20b%2F%3C%26%3F%3E.jpg"


def test_a_folder_of_aws_is_listed_in_the_console() -> None:
    assert s3_url(store("https://s3.amazonaws.com"), "pictures", "out/") == (
        "https://console.aws.amazon.com/s3/buckets/pictures?region=eu-central-1&prefix=out%2F"
    )


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "https://s3.amazonaws.com.example.com"])
def test_another_store_is_not_taken_for_aws(endpoint: str) -> None:
    assert s3_url(store(endpoint), "pictures", "out/a.jpg") is None
    assert s3_url(store(endpoint), "pictures", "out/") is None


def test_nothing_in_an_airflow_id_leads_to_another_page_of_the_gallery() -> None:
    ti = identity(run_id="manual__2026-11-23T10:00:00+00:00", task_id="../x?y#z", map_index=3)
    assert gallery_url("https://airflow.example.com/sub/", ti) == (
        "https://airflow.example.com/sub/wanx/gallery/dags/dag/runs/manual__2026-11-23T10%3A00%3A00%2B00%3A00"
        "/tasks/..%2Fx%3Fy%23z?map_index=3"
    )


def test_without_the_servers_address_the_gallery_is_on_the_server_that_shows_the_link() -> None:
    assert gallery_url("", identity()) == ("/wanx/gallery/dags/dag/runs/run/tasks/copy?map_index=-1")


def test_one_result_has_a_page_of_its_own() -> None:
    assert gallery_url("", identity(map_index=2), result=0) == (
        "/wanx/gallery/dags/dag/runs/run/tasks/copy/2/results/0"
    )


def test_each_iteration_of_a_loop_has_a_page_of_its_own() -> None:
    iteration = identity(region_id="0193", region_index=2)
    assert gallery_url("", iteration) == (
        "/wanx/gallery/dags/dag/runs/run/tasks/copy?map_index=-1&region_id=0193&region_index=2"
    )
    assert gallery_url("", iteration, result=0) == (
        "/wanx/gallery/dags/dag/runs/run/tasks/copy/-1/results/0?region_id=0193&region_index=2"
    )
