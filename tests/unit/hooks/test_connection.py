"""Reading an Airflow connection."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_wanx.dashscope.config import ClientConfig, Limits
from airflow_provider_wanx.dashscope.errors import ConfigurationError
from airflow_provider_wanx.hooks.connection import EXTRAS, client_config, record_path
from airflow_provider_wanx.hooks.dashscope import DashScopeHook

KEY = "sk-0123456789abcdef"

Read = Callable[..., ClientConfig]


@pytest.fixture
def read(set_connection: Callable[..., None]) -> Read:
    """Read a connection with these fields, as a hook does."""

    def from_fields(**fields: Any) -> ClientConfig:
        set_connection("chosen", {"conn_type": "dashscope", "password": KEY, **fields})
        return client_config(DashScopeHook.get_connection("chosen"))

    return from_fields


@pytest.fixture
def read_uri(set_connection: Callable[..., None]) -> Callable[[str], ClientConfig]:
    def from_uri(uri: str) -> ClientConfig:
        set_connection("chosen", uri)
        return client_config(DashScopeHook.get_connection("chosen"))

    return from_uri


@pytest.fixture
def stored() -> Callable[[str], Connection]:
    """A connection with an extra that need not be JSON, as from Airflow's database: from the environment, 3.1 takes no such."""
    return lambda extra: Connection(conn_id="chosen", conn_type="dashscope", password=KEY, extra=extra)


def test_a_key_is_enough(read: Read) -> None:
    assert read() == ClientConfig(api_key=KEY, base_url="https://dashscope.aliyuncs.com")


def test_the_key_is_not_in_the_configurations_representation(read: Read) -> None:
    assert KEY not in repr(read())


@pytest.mark.parametrize("key", [f" {KEY}\n", f"{KEY} "])
def test_blanks_around_a_copied_key_do_not_matter(read: Read, key: str) -> None:
    assert read(password=key).api_key == KEY


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "https://dashscope-intl.aliyuncs.com"}, "https://dashscope-intl.aliyuncs.com/api/v1"),
        ({"host": "https://dashscope.aliyuncs.com/api/v1/"}, "https://dashscope.aliyuncs.com/api/v1"),
        ({"host": "dashscope.aliyuncs.com"}, "https://dashscope.aliyuncs.com/api/v1"),
        ({"host": "gateway.example.com", "port": 8443}, "https://gateway.example.com:8443/api/v1"),
        ({"host": "https://gateway.example.com", "port": 8443}, "https://gateway.example.com:8443/api/v1"),
        (
            {"host": "https://gateway.example.com/wanx", "port": 8443},
            "https://gateway.example.com:8443/wanx/api/v1",
        ),
        ({"host": "https://gateway.example.com:1", "port": 8443}, "https://gateway.example.com:1/api/v1"),
        ({"host": "127.0.0.1", "port": 8000, "schema": "http"}, "http://127.0.0.1:8000/api/v1"),
        ({"host": "http://localhost:8000"}, "http://localhost:8000/api/v1"),
        ({"host": " "}, "https://dashscope.aliyuncs.com/api/v1"),
    ],
)
def test_the_base_url_is_read_from_host_schema_and_port(
    read: Read, fields: dict[str, Any], base_url: str
) -> None:
    assert read(**fields).base_url == base_url


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        (f"dashscope://:{KEY}@dashscope-intl.aliyuncs.com", "https://dashscope-intl.aliyuncs.com/api/v1"),
        (f"dashscope://:{KEY}@gateway.example.com:8443", "https://gateway.example.com:8443/api/v1"),
        (f"dashscope://http://:{KEY}@127.0.0.1:8000", "http://127.0.0.1:8000/api/v1"),
        (f"dashscope://:{KEY}@127.0.0.1:8000/http", "http://127.0.0.1:8000/api/v1"),
        (f"dashscope://:{KEY}@/?region=cn-hongkong", "https://cn-hongkong.dashscope.aliyuncs.com/api/v1"),
    ],
)
def test_a_connection_may_be_written_as_a_uri(
    read_uri: Callable[[str], ClientConfig], uri: str, base_url: str
) -> None:
    config = read_uri(uri)
    assert (config.api_key, config.base_url) == (KEY, base_url)


