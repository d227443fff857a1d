"""Copying what a task made that has succeeded without a file, as some models do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.unit.dashscope.support.scripted_server import Say, ScriptedServer, say_json
from tests.unit.support.s3 import Bucket
from tests.unit.transfers.copying import copy

Answers = Callable[..., ScriptedServer]


@pytest.fixture
def answers(set_connection: Callable[..., None]) -> Iterator[Answers]:
    """Let a server say that tasks have succeeded, one after the other."""
    with ScriptedServer() as server:

        def say(*outputs: dict[str, Any]) -> ScriptedServer:
            tasks = [
                {"task_id": f"id-{number}", "task_status": "SUCCEEDED", **each}
                for number, each in enumerate(outputs)
            ]
            server.script(*[say_json({"output": task, "request_id": "r-1"}) for task in tasks])
            set_connection(
                "dashscope_default", {"conn_type": "dashscope", "host": server.url, "password": "sk-x"}
            )
            return server

        yield say


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            {"message": "No text detected for translation"},
            "The service says: No text detected for translation",
        ),
        (
            {"results": [{"message": "An internal timeout error"}]},
            "The service says: An internal timeout error",
        ),
        ({"results": [{"code": 500}, {"subtask_status": "FAILED"}]}, "The service says: 500 no reason given"),
        ({"results": [], "image_url": ""}, "The service says: nothing about the reason"),
    ],
)
def test_a_success_with_nothing_fails_the_copy_for_good_with_the_services_words(
    answers: Answers, bucket: Bucket, output: dict[str, Any], said: str
) -> None:
    server = answers(output)

    with pytest.raises(
        AirflowFailException, match=rf"id-0 has succeeded, yet its answer holds no result URL\. {said}"
    ):
        copy("id-0", bucket.name).run_try()

    assert len(server.seen) == 1
    assert bucket.keys() == []


def test_what_is_no_file_is_stored_and_handed_on_as_it_came(answers: Answers, bucket: Bucket) -> None:
    answers({"template_id": "AACT.1", "message": "done"})

    (entry,) = copy("id-0", bucket.name, s3_key="templates/").run_try()

    assert entry["output"]["template_id"] == "AACT.1"
    assert (entry["key"], entry["content_type"]) == ("templates/id-0_0.json", "application/json")
    assert json.loads(bucket.body(entry["key"])) == entry["output"]
    assert (entry["bytes"], entry["written"]) == (len(bucket.body(entry["key"])), True)


def test_two_that_would_get_one_key_are_refused_before_the_first_is_written(
    answers: Answers, bucket: Bucket
) -> None:
    answers({"template_id": "AACT.1"}, {"template_id": "AACT.2"})

    with pytest.raises(AirflowFailException, match="the same key"):
        copy(["id-0", "id-1"], bucket.name, s3_key="template.json").run_try()

    assert bucket.keys() == []


PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.mark.parametrize("extension", ["." + "x" * 900, ".png/../../x", ".é", ""])
@pytest.mark.parametrize("request_id", ["r\u00e9\r\nx-amz-acl: public-read", "r" * 5000])
def test_no_words_of_the_service_keep_a_result_from_its_bucket(
    answers: Answers, bucket: Bucket, extension: str, request_id: str
) -> None:
    server = answers()
    url = f"{server.url}/a{extension}"
    task = {"task_id": "id-0", "task_status": "SUCCEEDED", "results": [{"url": url}]}
    server.script(
        say_json({"output": task, "request_id": request_id}),
        Say(body=PNG, headers={"Content-Type": "image/png; \xe9"}),
    )
    copy("id-0", bucket.name).run_try()
    (key,) = bucket.keys()
    assert len(key) < 100
    assert bucket.body(key) == PNG
    assert bucket.head(key)["Metadata"]["dashscope-request-id"].startswith("r")
