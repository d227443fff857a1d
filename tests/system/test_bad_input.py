"""Bad input on a real Airflow: one clear message each, no retries, and no money spent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.stack import LocalStack, TaskInstance
from tests.stack.dashscope import API_KEY
from tests.stack.ports import free_port
from tests.unit.support.pictures import heavy_picture, picture

DAG = "bad_input"
BUCKET = "bad-input"

MESSAGES = {
    "wrong_key": r"Could not submit a task .*InvalidApiKey: .*HTTP 401.*Check the API key, and that it belongs to",
    "insecure_url": r"Connection 'insecure_url': base URL of host 'dashscope\.example\.com' must begin with https://",
    "wrong_path": r"Could not submit a task .*HTTP 404.*Check the base URL",
    "misspelt_extra": r"Connection 'misspelt_extra': extra workspaces is not known\. Known are workspace, region",
    "nobody_there": r"Could not submit a task .*: 127\.0\.0\.1:\d+ cannot be reached",
    "tiny": r"^The picture has 100×100 pixels; the model takes 256×256 at least: .*/tiny\.",
    "heavy": r"^The picture has 11\.0 MB; the model takes 10 MB at most: .*/heavy\.",
    "text": r"^The file is text; the model takes JPEG, PNG, BMP, WEBP: .*/text\.",
    "missing": r"^The file does not exist: image '.*/missing'\.",
    "path_in_form": r"^image is a path on the worker, which only the DAG's author may choose: .*/tiny'",
    "path_mapped": r"^image is a path on the worker, which only the DAG's author may choose: .*/tiny'",
    "style_nope": r"style 'nope' is not known\. Give a number or one of the names: .*3 fresh \(小清新\)",
    "style_99": r"Could not submit a task .*InvalidParameter: input\.style_index must be one of .*The request has to change",
    "bucket_to_read": r"^The bucket does not exist: could not read s3://no-such-bucket/a\.png .*Create it",
    "lost_picture": r"DashScope task \S+ is FAILED \(InvalidURL: .*A failed task is not billed\.",
    "bucket_to_write": r"^The bucket does not exist: could not use bucket no-such-bucket .*Create it",
    "expired_wait": r"DashScope task 0{8}-\S+ is UNKNOWN\. The service does not know this id: .*24 hours after",
    "expired_copy": r"DashScope task 0{8}-\S+ is UNKNOWN\. The service does not know this id: .*24 hours after",
}
"""What each task's one error says."""

REASONS = {
    "wrong_key": "InvalidApiKey",
    "insecure_url": "must begin with https",
    "wrong_path": "NotFound|HTTP 404",
    "misspelt_extra": "is not known",
    "nobody_there": "cannot be reached",
    "tiny": "100×100 pixels; the model takes 256×256",
    "heavy": "11.0 MB; the model takes 10 MB",
    "text": "is text",
    "missing": "does not exist",
    "path_in_form": "is a path on the worker",
    "path_mapped": "is a path on the worker",
    "style_nope": "is not known",
    "style_99": "InvalidParameter",
    "bucket_to_read": "does not exist",
    "lost_picture": "FAILED .InvalidURL",
    "bucket_to_write": "does not exist",
    "expired_wait": "is UNKNOWN",
    "expired_copy": "is UNKNOWN",
}
"""What of it stands in the first 100 characters."""

MAY_BE_RETRIED = {"nobody_there"}

OURS = {"AirflowException", "AirflowFailException"}


@dataclass(frozen=True)
class Run:
    """What came of the DAG's one run.

    :param logs: each task's log entries.
    :param before: the simulator's totals before the run.
    """

    instances: dict[str, TaskInstance]
    logs: dict[str, list[dict[str, Any]]]
    before: dict[str, int]
    after: dict[str, int]