def test_extras_of_a_uri_are_texts_and_are_read_as_numbers(read_uri: Callable[[str], ClientConfig]) -> None:
    config = read_uri(f"dashscope://:{KEY}@/?timeout=5&requests_per_second=7.5")
    assert config.timeout == 5.0
    assert config.limits == Limits(requests_per_second=7.5)


def test_every_extra_is_read(read: Read) -> None:
    extra = {
        "workspace": "ws-1",
        "region": "ap-southeast-1",
        "record_path": "s3://bucket/records",
        "image_transfer": "upload",
        "submissions_per_second": 5,
        "requests_per_second": "40",
        "timeout": 12.5,
        "retry_for": 0,
        "result_hosts": "results.example.com",
        "proxy": "http://proxy.example.com:3128",
        "ca_bundle": "/etc/ssl/company.pem",
        "client_certificate": "/etc/ssl/worker.pem",
        "client_key": "/etc/ssl/worker.key",
        "secret_headers": '{"X-Gateway-Key": "secret"}',
    }
    assert set(extra) == set(EXTRAS)
    assert read(extra=extra) == ClientConfig(
        api_key=KEY,
        base_url="https://dashscope-intl.aliyuncs.com",
        workspace="ws-1",
        limits=Limits(submissions_per_second=5, requests_per_second=40),
        timeout=12.5,
        retry_for=0,
        result_hosts=("results.example.com",),
        image_transfer="upload",
        proxy="http://proxy.example.com:3128",
        ca_bundle="/etc/ssl/company.pem",
        client_certificate="/etc/ssl/worker.pem",
        client_key="/etc/ssl/worker.key",
        headers={"X-Gateway-Key": "secret"},
    )


@pytest.mark.parametrize(
    ("extra", "setting", "found"),
    [
        ({}, None, None),
        ({}, "", None),
        ({}, " s3://theirs/records ", "s3://theirs/records"),
        ({"record_path": ""}, "s3://theirs/records", "s3://theirs/records"),
        ({"record_path": " s3://ours/records"}, "s3://theirs/records", "s3://ours/records"),
    ],
)
def test_the_place_of_records_is_the_connections_or_the_configurations(
    set_connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    extra: dict[str, str],
    setting: str | None,
    found: str | None,
) -> None:
    set_connection("chosen", {"conn_type": "dashscope", "password": KEY, "extra": extra})
    if setting is not None:
        monkeypatch.setenv("AIRFLOW__DASHSCOPE__RECORD_PATH", setting)
    assert DashScopeHook("chosen").record_path() == found


def test_an_extra_that_hides_the_place_of_records_names_the_connection(
    stored: Callable[[str], Connection],
) -> None:
    with pytest.raises(ConfigurationError, match="Connection 'chosen': extra is not a JSON object"):
        record_path(stored("s3://bucket"))


