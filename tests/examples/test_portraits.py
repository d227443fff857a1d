from __future__ import annotations

import asyncio
import importlib
import json
from typing import Any

import httpx
import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.version_compat import AIRFLOW_V_3_3_PLUS
from tests.unit.support.airflow_names import AIRFLOW


@pytest.fixture(autouse=True)
def buckets(s3: Any, dashscope: BackgroundSimulator) -> None:
    """The simulator draws portraits too."""
    s3.create_bucket(Bucket="portraits")
    s3.create_bucket(Bucket="results")
    for seed, name in enumerate(("ada", "grace")):
        picture = httpx.get(dashscope.portrait_url, params={"seed": seed}, trust_env=False).content
        s3.put_object(Bucket="portraits", Key=f"{name}.jpg", Body=picture)


# [START test]
def test_the_portrait_arrives_and_is_billed_once(dashscope: BackgroundSimulator, s3: Any) -> None:
    from portraits import dag

    assert dag.test().state == "success"
    (result,) = s3.list_objects_v2(Bucket="results")["Contents"]
    assert result["Key"].startswith("repainted/")
    assert dashscope.ledger()["totals"]["billed"] == 1


def test_a_submission_whose_answer_is_lost_is_not_repeated(dashscope: BackgroundSimulator) -> None:
    from portraits import dag

    dashscope.add_fault(endpoint="submit", kind="lose_answer", times=1)
    assert dag.test().state == "success"
    assert dashscope.ledger()["totals"]["accepted"] == 1


@pytest.mark.dashscope_simulator(submit_rate=0, duration=1)
def test_a_refused_key_fails_the_run_and_costs_nothing(dashscope: BackgroundSimulator) -> None:
    from portraits import dag

    dashscope.accept_keys("sk-another-key")
    assert dag.test().state == "failed"
    assert dashscope.ledger()["totals"]["accepted"] == 0


# [END test]


def test_every_result_of_an_album_lies_encrypted_under_a_key_of_its_own(
    dashscope: BackgroundSimulator, s3: Any
) -> None:
    from album import dag

    assert dag.test().state == "success"
    objects = s3.list_objects_v2(Bucket="results")["Contents"]
    assert [each["StorageClass"] for each in objects] == ["STANDARD_IA"] * 2
    head = s3.head_object(Bucket="results", Key=objects[0]["Key"])
    assert head["ServerSideEncryption"] == "AES256"
    assert objects[0]["Key"].startswith("album/fresh/")
    assert dashscope.ledger()["totals"]["billed"] == 2


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="retry policies come with Airflow 3.3")
def test_a_patient_task_submits_once(dashscope: BackgroundSimulator) -> None:
    from patient import dag

    assert dag.test(run_conf={"portrait": "s3://portraits/ada.jpg"}).state == "success"
    assert dashscope.ledger()["totals"]["accepted"] == 1


def test_styles_chosen_in_a_task_are_repainted_and_reported_in_another(
    dashscope: BackgroundSimulator, s3: Any
) -> None:
    from taskflow import dag

    ended = dag.test()
    assert ended.state == "success"
    keys = {each["Key"].rsplit("/", 1)[1] for each in s3.list_objects_v2(Bucket="results")["Contents"]}
    assert keys == {"anime.jpg", "fresh.jpg"}
    assert dashscope.ledger()["totals"]["billed"] == 2


@pytest.mark.dashscope_simulator(submit_rate=0, duration=1)
def test_a_task_of_ones_own_submits_with_the_hook(dashscope: BackgroundSimulator) -> None:
    from own_call import dag

    assert dag.test().state == "success"
    assert dashscope.ledger()["totals"]["accepted"] == 1


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="deadlines come with Airflow 3.1")
def test_who_is_late_says_what_waits_at_the_service(dashscope: BackgroundSimulator) -> None:
    from deadline import dag

    (alert,) = dag.deadline if isinstance(dag.deadline, list) else [dag.deadline]
    module, _, name = alert.callback.path.rpartition(".")
    call = getattr(importlib.import_module(module), name)
    words = asyncio.run(call(**alert.callback.kwargs, context={"dag_run": {"dag_run_id": "monday"}}))
    assert words == "Run monday is late: 0 tasks wait at DashScope, 0 run."


def test_a_bulk_task_asks_for_workers_of_its_queue() -> None:
    from own_queue import dag

    assert dag.get_task("repaint").queue == "pictures"
    assert dag.test().state == "success"


def test_a_folder_is_shared_by_two_accounts_and_each_image_is_billed_to_one_of_them(
    dashscope: BackgroundSimulator, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from two_accounts import dag

    second = json.loads(dashscope.connection_json()) | {"password": "sk-another-account"}
    monkeypatch.setenv("AIRFLOW_CONN_DASHSCOPE_SECOND", json.dumps(second))
    assert dag.test().state == "success"
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="results")["Contents"]]
    pictures = [key.rsplit("/", 1)[1] for key in keys if key.endswith(".jpg")]
    assert sorted(name.partition("-")[0] for name in pictures) == ["ada", "grace"]
    assert {"bulk/part-1/manifest.jsonl", "bulk/part-2/manifest.jsonl"} <= set(keys)
    assert dashscope.ledger()["totals"]["billed"] == 2


@pytest.mark.dashscope_simulator(speed=50)
def test_a_failure_is_posted_to_who_can_mend_it_and_the_branch_goes_by_it(
    dashscope: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = importlib.import_module("failures")
    dashscope.add_fault(
        endpoint="job", kind="outcome", outcome="FAILED", code="InvalidImage.NoHumanFace", message="no face"
    )
    posted: list[dict[str, Any]] = []

    def post(url: str, *, json: dict[str, Any], **_: Any) -> httpx.Response:
        posted.append({"url": url, **json})
        return httpx.Response(204, request=httpx.Request("POST", url))

    monkeypatch.setattr(failures.httpx, "post", post)
    run = failures.dag.test(
        run_conf={"portrait": "s3://portraits/ada.jpg", "webhook": "https://chat.example/hook"}
    )

    (told,) = posted
    assert (told["url"], told["channel"]) == ("https://chat.example/hook", "#editors")
    assert "no face" in told["text"]
    assert told["request"]
    states = {ti.task_id: ti.state for ti in run.get_task_instances()}
    assert states["repaint"] == "failed"
    assert states["use_another_picture"] == "success"
