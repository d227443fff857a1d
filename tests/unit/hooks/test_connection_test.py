"""What the "Test" button finds out where the service is not as the local one is."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig, region_base_url, region_of
from airflow_provider_wanx.dashscope.errors import api_error
from airflow_provider_wanx.dashscope.models import ModelPage, Quota, QuotaPage, TaskPage
from airflow_provider_wanx.hooks.connection_test import check_access
from tests.unit.dashscope.support.scripted_server import ScriptedServer, say_json

REPAINT = "wanx-style-repaint-v1"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The service's answers by method of the client, in place of hosts that no test reaches."""
    answers: dict[str, Any] = {
        "list_tasks": TaskPage(total=7),
        "list_models": ModelPage(),
        "get_quotas": QuotaPage(),
    }

    def answering(name: str) -> Any:
        def answer(self: DashScopeClient, **_: Any) -> Any:
            if isinstance(found := answers[name], Exception):
                raise found
            return found

        return answer

    for name in answers:
        monkeypatch.setattr(DashScopeClient, name, answering(name))
    return answers


def outcome(region: str) -> tuple[bool, str]:
    return check_access(ClientConfig(api_key="sk-x", base_url=region_base_url(region, "ws-1")))


def test_where_the_limits_do_not_name_the_model_there_is_no_access_to_it(service: dict[str, Any]) -> None:
    passed, message = outcome("cn-beijing")
    assert not passed
    assert message.startswith(
        f"No access to {REPAINT}: activate the model in the service's console, or grant"
    )
    assert "dashscope.aliyuncs.com (cn-beijing) accepts the key. 7 task(s)" in message


def test_in_a_region_without_the_model_the_connection_is_for_others(service: dict[str, Any]) -> None:
    passed, message = outcome("eu-central-1")
    assert passed
    assert "(eu-central-1) accepts the key." in message
    assert f"{REPAINT} is in cn-beijing only, so it is for other models." in message


def test_limits_that_the_service_leaves_out_are_not_made_up(service: dict[str, Any]) -> None:
    service["get_quotas"] = QuotaPage(quotas=(Quota(model=REPAINT),))
    assert outcome("cn-beijing")[1].endswith(
        f"{REPAINT}: access, with limits that the service does not tell."
    )


def test_a_refused_key_is_told_with_the_region_that_the_host_serves(service: dict[str, Any]) -> None:
    service["list_tasks"] = api_error(code="InvalidApiKey", service_message="Invalid.", http_status=401)
    passed, message = outcome("ap-southeast-1")
    assert not passed
    assert "InvalidApiKey" in message[:100]
    assert message.endswith("This host serves ap-southeast-1, and keys of other regions are refused.")


def test_nobody_waits_before_the_form_for_a_minute() -> None:
    busy = say_json({"code": "Throttling", "message": "Later."}, status=429)
    with ScriptedServer(*[busy] * 50) as server:
        config = ClientConfig(api_key="sk-x", base_url=server.url, retry_for=60)
        passed, message = check_access(config, patience=2.0)
        assert (passed, "Throttling" in message) == (False, True)
        assert len(server.seen) < 20


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://dashscope.aliyuncs.com/api/v1", "cn-beijing"),
        ("https://dashscope-intl.aliyuncs.com", "ap-southeast-1"),
        ("https://ws-42.eu-central-1.maas.aliyuncs.com/api/v1", "eu-central-1"),
        ("https://cn-beijing.maas.aliyuncs.com.evil.example", None),
        ("http://127.0.0.1:8089", None),
    ],
)
def test_the_region_is_read_from_the_host(url: str, region: str | None) -> None:
    assert region_of(url) == region