@pytest.fixture(scope="module")
def run(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the DAG once."""
    simulator = SimulatorHandle(url=stack.simulator.url, api_key=API_KEY)
    _make_connections(stack)
    stack.s3.client.create_bucket(Bucket=BUCKET)
    before = simulator.ledger(summary=True)["totals"]
    conf = {
        "folder": str(_make_pictures(tmp_path_factory.mktemp("pictures"))),
        "lost": f"{stack.simulator.url}/nowhere.jpg",
        "bucket": BUCKET,
    }
    api = stack.airflow.api
    run_id = api.trigger(dag_id=DAG, conf=conf)
    api.wait_for_run(dag_id=DAG, run_id=run_id)
    instances = {each.task_id: each for each in api.task_instances(dag_id=DAG, run_id=run_id)}
    assert instances.pop("places").state == "success"
    logs = {task_id: _entries(stack, instance) for task_id, instance in instances.items()}
    yield Run(instances, logs, before, simulator.ledger(summary=True)["totals"])
    simulator.close()


def _make_connections(stack: LocalStack) -> None:
    good = stack.simulator.connection
    changes: dict[str, dict[str, Any]] = {
        "wrong_key": {"password": "sk-no-key-of-this-service"},
        "insecure_url": {"host": "http://dashscope.example.com"},
        "wrong_path": {"host": f"{stack.simulator.url}/somewhere/else"},
        "nobody_there": {"host": f"http://127.0.0.1:{free_port()}", "extra": {"retry_for": 1}},
        "misspelt_extra": {"extra": {"workspaces": "ws-1"}},
    }
    for conn_id, changed in changes.items():
        stack.airflow.api.set_connection(conn_id=conn_id, connection={**good, **changed})


def _make_pictures(folder: Path) -> Path:
    folder.joinpath("tiny").write_bytes(picture(100, 100))
    folder.joinpath("heavy").write_bytes(heavy_picture(11_000_000))
    folder.joinpath("text").write_text("Dear Sir or Madam,")
    return folder


def _entries(stack: LocalStack, instance: TaskInstance) -> list[dict[str, Any]]:
    """The entries of a task's last log with everything that the UI shows of them."""
    path = f"/api/v2/dags/{DAG}/dagRuns/{instance.dag_run_id}/taskInstances/{instance.task_id}/logs/"
    answer = stack.airflow.api._call(
        "GET", f"{path}{instance.try_number}", params={"full_content": True, "map_index": instance.map_index}
    )
    return [entry if isinstance(entry, dict) else {"event": entry} for entry in answer["content"]]


def test_every_bad_input_is_tried(run: Run) -> None:
    assert run.instances.keys() == MESSAGES.keys()


@pytest.mark.parametrize("task_id", MESSAGES)
def test_a_bad_input_fails_its_task_at_once_with_one_clear_message(run: Run, task_id: str) -> None:
    instance = run.instances[task_id]
    assert (instance.state, instance.try_number) == ("failed", 1)
    (failure,) = [entry for entry in run.logs[task_id] if entry.get("error_detail")]
    (error,) = failure["error_detail"]
    assert error["exc_type"] in OURS
    assert re.search(MESSAGES[task_id], error["exc_value"]), error["exc_value"]
    assert ("Retries are skipped." in error["exc_value"]) == (task_id not in MAY_BE_RETRIED)
    # What a line of the log shows without being scrolled.
    assert re.search(REASONS.get(task_id, ""), error["exc_value"][:100]), error["exc_value"]


@pytest.mark.parametrize("task_id", MESSAGES)
def test_the_log_shows_neither_code_of_this_package_nor_of_a_library_below(run: Run, task_id: str) -> None:
    frames = [
        frame["filename"]
        for entry in run.logs[task_id]
        for error in entry.get("error_detail") or ()
        for frame in error["frames"]
    ]
    assert frames
    below = ("airflow_provider_wanx", "httpx", "httpcore", "tenacity", "botocore", "boto3", "pydantic", "PIL")
    assert [name for name in frames if any(f"/{library}/" in name for library in below)] == []
    text = "\n".join(str(entry.get("event")) for entry in run.logs[task_id])
    assert "Traceback" not in text
    assert "httpx" not in text


@pytest.mark.parametrize("task_id", ["wrong_key", "style_99", "lost_picture"])
def test_a_submission_that_fails_names_its_picture(run: Run, task_id: str) -> None:
    (failure,) = [entry for entry in run.logs[task_id] if entry.get("error_detail")]
    assert re.search(r" Picture: http\S+\.jpg$", failure["error_detail"][0]["exc_value"])


def test_no_log_shows_a_key(run: Run) -> None:
    everything = str(run.logs)
    assert API_KEY not in everything
    assert "sk-no-key-of-this-service" not in everything


def test_only_what_the_service_had_to_decide_has_reached_it_and_nothing_was_billed(run: Run) -> None:
    made = {name: run.after[name] - run.before[name] for name in ("submissions", "accepted", "billed")}
    # A wrong key, a style that only the service can refuse, and a picture that only the service can find missing.
    assert made == {"submissions": 3, "accepted": 1, "billed": 0}
