"""Habits of the service that others have met, and that are off unless a setting asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.simulator.conftest import REPAINT, Service, data_url, picture

Make = Callable[..., BackgroundSimulator]


@pytest.fixture
def serve(dashscope_simulator_factory: Make) -> Iterator[Callable[..., Service]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Service:
            service = Service(dashscope_simulator_factory(submit_rate=0, **settings))
            stack.callback(service.http.close)
            return service

        yield make


def test_a_new_task_is_unknown_for_as_long_as_is_asked(serve: Callable[..., Service]) -> None:
    service = serve(unknown_for=600.0, duration=3600.0)
    task_id = service.submitted()
    assert service.task(task_id)["output"] == {"task_id": task_id, "task_status": "UNKNOWN"}
    service.simulator.advance(600)
    assert service.task(task_id)["output"]["task_status"] == "RUNNING"


@pytest.mark.parametrize(("key", "other"), [("data", "tasks"), ("tasks", "data")])
def test_the_list_has_its_rows_under_the_key_that_is_asked_for(
    serve: Callable[..., Service], key: str, other: str
) -> None:
    service = serve(list_key=key)
    task_id = service.submitted()
    body = service.http.get("/tasks").json()
    assert [row["task_id"] for row in body[key]] == [task_id]
    assert other not in body


def test_long_data_urls_are_refused_where_that_is_asked_for(serve: Callable[..., Service]) -> None:
    image = data_url(picture((512, 512)) + b"\0" * 200_000)
    assert serve().ended(image=image)["task_status"] == "SUCCEEDED"
    output = serve(max_data_url_mb=0.1).ended(image=image)
    assert (output["task_status"], output["code"]) == ("FAILED", "InvalidParameter")
    assert "data-uri" in output["message"]


def _upload(service: Service, name: str, content: bytes) -> str:
    policy = service.http.get("/uploads", params={"action": "getPolicy", "model": REPAINT}).json()["data"]
    key = f"{policy['upload_dir']}/{name}"
    form = {
        "OSSAccessKeyId": policy["oss_access_key_id"],
        "Signature": policy["signature"],
        "policy": policy["policy"],
        "key": key,
        "x-oss-object-acl": policy["x_oss_object_acl"],
        "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"],
        "success_action_status": "200",
    }
    stored = httpx.post(policy["upload_host"], data=form, files={"file": (name, content)}, trust_env=False)
    assert stored.status_code == 200
    return f"oss://{key}"


@pytest.mark.parametrize(("name", "status"), [("a.png", "SUCCEEDED"), ("a.jpg", "FAILED")])
def test_uploads_whose_names_do_not_fit_their_content_are_refused_where_that_is_asked_for(
    serve: Callable[..., Service], name: str, status: str
) -> None:
    service = serve(check_upload_names=True)
    service.http.headers["X-DashScope-OssResourceResolve"] = "enable"
    output = service.ended(image=_upload(service, name, picture((512, 512))))
    assert output["task_status"] == status
    assert status == "SUCCEEDED" or output["code"] == "InvalidImage.FileFormat"
