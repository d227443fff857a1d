from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wanx.dashscope.config import (
    ClientConfig,
    Limits,
    api_base,
    region_base_url,
    region_of,
    sends_safely,
)
from airflow_provider_wanx.dashscope.errors import ConfigurationError


def test_the_defaults_are_the_documented_ones() -> None:
    config = ClientConfig(api_key="sk-1")

    assert config.base_url == "https://dashscope.aliyuncs.com/api/v1"
    assert config.workspace is None
    assert config.limits == Limits(submissions_per_second=2, requests_per_second=20)


def test_the_key_is_not_in_what_is_shown_of_a_configuration() -> None:
    assert "sk-secret" not in repr(ClientConfig(api_key="sk-secret"))


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://dashscope.aliyuncs.com", "https://dashscope.aliyuncs.com/api/v1"),
        ("https://dashscope.aliyuncs.com/", "https://dashscope.aliyuncs.com/api/v1"),
        ("https://dashscope.aliyuncs.com/api/v1/", "https://dashscope.aliyuncs.com/api/v1"),
        (" dashscope-intl.aliyuncs.com ", "https://dashscope-intl.aliyuncs.com/api/v1"),
        ("http://127.0.0.1:8089", "http://127.0.0.1:8089/api/v1"),
        ("http://localhost:8089", "http://localhost:8089/api/v1"),
        ("http://api.localhost", "http://api.localhost/api/v1"),
        ("http://[::1]:80", "http://[::1]:80/api/v1"),
        ("https://gateway.example/dashscope", "https://gateway.example/dashscope/api/v1"),
    ],
)
def test_a_base_url_is_completed(given: str, used: str) -> None:
    assert ClientConfig(api_key="sk-1", base_url=given).base_url == used


@pytest.mark.parametrize(
    "url", ["http://dashscope.aliyuncs.com", "http://127.0.0.1.evil.example", "http://10.0.0.1"]
)
def test_the_key_never_travels_unencrypted_to_another_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must begin with https://"):
        api_base(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "ftp://dashscope.aliyuncs.com",
        "https://user@dashscope.aliyuncs.com",
        "https://:pass-word-1@dashscope.aliyuncs.com",
        "https://dashscope.aliyuncs.com?token=pass-word-1",
        "https://dashscope.aliyuncs.com/#pass-word-1",
        "https://dash scope.aliyuncs.com",
        "https://[::1",
        "https://dashscope..aliyuncs.com",
        "https://dashscope.aliyuncs.com:port",
        "https://dashscope.aliyuncs.com:99999",
        f"https://{'a' * 64}.example",
    ],
)
def test_a_base_url_that_is_none_is_refused_without_showing_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^base URL ") as caught:
        api_base(url)

    assert "pass-word-1" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  ", "sk-1 2", "sk-1\n", "sk-ключ", "sk-\x00", "sk-\x7f", "sk-1\u3000"])
def test_a_key_that_no_header_could_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="API key") as caught:
        ClientConfig(api_key=key)

    assert not key.strip() or repr(key) not in str(caught.value)


@pytest.mark.parametrize("workspace", ["ws id", "ws\r\nX: 1", "evil.example/", "wörk"])
def test_a_workspace_that_could_change_host_or_header_is_refused(workspace: str) -> None:
    with pytest.raises(ConfigurationError, match="not a workspace id"):
        ClientConfig(api_key="sk-1", workspace=workspace)
    with pytest.raises(ConfigurationError, match="not a workspace id"):
        region_base_url("eu-central-1", workspace)


@pytest.mark.parametrize("name", ["timeout", "retry_for"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 1e9, "60", True, None])
def test_a_time_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        ClientConfig(api_key="sk-1", **{name: value})


def test_a_timeout_of_nothing_is_refused_but_retrying_can_be_switched_off() -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        ClientConfig(api_key="sk-1", timeout=0)
    assert ClientConfig(api_key="sk-1", retry_for=0).retry_for == 0


@pytest.mark.parametrize("name", ["submissions_per_second", "requests_per_second"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "2", True])
def test_a_limit_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("region", "workspace", "url"),
    [
        ("cn-beijing", None, "https://dashscope.aliyuncs.com"),
        ("cn-beijing", "ws1", "https://dashscope.aliyuncs.com"),
        ("ap-southeast-1", None, "https://dashscope-intl.aliyuncs.com"),
        ("us-east-1", None, "https://dashscope-us.aliyuncs.com"),
        ("cn-hongkong", None, "https://cn-hongkong.dashscope.aliyuncs.com"),
        ("eu-central-1", "ws1", "https://ws1.eu-central-1.maas.aliyuncs.com"),
        ("ap-northeast-1", "llm-2", "https://llm-2.ap-northeast-1.maas.aliyuncs.com"),
    ],
)
def test_a_region_has_its_documented_host(region: str, workspace: str | None, url: str) -> None:
    assert region_base_url(region, workspace) == url


def test_a_region_without_shared_host_needs_a_workspace() -> None:
    with pytest.raises(ConfigurationError, match="give the workspace"):
        region_base_url("eu-central-1", None)


def test_an_unknown_region_is_refused_with_the_list_of_all() -> None:
    with pytest.raises(ConfigurationError, match=r"'mars-1'.*ap-northeast-1.*us-east-1"):
        region_base_url("mars-1", "ws1")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://anywhere.example/x", True),
        ("http://127.1.2.3/x", True),
        ("http://anywhere.example/x", False),
        ("http:///x", False),
        ("ftp://127.0.0.1", False),
        ("http://[broken", False),
        ("", False),
    ],
)
def test_only_https_and_loopback_count_as_safe(url: str, safe: bool) -> None:
    assert sends_safely(url) is safe


@pytest.mark.parametrize(
    ("base_url", "region"),
    [
        ("https://dashscope.aliyuncs.com/api/v1", "cn-beijing"),
        ("https://ws-1.eu-central-1.maas.aliyuncs.com/api/v1", "eu-central-1"),
        ("https://vpc-cn-beijing.dashscope.aliyuncs.com", "cn-beijing"),
        ("https://vpc-cn-hongkong.dashscope.aliyuncs.com", "cn-hongkong"),
        ("https://ep-2zei1234.epsrv-2ze5678.cn-beijing.privatelink.aliyuncs.com", "cn-beijing"),
        ("https://ep-2zei1234.cn-hongkong.privatelink.aliyuncs.com", "cn-hongkong"),
        ("https://ep-2zei1234.privatelink.aliyuncs.com", None),
        ("https://vpc-cn-beijing.dashscope.aliyuncs.com.example.com", None),
        ("https://gateway.example.com", None),
    ],
)
def test_a_host_tells_its_region(base_url: str, region: str | None) -> None:
    assert region_of(base_url) == region
