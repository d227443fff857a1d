"""The events that OpenLineage's provider writes for a run of an example DAG."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stack import ROOT, LocalStack
from tests.stack.environment import clean_environment
from tests.stack.waiting import PATIENCE

BUCKET = "lineage"


def _airflow(*words: str, env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "airflow", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_the_way_from_picture_to_object_can_be_read_from_the_events_of_a_run(
    stack: LocalStack, tmp_path: Path
) -> None:
    stack.s3.put(bucket=BUCKET, key="in.png", body=(ROOT / "tests/data/portraits/astronaut.png").read_bytes())
    events = tmp_path / "events.json"
    env = clean_environment() | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(events), "append": True}
        ),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(stack.s3.connection),
        "AIRFLOW_CONN_DASHSCOPE_DEFAULT": json.dumps(stack.simulator.connection),
    }
    _airflow("db", "migrate", env=env)
    conf = {"image": f"s3://{BUCKET}/in.png", "style": "clay world", "bucket": BUCKET}
    _airflow("dags", "test", "wanx_style_repaint", "--conf", json.dumps(conf), env=env)
    complete: dict[str, Any] = {}
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["eventType"] == "COMPLETE":
            complete[event["job"]["name"].rpartition(".")[2]] = event
    submit, wait, copy = (complete[name] for name in ("submit", "wait", "copy"))
    facet = wait["run"]["facets"]["dashscope"]
    (task_id,) = facet["dashscopeTaskIds"]
    task = {"namespace": "dashscope", "name": f"tasks/{task_id}"}
    assert _places(submit["inputs"]) == [{"namespace": f"s3://{BUCKET}", "name": "in.png"}]
    assert _places(submit["outputs"]) == [task]
    assert _places(wait["inputs"]) == [task]
    assert (facet["model"], facet["styleNames"], facet["cost"]) == (
        "wanx-style-repaint-v1",
        ["clay world"],
        0.12,
    )
    assert task in _places(copy["inputs"])
    (result,) = copy["outputs"]
    assert result["namespace"] == f"s3://{BUCKET}"
    assert result["outputFacets"]["outputStatistics"]["size"] == len(
        stack.s3.get(bucket=BUCKET, key=result["name"])
    )
    text = events.read_text(encoding="utf-8")
    assert "Signature" not in text
    assert stack.simulator.connection["password"] not in text


def _places(datasets: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"namespace": each["namespace"], "name": each["name"]} for each in datasets]