def test_a_hook_reads_its_connection_once_until_it_is_closed(
    set_connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection("chosen", {"conn_type": "dashscope", "password": KEY})
    read, inner = [], DashScopeHook.get_connection
    monkeypatch.setattr(
        DashScopeHook, "get_connection", lambda self, conn_id: read.append(conn_id) or inner(conn_id)
    )
    with DashScopeHook("chosen") as hook:
        hook.record_path()
        hook.get_conn()
        hook.record_path()
    assert read == ["chosen"]
    hook.record_path()
    assert read == ["chosen", "chosen"]


def test_extras_left_empty_in_the_form_are_as_good_as_absent(read: Read) -> None:
    assert read(extra={"workspace": "", "region": None, "timeout": ""}) == read()


def test_a_base_url_goes_before_a_region(read: Read) -> None:
    config = read(host="https://gateway.example.com", extra={"region": "us-east-1"})
    assert config.base_url == "https://gateway.example.com/api/v1"


def test_a_region_without_a_shared_host_is_reached_through_the_workspaces_own(read: Read) -> None:
    config = read(extra={"region": "eu-central-1", "workspace": "ws-1"})
    assert config.base_url == "https://ws-1.eu-central-1.maas.aliyuncs.com/api/v1"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"password": ""}, "there is no API key"),
        ({"password": "sk-two words"}, "API key has spaces"),
        ({"host": "http://gateway.example.com"}, "must begin with https://"),
        ({"host": "ftp://gateway.example.com"}, "is not like https://dashscope.aliyuncs.com"),
        ({"host": "https://"}, "is not like https://dashscope.aliyuncs.com"),
        ({"host": "https://example.com:port"}, "cannot be read"),
        ({"host": "gateway.example.com", "schema": "http"}, "must begin with https://"),
        ({"extra": {"timeout": "soon"}}, "extra timeout must be a number, not 'soon'"),
        ({"extra": {"timeout": 0}}, "timeout must be a"),
        ({"extra": {"timeout": "nan"}}, "timeout must be a"),
        ({"extra": {"timeout": "inf"}}, "timeout must be a"),
        ({"extra": {"retry_for": -1}}, "retry_for must be a"),
        ({"extra": {"submissions_per_second": True}}, "submissions_per_second must be a number, not True"),
        ({"extra": {"requests_per_second": -3}}, "requests_per_second must be a number above 0"),
        ({"extra": {"requests_per_second": "nan"}}, "requests_per_second must be a number above 0"),
        ({"extra": {"region": "eu-central-1"}}, "region eu-central-1 has no shared host: give the workspace"),
        ({"extra": {"region": "mars"}}, "region 'mars' is not known. Use one of ap-northeast-1, "),
        ({"extra": {"workspace": "../x"}}, "workspace '../x' is not a workspace id"),
        (
            {"extra": {"time_out": 3, "api_key": "sk-x"}},
            "extra api_key, time_out is not known. Known are work",
        ),
    ],
)
def test_a_mistake_is_told_with_connection_and_field(
    read: Read, fields: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(**fields)
    assert str(caught.value).startswith("Connection 'chosen': ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("extra", ["no json", "[1]", "3"])
def test_an_extra_that_is_no_object_is_told(stored: Callable[[str], Connection], extra: str) -> None:
    with pytest.raises(ConfigurationError, match="Connection 'chosen': extra is not a JSON object"):
        client_config(stored(extra))


@pytest.mark.parametrize(
    "fields",
    [
        {"host": f"https://user:{KEY}@gateway.example.com"},
        {"host": f"https://gateway.example.com/?key={KEY}"},
        {"password": f"{KEY} {KEY}"},
    ],
)
def test_no_message_repeats_a_secret(read: Read, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(**fields)
    assert KEY not in str(caught.value)


def test_the_form_of_the_simulators_own_connection_is_understood(read: Read) -> None:
    from airflow_provider_wanx.simulator.handle import SimulatorHandle

    handle = SimulatorHandle(url="http://127.0.0.1:8000", api_key=KEY)
    config = read(**json.loads(handle.connection_json(timeout=3)))
    assert (config.base_url, config.timeout) == ("http://127.0.0.1:8000/api/v1", 3.0)


@pytest.mark.parametrize(
    "hosts", ["*.aliyuncs.com, Results.example.com ,", ["*.aliyuncs.com", "results.example.com"]]
)
def test_the_hosts_of_results_are_a_list_or_have_commas_between_them(read: Read, hosts: object) -> None:
    assert read(extra={"result_hosts": hosts}).result_hosts == ("*.aliyuncs.com", "results.example.com")


def test_a_host_of_results_that_is_none_names_the_connection(read: Read) -> None:
    with pytest.raises(ConfigurationError, match=r"'chosen'.*result_hosts has 'https://a\.example'"):
        read(extra={"result_hosts": "https://a.example"})


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ("X-Gateway-Key: hidden", "must be a JSON object"),
        (["hidden"], "must be a JSON object"),
        ({"Authorization": "Bearer hidden"}, "has Authorization, which is not for the connection"),
        ({"Content-Length": "hidden"}, "has Content-Length, which is not for the connection"),
        ({"X-DashScope-Async": "hidden"}, "has X-DashScope-Async, which is not for the connection"),
        ({"X Key": "hidden"}, "no header's name"),
        ({"X-Key": "hidden\r\nX-Other: b"}, "value of X-Key is not text in ASCII"),
        ({"X-Key": {"hidden": 1}}, "value of X-Key is not text in ASCII"),
    ],
)
def test_a_header_that_cannot_be_sent_is_told_without_its_value(
    read: Read, headers: object, reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        read(extra={"secret_headers": headers})
    assert "hidden" not in str(caught.value)


def test_passwords_of_proxies_and_headers_are_not_in_the_configurations_representation(read: Read) -> None:
    shown = repr(read(extra={"proxy": "http://me:hidden@proxy:1", "secret_headers": {"X-Key": "hidden"}}))
    assert "hidden" not in shown
