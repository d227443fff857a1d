"""The temporary store."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_wanx.simulator.endpoints import service as endpoints
from airflow_provider_wanx.simulator.storage import object_store
from tests.unit.simulator.conftest import REPAINT, Service

RESOLVE = {"X-DashScope-OssResourceResolve": "enable"}


def policy(service: Service, model: str = REPAINT) -> dict[str, Any]:
    response = service.http.get("/uploads", params={"action": "getPolicy", "model": model})
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    return data


def form(data: dict[str, Any], name: str = "face.jpg", **changes: str) -> dict[str, str]:
    return {
        "OSSAccessKeyId": data["oss_access_key_id"],
        "Signature": data["signature"],
        "policy": data["policy"],
        "key": f"{data['upload_dir']}/{name}",
        "x-oss-object-acl": data["x_oss_object_acl"],
        "x-oss-forbid-overwrite": data["x_oss_forbid_overwrite"],
        "success_action_status": "200",
        **changes,
    }


def upload(data: dict[str, Any], content: bytes, **changes: str) -> httpx.Response:
    return httpx.post(data["upload_host"], data=form(data, **changes), files={"file": ("face.jpg", content)})


def test_uploaded_file_is_for_its_model_only_and_not_for_ever(service: Service, portrait: bytes) -> None:
    data = policy(service, model="wanx-v1")
    upload(data, portrait)
    service.http.headers.update(RESOLVE)
    assert service.ended(image=f"oss://{data['upload_dir']}/face.jpg")["code"] == "InvalidURL"
    data = policy(service)
    upload(data, portrait)
    service.simulator.advance(47 * 3600)
    assert service.ended(image=f"oss://{data['upload_dir']}/face.jpg")["task_status"] == "SUCCEEDED"
    service.simulator.advance(3600)
    assert service.ended(image=f"oss://{data['upload_dir']}/face.jpg")["code"] == "InvalidURL"


def test_policy_expires(service: Service, portrait: bytes) -> None:
    data = policy(service)
    service.simulator.advance(299)
    assert upload(data, portrait).status_code == 200
    service.simulator.advance(2)
    late = upload(data, portrait, key=f"{data['upload_dir']}/late.jpg")
    assert late.status_code == 403
    assert "<Code>AccessDenied</Code>" in late.text
    assert "Policy expired" in late.text


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"Signature": "bm8="}, 403, "SignatureDoesNotMatch"),
        ({"OSSAccessKeyId": "LTAI"}, 403, "SignatureDoesNotMatch"),
        ({"policy": "e30="}, 403, "SignatureDoesNotMatch"),
        ({"key": "elsewhere/face.jpg"}, 403, "AccessDenied"),
        ({"x-oss-object-acl": "public-read"}, 403, "AccessDenied"),
        ({"x-oss-forbid-overwrite": "false"}, 403, "AccessDenied"),
    ],
)
def test_upload_has_to_follow_its_policy(
    service: Service, changes: dict[str, str], status: int, code: str
) -> None:
    response = upload(policy(service), b"data", **changes)
    assert response.status_code == status
    assert f"<Code>{code}</Code>" in response.text


def test_file_that_is_too_large_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "MAX_UPLOAD_BYTES", 1024 * 1024)
    response = upload(policy(service), b"x" * (1024 * 1024 + 1))
    assert (response.status_code, "EntityTooLarge" in response.text) == (400, True)


def test_what_follows_the_file_does_not_count(service: Service) -> None:
    data = policy(service)
    fields = form(data)
    ordered = [("file", ("face.jpg", b"data"))] + [(name, (None, value)) for name, value in fields.items()]
    response = httpx.post(data["upload_host"], files=ordered)
    assert response.status_code == 403


def test_upload_without_a_file_or_form_is_refused(service: Service) -> None:
    data = policy(service)
    no_form = httpx.post(data["upload_host"], content=b"data")
    assert (no_form.status_code, "MalformedPOSTRequest" in no_form.text) == (400, True)
    no_file = httpx.post(data["upload_host"], files=[("key", (None, "x"))])
    assert (no_file.status_code, "InvalidArgument" in no_file.text) == (400, True)


def test_policy_request_has_to_name_action_and_model(service: Service) -> None:
    for query in ({"action": "getPolicy"}, {"model": REPAINT}, {"action": "delete", "model": REPAINT}):
        response = service.http.get("/uploads", params=query)
        assert (response.status_code, response.json()["code"]) == (400, "InvalidParameter")


def test_policies_are_limited_for_each_model(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "UPLOAD_POLICIES_PER_SECOND", 3)
    query = {"action": "getPolicy", "model": REPAINT}
    assert [service.http.get("/uploads", params=query).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert service.http.get("/uploads", params={**query, "model": "wanx-v1"}).status_code == 200
