"""Result files and their addresses."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import httpx

from tests.unit.simulator.conftest import Service


def test_result_is_served_with_length_checksum_and_tag(service: Service) -> None:
    url = service.ended()["results"][0]["url"]
    result = httpx.get(url)
    digest = hashlib.md5(result.content).digest()
    assert int(result.headers["content-length"]) == len(result.content)
    assert result.headers["content-md5"] == base64.b64encode(digest).decode()
    assert result.headers["etag"] == f'"{digest.hex().upper()}"'
    head = httpx.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == result.headers["content-length"]
    assert service.simulator.ledger()["tasks"][0]["downloads"] == 1


def test_result_address_is_signed(service: Service) -> None:
    url = httpx.URL(service.ended()["results"][0]["url"])
    assert set(url.params) == {"Expires", "OSSAccessKeyId", "Signature"}
    for changed, code in (
        (url.copy_with(query=None), "AccessDenied"),
        (url.copy_set_param("Signature", "bm8="), "SignatureDoesNotMatch"),
        (url.copy_set_param("Expires", str(int(url.params["Expires"]) + 1)), "SignatureDoesNotMatch"),
        (url.copy_with(path=url.path + "x"), "SignatureDoesNotMatch"),
    ):
        refused = httpx.get(changed)
        assert refused.status_code == 403
        assert f"<Code>{code}</Code>" in refused.text


def test_result_address_expires_and_is_given_out_anew(serve: Callable[..., Service]) -> None:
    service = serve(url_lifetime=600)
    task_id = service.submitted()
    service.simulator.advance(9)
    url = service.output(task_id)["results"][0]["url"]
    service.simulator.advance(590)
    assert httpx.get(url).status_code == 200
    service.simulator.advance(11)
    expired = httpx.get(url)
    assert (expired.status_code, expired.headers["content-type"]) == (403, "application/xml")
    assert "<Code>AccessDenied</Code>" in expired.text
    assert httpx.get(service.output(task_id)["results"][0]["url"]).status_code == 200


def test_result_address_expires_after_24_hours(service: Service) -> None:
    url = service.ended()["results"][0]["url"]
    service.simulator.advance(23.9 * 3600)
    assert httpx.get(url).status_code == 200
    service.simulator.advance(0.2 * 3600)
    assert httpx.get(url).status_code == 403


def test_result_address_names_the_host_that_the_client_asked(service: Service) -> None:
    task_id = service.submitted()
    service.simulator.advance(9)
    body = service.http.get(f"/tasks/{task_id}", headers={"Host": "dashscope.test:8089"}).json()
    assert body["output"]["results"][0]["url"].startswith("http://dashscope.test:8089/results/")
